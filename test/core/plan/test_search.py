"""A plan moves the ball to its place, comes out the same again, and ends when it should."""

from __future__ import annotations

import math

import pytest

from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.search import Budget, Plan, SearchOptions, search
from pw_core.plan.template import Template

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.08, 0.05], "axes": [True, True, False]}
PUSH = {
    "type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "radius": 0.1,
    "direction": {"azimuth_deg": {"free": [-180, 180], "name": "towards"}},
    "magnitude": {"free": [0.5, 8], "name": "force"},
}  # fmt: skip


def planned(job, serial, *, budget=None, **options) -> Plan:
    plan = Plan()
    for _ in search(job, Template([PUSH]), serial, plan, budget=budget or Budget(candidates=240),
                    options=SearchOptions(**options)):  # fmt: skip
        pass
    return plan


@pytest.mark.parametrize("sampler", ["cem", "mppi", "cma_es"])
def test_a_plan_brings_the_ball_to_its_place(job, serial, sampler) -> None:
    plan = planned(job(AIM), serial, sampler=sampler, seed=1)
    assert plan.cost < 0.01 and plan.evaluated <= 240
    assert plan.values["towards"] == pytest.approx(math.degrees(math.atan2(0.08, 0.1)), abs=8)
    costs = [cost for _, _, cost in plan.history]
    assert costs == sorted(costs, reverse=True) and plan.history[-1][2] == plan.cost
    assert plan.outcome is not None and plan.outcome.frames


def test_the_same_seed_gives_the_same_plan(job, serial) -> None:
    first, again = (planned(job(AIM), serial, seed=5, budget=Budget(candidates=60)) for _ in range(2))
    assert first.values == again.values and first.cost == again.cost


def test_a_warm_start_needs_fewer_candidates(job, serial) -> None:
    goal = job(AIM, stop_when=[{"term": "reach", "below": 0.005}])
    cold = planned(goal, serial, seed=2, budget=Budget(candidates=400))
    warm = Plan()
    for _ in search(goal, Template([PUSH]), serial, warm, budget=Budget(candidates=400), options=SearchOptions(seed=2),
                    warm=Template([PUSH]).point(cold.values)):  # fmt: skip
        pass
    assert cold.why == warm.why == "the goal was reached" and warm.evaluated <= cold.evaluated


def test_budgets_end_a_search_and_whoever_stops_has_the_best_so_far(job, serial) -> None:
    assert planned(job(AIM), serial, budget=Budget(candidates=7)).evaluated == 7
    assert "0.001 s" in planned(job(AIM), serial, budget=Budget(seconds=1e-3)).why
    plan = Plan()
    steps = search(job(AIM), Template([PUSH]), serial, plan, budget=Budget(candidates=100), options=SearchOptions())
    for step in steps:
        if step.evaluated == 5:
            steps.close()
            break
    assert plan.evaluated == 5 and math.isfinite(plan.cost) and plan.actions and step.eta_s > 0


@pytest.mark.parametrize("sampler", ["cem", "mppi", "cma_es", "random"])
def test_a_budget_may_end_within_a_generation(job, serial, sampler) -> None:
    plan = planned(job(AIM), serial, sampler=sampler, population=10, budget=Budget(candidates=25))
    assert plan.evaluated == 25 and plan.why == "25 candidates were tried"


def test_a_budget_of_nothing_is_refused() -> None:
    for fields in ({}, {"candidates": -1}, {"seconds": float("nan")}):
        with pytest.raises(PlanError) as caught:
            Budget(**fields)
        assert caught.value.code == ErrorCode.INVALID_BUDGET
