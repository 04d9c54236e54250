"""Batches and searches as the worker runs them."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from pw_core.errors import ErrorCode, PlanError
from pw_ros.worker.plan import _Search
from pw_ros.worker.protocol import Scored


class Steps:
    """Ten steps; what is best is kept as they are closed."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self._steps = self._run()

    def _run(self) -> Any:
        last = -1
        try:
            for last in range(10):
                yield last
        finally:
            self.kept.append(last)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> int:
        return next(self._steps)

    def close(self) -> None:
        self._steps.close()


def test_a_search_called_off_between_two_steps_keeps_the_best_so_far() -> None:
    desk = SimpleNamespace(event=lambda e: None, serving=nullcontext, serve=lambda: None, canceled=False)
    search, steps, told = _Search(SimpleNamespace(desk=desk), None, ""), Steps(), []

    def tell(step: int) -> Scored:
        told.append(step)
        desk.canceled = step == 3
        return None

    assert search.run(steps, tell)
    assert told == [0, 1, 2, 3] and steps.kept == [3]


def test_other_errors_come_through_and_an_end_is_no_cancel() -> None:
    desk = SimpleNamespace(event=lambda e: None, serving=nullcontext, serve=lambda: None, canceled=False)
    search = _Search(SimpleNamespace(desk=desk), None, "")
    assert not search.run(Steps(), lambda step: None)

    def fail(step: int) -> Scored:
        raise PlanError("no", code=ErrorCode.INVALID_CANDIDATES)

    try:
        search.run(Steps(), fail)
    except PlanError as error:
        assert error.code == ErrorCode.INVALID_CANDIDATES
    else:
        raise AssertionError("the error was lost")
