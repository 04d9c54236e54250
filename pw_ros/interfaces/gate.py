"""One job at a time: who may run, who waits, who is told BUSY."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

MAX_WAITING = 4


class Gate:
    """Let through by `enter`, a job holds the gate until `leave`, also when its client has long gone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.running = ""
        self.waiting = 0

    def enter(
        self, name: str, *, wait: bool, stopped: Callable[[], bool] = lambda: False
    ) -> Literal["entered", "busy", "stopped"]:
        """Take the gate for the job `name`; with `wait`, as soon as it is free, unless `stopped` says true first."""
        with self._condition:
            if self.running and (not wait or self.waiting >= MAX_WAITING):
                return "busy"
            self.waiting += 1
            try:
                while self.running:
                    if stopped():
                        return "stopped"
                    self._condition.wait(0.02)
                self.running = name
                return "entered"
            finally:
                self.waiting -= 1

    def leave(self) -> None:
        """Give it back."""
        with self._condition:
            self.running = ""
            self._condition.notify_all()
