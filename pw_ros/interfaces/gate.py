"""Who may run: one goal at a time, and services that move the head only where no running goal would move it too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_WAITING = 4
"""Goals that wait, and services that wait; each takes one of the executor's threads meanwhile."""


@dataclass(frozen=True, eq=False)
class Pass:
    """Of who was let through, or wants to be.

    Args:
        name: of the goal or service.
        alone: not beside another that is alone: goals, and what changes the scene.
        moves_head: not beside goals that move it too. Services do so one after the other and need not wait for another.
        service: takes milliseconds, so that goals wait for it and not it for goals that wait.
        goal_id: what its client calls it.
    """

    name: str
    alone: bool = True
    moves_head: bool = False
    service: bool = False
    goal_id: str = ""

    def excludes(self, other: Pass) -> bool:
        """Whether the two may not run at the same time."""
        both_move = self.moves_head and other.moves_head and not (self.service and other.service)
        return (self.alone and other.alone) or both_move

    def __str__(self) -> str:
        return f"{self.name} {self.goal_id}".strip() + (", which moves the head," if self.moves_head else "")


class Gate:
    """Let through by `enter`, a pass holds until `leave`. Goals come in their order, services before waiting goals."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: list[Pass] = []
        self._waiting: list[Pass] = []

    @property
    def running(self) -> str:
        """The name of who is alone now; empty: nobody."""
        with self._condition:
            return next((p.name for p in self._inside if p.alone), "")

    @property
    def waiting(self) -> int:
        """Goals that wait."""
        with self._condition:
            return sum(not p.service for p in self._waiting)

    def blocks(self, wanted: Pass) -> str:
        """Who is in the way of it now, for people to read; empty: nobody."""
        with self._condition:
            return next((str(p) for p in self._inside if p.excludes(wanted)), "")

    def enter(
        self, wanted: Pass, *, wait: bool, patience: float = float("inf"), stopped: Callable[[], bool] = lambda: False
    ) -> Literal["entered", "busy", "stopped"]:
        """Go in; with `wait`, as soon as may be, unless `stopped` says true first or `patience` [s] have passed."""
        until = time.monotonic() + patience
        with self._condition:
            alike = [p for p in self._waiting if p.service == wanted.service]
            if self._must_wait(wanted) and (not wait or len(alike) >= MAX_WAITING):
                return "busy"
            self._waiting.append(wanted)
            try:
                while self._must_wait(wanted):
                    if stopped():
                        return "stopped"
                    if time.monotonic() > until:
                        return "busy"
                    self._condition.wait(0.02)
                self._inside.append(wanted)
                return "entered"
            finally:
                self._waiting.remove(wanted)

    def _must_wait(self, wanted: Pass) -> bool:
        if any(p.excludes(wanted) for p in self._inside):
            return True
        if wanted.service:
            return False
        place = self._waiting.index(wanted) if wanted in self._waiting else len(self._waiting)
        return any(p.excludes(wanted) and (p.service or k < place) for k, p in enumerate(self._waiting))

    def leave(self, held: Pass) -> None:
        """Give it back. Twice is once."""
        with self._condition:
            if held in self._inside:
                self._inside.remove(held)
                self._condition.notify_all()
