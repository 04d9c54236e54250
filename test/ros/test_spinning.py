"""A client leaves without a word, whatever its executor is doing just then."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import rclpy
from rclpy.action import ActionServer
from rclpy.executors import SingleThreadedExecutor

from pw_core.errors import ErrorCode, PWError
from pw_msgs.action import Rollout
from pw_ros.client import WorldClient
from pw_ros.spinning import Spinning
from support.ros_world import until


def test_a_client_ends_in_silence_in_the_middle_of_a_wait(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    said: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(repr(args.exc_value)))
    for k in range(20):
        client = WorldClient("nobody")
        client.node.create_timer(0.0005, lambda: None)  # its executor goes round all the while
        time.sleep(0.001 * k)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 2.0
    assert said == [] and "[spinning]" not in capfd.readouterr().err


def test_what_a_callback_raises_is_told_and_the_spinning_goes_on(capfd) -> None:
    with WorldClient("nobody") as client:
        raised = []

        def fault() -> None:
            raised.append(1)
            raise KeyError("of a callback")

        client.node.create_timer(0.01, fault)
        until(lambda: len(raised) > 2)
        assert client._spinning.do(lambda: 3) == 3
    assert "[spinning]: KeyError: 'of a callback'" in capfd.readouterr().err


def test_a_client_whose_callback_is_at_work_leaves_nothing_destroyed_under_it(
    monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
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
    assert said == [] and "[spinning]" not in capfd.readouterr().err


def test_what_the_spinning_thread_does_for_others_comes_back_or_up() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    spinning = Spinning(SingleThreadedExecutor(context=context), name="mine")
    assert spinning.do(lambda: threading.current_thread().name) == "mine"
    with pytest.raises(ZeroDivisionError):
        spinning.do(lambda: 1 // 0)
    assert spinning.do(lambda: spinning.do(lambda: 3)) == 3
    assert spinning.end()
    context.try_shutdown()


class Slow(dict[bytes, Any]):
    """Takes its time to note something down."""

    def __setitem__(self, key: bytes, value: Any) -> None:
        time.sleep(0.2)
        super().__setitem__(key, value)


def test_a_goal_answered_while_it_is_sent_is_heard_of() -> None:
    """rclpy notes down whom to tell after it has sent a goal; what spins must not take the answer before."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("quick", context=context)

    def refused(handle: Any) -> Rollout.Result:
        handle.abort()
        return Rollout.Result(error_code=int(ErrorCode.BUSY), error_msg="busy")

    server = ActionServer(node, Rollout, "/quick/rollout", refused)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    spinning = Spinning(executor)
    with WorldClient("quick", timeout=5.0) as client:
        client._actions[Rollout]._feedback_callbacks = Slow()
        client.rollout([], 0.1)
        with pytest.raises(PWError, match="busy"):
            client.result(10)
    assert spinning.end()
    server.destroy()
    node.destroy_node()
    context.try_shutdown()
