"""Who may come in: a door before viser's server, which asks nobody who they are.

On this machine alone, a page of another origin is kept out (a website that is open in the same browser could otherwise
connect to a port of localhost, cross-site WebSocket hijacking); where others can reach the port, a token is asked for:
once in the address, then as a cookie.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import threading
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from pw_core.errors import ErrorCode, SceneError

COOKIE = "pw_studio"


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What a request may cost."""

    head_bytes: int = 32768
    """Of a request's head."""
    head_s: float = 10.0
    """In which it must have come [s]."""
    chunk_bytes: int = 1 << 18
    """Passed on at once."""
    start_s: float = 5.0
    """In which the port must be open [s]."""


def is_here(host: str) -> bool:
    """Whether a host to bind to is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Listens on host and port, and passes on to a port of this machine what may come in.

    token: what is asked for; empty where only this machine can reach the port.

    Raises:
        SceneError (STORE_FAILED): the port cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, inner_port: int, *, token: str = "", options: GateOptions = GateOptions()
    ) -> None:
        self.host, self.port, self.options = host, port, options
        self.token = token or ("" if is_here(host) else secrets.token_urlsafe(18))
        self._inner = inner_port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._serve, name="studio gate", daemon=True)
        self._thread.start()
        self._ready.wait(options.start_s)
        if self._error is not None:
            raise SceneError(
                f"the studio cannot listen on {host}:{port}: {self._error.strerror or self._error}; choose another "
                "with --port", code=ErrorCode.STORE_FAILED,
            )  # fmt: skip

    @property
    def address(self) -> str:
        """For the browser, with the token."""
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def close(self) -> None:
        """Let nobody in any more."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5.0)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(
                asyncio.start_server(self._came, self.host, self.port, limit=self.options.head_bytes)
            )
            self.port = server.sockets[0].getsockname()[1]
        except OSError as error:
            self._error = error
            return
        finally:
            self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.options.head_s)
            answer = self._judge(head)
            if answer:
                writer.write(answer)
                await writer.drain()
                return
            inside, outward = await asyncio.open_connection("127.0.0.1", self._inner)
            outward.write(_one_request(head))
            await asyncio.gather(self._pass(reader, outward), self._pass(inside, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(self.options.chunk_bytes):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    def _judge(self, head: bytes) -> bytes:
        """What is answered instead of letting a request in; empty: it may come in."""
        target, headers = _parsed(head)
        origin, host = headers.get("origin", ""), headers.get("host", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return _answer("403 Forbidden", f"this studio is not for pages of {origin}")
        if not self.token:
            name = urlsplit(f"//{host}").hostname or ""
            return b"" if is_here(name) else _answer("403 Forbidden", f"this studio is not called {name}")
        given = parse_qs(urlsplit(target).query).get("token", [""])[0]
        if given and hmac.compare_digest(given.encode(), self.token.encode()):
            cookie = f"Set-Cookie: {COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/\r\nLocation: /\r\n"
            return _answer("302 Found", "", more=cookie)
        crumbs = (c.strip().partition("=") for c in headers.get("cookie", "").split(";"))
        if any(k == COOKIE and hmac.compare_digest(v.encode(), self.token.encode()) for k, _, v in crumbs):
            return b""
        return _answer("401 Unauthorized", "this studio asks for a token: open the address that `pw studio` printed")


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """The target of a request's head, and its headers by name in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    target = first.split(" ")[1] if first.count(" ") >= 2 else "/"
    pairs = (line.partition(":") for line in lines if ":" in line)
    return target, {k.strip().lower(): v.strip() for k, _, v in pairs}


def _one_request(head: bytes) -> bytes:
    """The head of a request after which the connection ends, unless it becomes a WebSocket: each request is judged."""
    first, *lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
    return b"\r\n".join([first, b"Connection: close", *kept])


def _answer(status: str, text: str, *, more: str = "") -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n{more}\r\n"
    ).encode() + body
