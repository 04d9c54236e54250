"""Who may come in."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from pw_core.errors import SceneError
from pw_core.studio.gate import Gate, is_here


@pytest.fixture
def inner():
    """A server that answers each request with its head."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head and (data := peer.recv(65536)):
                head += data
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(head) + head)
            peer.close()

    threading.Thread(target=run, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def ask(gate: Gate, target: str = "/", **headers: str) -> tuple[int, str, str]:
    """Status, cookie and body."""
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=10)
    connection.request("GET", target, headers=headers)
    reply = connection.getresponse()
    out = reply.status, reply.getheader("Set-Cookie", ""), reply.read().decode()
    connection.close()
    return out


def test_on_this_machine_pages_of_other_origins_are_kept_out(inner: int) -> None:
    gate = Gate("127.0.0.1", 0, inner)
    try:
        assert ask(gate)[0] == 200 and not gate.token
        assert ask(gate, Origin=f"http://127.0.0.1:{gate.port}")[0] == 200
        assert ask(gate, Origin="http://evil.example")[0] == 403
        assert ask(gate, Host="evil.example")[0] == 403  # a name that was made to point here
    finally:
        gate.close()


def test_where_others_reach_it_a_token_is_asked_for_once(inner: int) -> None:
    gate = Gate("0.0.0.0", 0, inner)
    try:
        assert len(gate.token) > 20 and gate.token in gate.address
        assert ask(gate)[0] == 401 and ask(gate, "/?token=wrong")[0] == 401
        status, cookie, _ = ask(gate, f"/?token={gate.token}")
        assert status == 302 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert ask(gate, Cookie=cookie.split(";")[0])[0] == 200
        assert ask(gate, Cookie="pw_studio=wrong")[0] == 401
    finally:
        gate.close()


def test_a_request_cannot_be_hidden_behind_one_that_was_let_in(inner: int) -> None:
    gate = Gate("127.0.0.1", 0, inner)
    try:
        assert "Connection: close" in ask(gate, Connection="keep-alive")[2]
    finally:
        gate.close()


def test_a_port_that_is_taken_is_said(inner: int) -> None:
    with pytest.raises(SceneError, match="choose another"):
        Gate("127.0.0.1", inner, inner)


def test_loopback_is_told_from_the_rest() -> None:
    assert is_here("localhost") and is_here("127.0.0.1") and is_here("::1")
    assert not is_here("0.0.0.0") and not is_here("192.168.1.4") and not is_here("example.org")
