"""Batches and searches as the worker runs them."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError, PWError
from pw_core.plan.candidates import Candidate
from pw_core.plan.executors.serial import Serial
from pw_core.plan.objective import Objective
from pw_ros.worker.context import Context
from pw_ros.worker.jobs.plan import _Search, evaluate
from pw_ros.worker.protocol import Scored
from pw_ros.worker.requests import EvaluateRequest
from support.ball_scene import ball_scene
from support.fake_world import SlidingWorld
from support.sliding import Sliding

PUSH = {"type": "push", "duration": 0.05, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}
AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05]}


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


def idle() -> Any:
    return SimpleNamespace(event=lambda e: None, serving=nullcontext, serve=lambda: None, canceled=False)


def request(*terms: dict[str, Any]) -> EvaluateRequest:
    candidates = [Candidate((parse_action({**PUSH, "magnitude": m}),)) for m in (1, 4)]
    return EvaluateRequest(candidates=candidates, objective=Objective.parse({"terms": terms or [AIM]}), duration=0.1)


@pytest.fixture
def world(tmp_path) -> SlidingWorld:
    made = SlidingWorld(tmp_path / "store")
    made.adopt(ball_scene())
    return made


def test_with_an_address_candidates_run_on_that_cluster_which_is_joined_once(world, monkeypatch) -> None:
    joined = []

    class Farm(Serial):
        def __init__(self, *, address: str, options: Any) -> None:
            joined.append((address, options.num_gpus))
            sliding = Sliding(world.scene)
            super().__init__(lambda constants: sliding)

    monkeypatch.setattr("pw_core.plan.executors.ray.Ray", Farm)
    context = Context(idle(), world, ray_address="head:6379")
    there = [evaluate(context, request()) for _ in range(2)]
    assert joined == [("head:6379", 0.0)]
    here = evaluate(Context(idle(), world), request())
    assert [s.cost for s in there[1].scores] == [s.cost for s in here.scores] and joined[1:] == []


def test_a_cluster_that_is_not_there_fails_the_goal_alone_and_the_world_is_as_it_was(world) -> None:
    context, before = Context(idle(), world, ray_address="127.0.0.1:1"), (world.head, len(world.states()))
    for _ in range(2):  # the next goal tries again
        with pytest.raises(PWError) as caught:
            evaluate(context, request())
        assert caught.value.code == ErrorCode.EXECUTOR_FAILED
    assert (world.head, len(world.states())) == before and context.used == frozenset()


def test_files_that_a_cluster_cannot_read_are_refused(world) -> None:
    shape = {"type": "shape", "entity": "ball", "file": "/somewhere/cloud.ply"}
    with pytest.raises(PlanError, match="ray_address") as caught:
        evaluate(Context(idle(), world, ray_address="auto"), request(shape))
    assert caught.value.code == ErrorCode.INVALID_OBJECTIVE
