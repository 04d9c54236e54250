"""World.evaluate and World.plan: the best become what-ifs that stay, the head does not move."""

from __future__ import annotations

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError, PWError
from pw_core.plan.executors.ray import Ray
from pw_core.plan.objective import Objective
from pw_core.plan.search import Budget, SearchOptions
from pw_core.plan.template import Template
from pw_core.world import World
from support.sliding import Sliding

AIM = Objective.parse({
    "terms": [{"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}]
})  # fmt: skip
PUSH = {"type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}


def pushes(*magnitudes: float):
    return [[parse_action({**PUSH, "magnitude": m})] for m in magnitudes]


@pytest.fixture
def world(scene, tmp_path, monkeypatch) -> World:
    made = World(tmp_path / "store", max_uncommitted_states=2)
    made.adopt(scene)
    built = Sliding(scene)
    monkeypatch.setattr(made, "_build", lambda progress, constants: built)
    return made


def test_the_best_can_be_committed_however_many_were_tried(world) -> None:
    running = world.evaluate(pushes(*range(1, 21)), 0.3, objective=AIM, keep=5)
    for _ in running:
        pass
    assert len(running.kept) == 5 and world.head == "root"
    assert {k.state.id for k in running.kept} <= {s.id for s in world.states()}  # though only two what-ifs are kept
    best = running.kept[0]
    world.commit(best.state.id)
    assert world.head == best.state.id and world.trajectory().id == best.trajectory.id


def test_a_newer_result_lets_the_older_ones_go_and_the_error_says_why(world) -> None:
    def best(*magnitudes: float) -> list[str]:
        running = world.evaluate(pushes(*magnitudes), 0.1, objective=AIM, keep=4)
        list(running)
        return [k.state.id for k in running.kept]

    first, second = best(1, 2, 3, 4), best(5, 6, 7, 8)
    known = {s.id for s in world.states()}
    assert set(second) <= known and len(set(first) & known) == 2
    gone = next(i for i in first if i not in known)
    with pytest.raises(PWError, match="max_uncommitted_states"):
        world.state(gone)
    with pytest.raises(PWError, match="not known"):
        world.state("s-never")
    list(world.evaluate(pushes(1), 0.1, objective=AIM, keep=0))  # names none, and lets none go
    assert set(second) <= {s.id for s in world.states()}
    world.max_uncommitted_states = 10
    third = best(9, 10)
    assert set(second) | set(third) <= {s.id for s in world.states()}


def test_an_evaluated_candidate_ends_as_its_rollout_does(world) -> None:
    running = world.evaluate(pushes(4), 0.3, objective=AIM)
    list(running)
    rollout = world.rollout(pushes(4)[0], 0.3)
    list(rollout)
    ends = [s.physics.particles.positions.tobytes() for s in (running.kept[0].state, rollout.end)]
    assert ends[0] == ends[1]


def test_a_plan_finds_the_way_and_its_end_can_be_committed(world) -> None:
    template = Template([{**PUSH, "magnitude": {"free": [0.5, 8], "name": "force"}}])
    running = world.plan(template, AIM, 0.5, budget=Budget(candidates=60), options=SearchOptions(population=10))
    list(running)
    assert running.plan.cost < 0.01
    world.commit(running.kept.state.id)
    assert world.state("").physics.particles.positions[:, 0].mean() == pytest.approx(0.7, abs=0.01)


def test_bad_input_changes_nothing(world) -> None:
    before = [s.id for s in world.states()]
    unknown = Objective.parse({"terms": [{"type": "reach", "entity": "bowl", "position": [0, 0, 0]}]})
    template = Template([{**PUSH, "magnitude": {"free": [0.5, 8]}}])
    away = Ray(address="127.0.0.1:1")

    def cloud(points: list) -> Objective:
        return Objective.parse({"terms": [{"type": "shape", "entity": "ball", "points": points}]})

    for ask, code in (
        (lambda: world.evaluate([], 0.3, objective=AIM), ErrorCode.INVALID_CANDIDATES),
        (lambda: world.evaluate(pushes(1) * 10_001, 0.3, objective=AIM), ErrorCode.INVALID_CANDIDATES),
        (lambda: world.evaluate(pushes(1), -1, objective=AIM), ErrorCode.INVALID_DURATION),
        (lambda: world.evaluate(pushes(1), 0.3, objective=unknown), ErrorCode.UNKNOWN_ENTITY),
        (lambda: world.evaluate(pushes(1), 0.3, objective=AIM, start="s-no"), ErrorCode.UNKNOWN_STATE),
        (lambda: world.evaluate(pushes(1), 0.3, objective=cloud([])), ErrorCode.INVALID_OBJECTIVE),
        (lambda: Template([{**PUSH, "magnitude": {"free": [8, 0.5]}}]), ErrorCode.INVALID_TEMPLATE),
        (lambda: world.plan(template, AIM, 0.3, budget=Budget()), ErrorCode.INVALID_BUDGET),
        (lambda: world.plan(template, AIM, 0.3, budget=Budget(candidates=0)), ErrorCode.INVALID_BUDGET),
        (lambda: world.plan(template, AIM, 0.3, budget=Budget(seconds=0)), ErrorCode.INVALID_BUDGET),
        (lambda: list(world.evaluate(pushes(1), 0.3, objective=AIM, executor=away)), ErrorCode.EXECUTOR_FAILED),
        (
            lambda: list(world.plan(template, AIM, 0.3, budget=Budget(candidates=5), executor=away)),
            ErrorCode.EXECUTOR_FAILED,
        ),
    ):
        with pytest.raises(PWError) as caught:
            ask()
        assert caught.value.code == code
    with pytest.raises(PlanError):
        list(world.plan(template, AIM, 0.3, budget=Budget(candidates=5), options=SearchOptions(sampler="best")))
    assert [s.id for s in world.states()] == before and world.head == "root"
