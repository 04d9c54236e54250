"""Batches and plans leave the best, also when called off."""

from __future__ import annotations

import math

import pytest

from pw_core.actions import parse_action
from pw_core.errors import PlanError
from pw_core.plan.candidates import Candidate
from pw_core.plan.running import Evaluating, Planning
from pw_core.plan.search import Budget, SearchOptions
from pw_core.plan.template import Template

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}
PUSH = {"type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}


def pushes(*magnitudes: float) -> list[Candidate]:
    return [Candidate((parse_action({**PUSH, "magnitude": m}),)) for m in magnitudes]


def test_the_best_are_kept_with_their_states(job, serial) -> None:
    kept: list = []
    running = Evaluating(job(AIM), pushes(1, 3, 5, 2000), serial, kept.extend, best=2, prune=False)
    steps = list(running)
    assert [s.evaluated for s in steps] == [1, 2, 3, 4] and steps[-1].eta_s == 0
    costs = [s.cost for s in running.scores if s is not None]
    assert costs[3] == math.inf and running.scores[3].error
    assert [k.score.cost for k in running.kept] == sorted(costs)[:2]
    assert [s.id for s, _ in kept] == [k.state.id for k in running.kept]
    best = running.kept[0]
    assert best.state.parent == "root" and best.trajectory.end == best.state.id
    assert best.trajectory.actions == pushes(1, 3, 5, 2000)[best.score.index].actions
    assert best.state.physics.particles.positions.tobytes() == best.trajectory.positions[-1].tobytes()


def test_a_batch_called_off_keeps_what_it_found(job, serial) -> None:
    kept: list = []
    running = Evaluating(job(AIM), pushes(1, 3, 5), serial, kept.extend, best=3, prune=False)
    next(running), next(running)
    running.close()
    assert len(kept) == 2 and running.scores[2] is None


def test_a_plan_called_off_keeps_the_best_so_far(job, serial) -> None:
    kept: list = []
    template = Template([{**PUSH, "magnitude": {"free": [0.5, 8], "name": "force"}}])
    running = Planning(job(AIM), template, serial, kept.extend, budget=Budget(candidates=50), options=SearchOptions())
    with pytest.raises(PlanError, match="has not ended"):
        _ = running.kept
    for step in running:
        if step.evaluated == 4:
            running.close()
            break
    assert len(kept) == 1 and running.kept.score.cost == running.plan.cost and running.plan.evaluated == 4
    assert running.kept.trajectory.actions == running.plan.actions


def test_a_plan_of_nothing_but_failures_says_why(job, serial) -> None:
    template = Template([{**PUSH, "magnitude": {"free": [2000, 3000]}}])
    running = Planning(job(AIM), template, serial, lambda _: None, budget=Budget(candidates=4), options=SearchOptions())
    list(running)
    with pytest.raises(PlanError, match="left the domain"):
        _ = running.kept
