"""A client leaves without a word, whatever its executor is doing just then."""

from __future__ import annotations

import threading
import time

import pytest

from pw_ros.client import WorldClient


def test_a_client_ends_in_silence_in_the_middle_of_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(repr(args.exc_value)))
    for k in range(20):
        client = WorldClient("nobody")
        client.node.create_timer(0.0005, lambda: None)  # its executor goes round all the while
        time.sleep(0.001 * k)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 2.0
    assert said == []


def test_a_client_whose_callback_is_at_work_leaves_nothing_destroyed_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(repr(args.exc_value)))
    begun, go = threading.Event(), threading.Event()
    client = WorldClient("nobody")

    def work() -> None:
        begun.set()
        go.wait(10)
        client.node.get_clock().now()

    client.node.create_timer(0.001, work)
    assert begun.wait(10) and not client._spinning.end(0.1)
    client.close()
    go.set()
    client._spinning._thread.join(10)
    assert said == []
