"""A headless Chromium that visits pages of this machine: what the page's console says, and what it asks of others.

Playwright drives the system's own Chromium; nothing is downloaded. Without either of them a test is skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-dev-shm-usage",  # whose /dev/shm is small
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
)  # fmt: skip
HERE = ("127.0.0.1", "localhost", "::1")


@dataclass
class Visit:
    """A page, the errors that its scripts and its console told of, and addresses asked for that are not this
    machine's (none is found)."""

    page: Page
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def chromium() -> str:
    """Path of the system's Chromium; the test is skipped where that or Playwright is missing."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium here ({', '.join(PROGRAMS)}): install your system's package chromium")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright here: pip install playwright (its own browsers are not needed)")
    return found


@contextmanager
def visitors(*, count: int = 1, width: int = 1280, height: int = 800, wait_s: float = 20.0) -> Iterator[list[Visit]]:
    """So many browsers with an empty page each, of that size [px]; they know nothing of each other.

    Args:
        wait_s: after which what a test waits for is an error.
    """
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, headless=True, args=list(ARGUMENTS))
        try:
            pages = [browser.new_context(viewport={"width": width, "height": height}).new_page() for _ in range(count)]
            visits = [_watched(page) for page in pages]
            for page in pages:
                page.set_default_timeout(wait_s * 1000)
            yield visits
        finally:
            browser.close()


@contextmanager
def visitor(*, width: int = 1280, height: int = 800, wait_s: float = 20.0) -> Iterator[Visit]:
    """One of them."""
    with visitors(width=width, height=height, wait_s=wait_s) as (visit,):
        yield visit


def _watched(page: Page) -> Visit:
    visit = Visit(page)

    def asked(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in HERE:
            visit.elsewhere.append(address)

    page.on("request", lambda request: asked(request.url))
    page.on("websocket", lambda socket: asked(socket.url))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
    return visit
