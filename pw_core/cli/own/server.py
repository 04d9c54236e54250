"""The page of `pw new`, served by the standard library alone.

Drawing boxes and points on a photo is what a canvas of one HTML file does best. viser, which the studio uses, has
clicks and rectangles in a three-dimensional view, but no photo that can be zoomed with marks that stay on its pixels,
and its own client weighs megabytes. Every address needs the token that `Page.address` holds: others on this machine,
and pages of other sites in the same browser, cannot ask for anything.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pw_core.cli.own.asked import LookAsked, MakeAsked
from pw_core.cli.own.session import Session
from pw_core.config import validated
from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.limits import LIMITS

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What is taken from a browser."""

    photo_bytes: int = 100 << 20
    """Of an upload at most."""
    words_bytes: int = 1 << 20
    """Of any other request at most."""
    idle_s: float = 30.0
    """A browser that says nothing for so long in the middle of a request is given up."""


class TooMuch(Exception):
    """A request is larger than is taken."""


class Page:
    """Serves until `close`.

    Args:
        host: an address of this machine; other than the default, others' machines reach it, with the token.
        port: 0: one that is free.

    Raises:
        SceneError (STORE_FAILED): the port cannot be had.
    """

    def __init__(
        self, session: Session, *, host: str = HOST, port: int = 0, options: PageOptions = PageOptions()
    ) -> None:  # fmt: skip
        self.session, self.options = session, options
        self.token = secrets.token_urlsafe(16)
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            text = f"the page cannot be served at {host}:{port}: {error}; take another --port"
            raise SceneError(text, code=ErrorCode.STORE_FAILED) from None
        self._server.page = self
        self.host = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """For the browser, with the token."""
        return f"http://{self.host}:{self._server.server_address[1]}/?token={self.token}"

    def close(self) -> None:
        """End it, and the job that runs."""
        self._server.shutdown()
        self._server.server_close()
        self.session.close()

    def answers(self) -> dict[tuple[str, str], Callable[[dict[str, str], bytes], Any]]:
        """What is done for each method and path, of its query and body; bytes are a JPEG, other answers are JSON."""
        session = self.session
        return {
            ("GET", "/begin"): lambda q, b: {
                "photo": session.describe(session.first) if session.first else None, "materials": session.materials(),
                "job": session.job(),
            },
            ("GET", "/photo"): lambda q, b: session.photo_bytes(q.get("photo", "")),
            ("POST", "/upload"): lambda q, b: session.upload(b, q.get("name", "")),
            ("POST", "/masks"): lambda q, b: _look(session.masks, b, lens=False),
            ("POST", "/estimate"): lambda q, b: _look(session.estimate, b, lens=True),
            ("POST", "/make"): lambda q, b: _make(session, b),
            ("POST", "/stop"): lambda q, b: _stop(session),
            ("GET", "/job"): lambda q, b: session.job(),
            ("GET", "/picture"): lambda q, b: session.picture(_number(q.get("index", ""))),
        }  # fmt: skip


def _stop(session: Session) -> dict[str, Any]:
    session.stop()
    return {}


@cache
def _html() -> bytes:
    return files("pw_core.cli.own").joinpath("page.html").read_bytes()


def _look(do: Callable[..., Any], body: bytes, *, lens: bool) -> Any:
    asked = _checked(LookAsked, body)
    return do(asked.photo, asked.things, asked.hfov_deg) if lens else do(asked.photo, asked.things)


def _make(session: Session, body: bytes) -> dict[str, Any]:
    session.make(_checked(MakeAsked, body))
    return session.job()


def _checked(kind: Any, body: bytes) -> Any:
    """Raises SceneError (INVALID_CONFIG)."""
    try:
        return validated(kind, json.loads(body), source="what was drawn")
    except (ValueError, RecursionError) as error:
        raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else -1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    page: Page

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers hang up in the middle; nobody needs to read of it."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.page.options.idle_s)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the terminal, where the token would be too."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        page = self.server.page
        try:
            body = self._body(parts.path)
        except TooMuch as error:
            self.close_connection = True  # what was not read would be taken for the next request
            self._say(413, {"error": str(error), "code": int(ErrorCode.TOO_LARGE)})
            return
        token = self.headers.get("X-Token") or query.get("token", "")
        if not secrets.compare_digest(token.encode(), page.token.encode()):
            self._say(403, {"error": "open the address that `pw new` printed, with its token", "code": 0})
            return
        if (method, parts.path) == ("GET", "/"):
            self._send(200, "text/html; charset=utf-8", _html())
            return
        answer = page.answers().get((method, parts.path))
        if answer is None:
            self._say(404, {"error": f"nothing is at {parts.path}", "code": 0})
            return
        try:
            made = answer(query, body)
        except PWError as error:
            status = 409 if error.code in (ErrorCode.BUSY, ErrorCode.SCENE_EXISTS) else 400
            self._say(status, {"error": str(error), "code": int(error.code)})
        except Exception as error:  # the page tells it; the next request is served as ever
            self._say(500, {"error": f"{type(error).__name__}: {error}", "code": 0})
        else:
            if isinstance(made, bytes):
                self._send(200, "image/jpeg", made)
            else:
                self._say(200, made)

    def _body(self, path: str) -> bytes:
        options = self.server.page.options
        length = _number(self.headers.get("Content-Length") or "0")
        most = min(options.photo_bytes, LIMITS.request_bytes) if path == "/upload" else options.words_bytes
        if length < 0 or length > most or self.headers.get("Transfer-Encoding"):
            raise TooMuch(f"at most {most >> 20} MB are taken, with their length told")
        return self.rfile.read(length)

    def _say(self, status: int, fields: Any) -> None:
        self._send(status, "application/json", json.dumps(fields).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        )
        self.end_headers()
        self.wfile.write(body)
