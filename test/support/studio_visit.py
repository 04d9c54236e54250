"""A visit to the studio in a real browser: what the hand does, and counts of what is really drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pw_core.studio import Studio
from pw_core.studio.pictures import browser_camera
from support.browser import Visit

ITS_OWN = (
    "Unable to preventDefault inside passive event listener invocation.",  # viser's wheel handler, harmless
    "THREE.BufferGeometry.computeBoundingSphere(): Computed radius is NaN",  # corners of splats have two numbers
)
"""Beginnings of what viser itself says in the console."""
TRIES = 4
COUNTERS = """
window.__pictures = []; window.__drawn = [];
for (const name of ['texImage2D', 'texSubImage2D']) {
  const own = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...given) {
    const last = given[given.length - 1];
    if (last instanceof HTMLImageElement || last instanceof ImageBitmap) window.__pictures.push(performance.now());
    return own.apply(this, given);
  };
}
const clear = WebGL2RenderingContext.prototype.clear;
WebGL2RenderingContext.prototype.clear = function (...given) {
  window.__drawn.push(performance.now());
  return clear.apply(this, given);
};
window.addEventListener('pointerup', () => { window.__released = performance.now(); }, true);
"""
"""Times [ms] of pictures that came to the GPU and of frames that were drawn; of the last release of the pointer."""


def own_errors(visit: Visit) -> list[str]:
    """What the console says that is not viser's own."""
    return [e for e in visit.errors if not e.startswith(ITS_OWN)]


def come_in(visit: Visit, studio: Studio) -> None:
    """Open the studio and wait until it has drawn."""
    visit.page.add_init_script(COUNTERS)
    visit.page.goto(studio.address)
    visit.page.wait_for_selector("canvas")
    until(lambda: studio.pictures.sent > 0, visit)
    until(lambda: bool(visit.page.evaluate("window.__pictures.length")), visit)
    assert studio.room.jobs.wait(120)
    close = visit.page.locator(".mantine-Notification-closeButton")  # what viser says of a browser without a GPU
    if close.count():
        close.first.click()


def until(true: Callable[[], bool], visit: Visit, *, seconds: float = 240.0) -> None:
    """Wait until that is so, while the page goes on."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {seconds:g} s; console: {visit.errors}")
        visit.page.wait_for_timeout(50)


def settled(visit: Visit, studio: Studio) -> None:
    """Wait until nothing runs and the browser has the last picture."""
    until(lambda: studio.room.jobs.wait(0.01), visit)
    visit.page.wait_for_timeout(400)  # a camera that was just put has been told
    until(lambda: studio.pictures.current or not studio.room.shown.sight.drawn_here, visit)
    visit.page.wait_for_timeout(1000)


def on_screen(studio: Studio, point: Any = None) -> tuple[float, float]:
    """Where a point [m] (3,) is in the page [px]; none: the middle of the first thing."""
    (client,) = studio.server.get_clients().values()
    camera = browser_camera(client)
    assert camera is not None
    first = studio.room.scene.entities[0].particles
    at = studio.room.positions[first].mean(0) if point is None else point
    x, y = camera.project(at[None])[0][0]
    return float(x), float(y)


def in_page(visit: Visit, studio: Studio) -> tuple[float, float]:
    """Where the first thing is in the page [px]: viser draws fewer pixels than that where a browser is slow, and tells
    a camera of so many."""
    (client,) = studio.server.get_clients().values()
    camera, size = browser_camera(client), visit.page.viewport_size
    assert camera is not None and size is not None
    x, y = on_screen(studio)
    return x * size["width"] / camera.width, y * size["height"] / camera.height


def gripped(visit: Visit, studio: Studio, right_px: float) -> None:
    """Drag the first thing, and do not let go of it."""
    settled(visit, studio)
    mouse = visit.page.mouse
    for _ in range(TRIES):  # as in `drag`
        x, y = in_page(visit, studio)
        mouse.move(x, y)
        visit.page.wait_for_timeout(500)
        mouse.down()
        for k in range(1, 7):
            mouse.move(x + right_px * k / 6, y)
            visit.page.wait_for_timeout(100)
        ends = time.monotonic() + 8
        while not studio.acting._paths and time.monotonic() < ends:
            visit.page.wait_for_timeout(50)
        if studio.acting._paths:
            return
        mouse.up()
        settled(visit, studio)
    raise AssertionError("the thing was not gripped")


def drag(visit: Visit, studio: Studio, right_px: float, *, down_px: float = 0.0) -> str:
    """Drag the first thing; the id of the state that came of it."""
    settled(visit, studio)
    before, mouse = studio.room.state.id, visit.page.mouse
    for _ in range(TRIES):  # a slow browser may not have the thing where it is yet; the drag then turns the view
        x, y = in_page(visit, studio)
        mouse.move(x, y)
        visit.page.wait_for_timeout(200)
        mouse.down()
        for k in range(1, 7):
            mouse.move(x + right_px * k / 6, y + down_px * k / 6)
            visit.page.wait_for_timeout(60)
        mouse.up()
        ends = time.monotonic() + 8
        while studio.room.state.id == before and time.monotonic() < ends:
            visit.page.wait_for_timeout(50)
        if not studio.room.jobs.wait(0.01) or studio.room.state.id != before:
            break
    until(lambda: studio.room.state.id != before, visit)
    settled(visit, studio)
    return studio.room.state.id


def tab(visit: Visit, name: str) -> None:
    """Open a tab of the panel."""
    visit.page.get_by_role("tab", name=name).click()


def press(visit: Visit, name: str) -> None:
    """Press a button of the panel."""
    visit.page.get_by_role("button", name=name, exact=True).click()


def choose(visit: Visit, label: str, value: str) -> None:
    """Choose from one of the panel's lists."""
    visit.page.locator(f"[id=\"{visit.page.locator(f'label:text-is({label!r})').first.get_attribute('for')}\"]").click()
    visit.page.get_by_role("option", name=value, exact=True).first.click()
