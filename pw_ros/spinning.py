"""A thread that spins an executor, and its end.

rclpy's `Executor.shutdown` does not wait for a thread that is in `spin` (it asks whether it is shut down just after it
has said so): it destroys the guard condition that this thread waits on, which then raises InvalidHandle, or a
generator that it has just taken away. Here the thread leaves first.

Nor may another thread send goals while one spins: rclpy's action client notes down whom to tell of the answer after it
has sent the goal, so that one which comes at once is never heard of, or raises "list.remove(x): x not in list". Here
`do` has the spinning thread send.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rclpy.executors import Executor, ExternalShutdownException
from rclpy.logging import get_logger

T = TypeVar("T")
ERROR_PAUSE_S = 0.01
"""After an error, so that one which comes again and again leaves the processor to others."""


class Spinning:
    """Spins `executor` from now on, in a thread of that name; `end` it before its nodes are destroyed. What a callback
    raises is logged, and the spinning goes on."""

    def __init__(self, executor: Executor, *, name: str = "spinning") -> None:
        self._executor = executor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._executor.spin_once()
            except ExternalShutdownException:
                return
            except Exception as error:  # of one callback: no reason to answer nobody from now on
                get_logger("spinning").error(f"{type(error).__name__}: {error}")
                self._stop.wait(ERROR_PAUSE_S)

    def do(self, call: Callable[[], T], *, timeout: float = 30.0) -> T:
        """What `call` returns or raises, which is called in the thread that spins; TimeoutError after `timeout` [s]."""
        if threading.current_thread() is self._thread:
            return call()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(call())
            except BaseException as error:  # it is the caller's
                done.set_exception(error)

        self._executor.create_task(run)
        return done.result(timeout)

    def end(self, timeout: float = 2.0) -> bool:
        """Whether the thread has left within `timeout` [s]; then the executor is shut down too. A callback that is
        still at work is the reason where it has not: what it uses must not be destroyed."""
        self._stop.set()
        self._executor.create_task(_nothing)  # a wake alone would have it wait again
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        return bool(self._executor.shutdown(timeout_sec=timeout))


def _nothing() -> None:
    """Work that makes a turn of an executor end."""
