"""Robust plans: each candidate under constants of the posterior, one score."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Candidate
from pw_core.plan.executors.building import with_constants
from pw_core.plan.executors.processes import Processes
from pw_core.plan.executors.serial import Serial
from pw_core.plan.robust import Robust, RobustOptions, draw_constants
from support.sliding import Sliding

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}
FIGURES = {"error of floor_friction": 0.4, "psnr": 30.0}


def push(magnitude: float) -> Candidate:
    fields = {"type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}
    return Candidate((parse_action({**fields, "magnitude": magnitude}),))


def test_draws_lie_about_the_estimate_as_the_posterior_says(scene) -> None:
    draws = draw_constants(scene, {"floor_friction": 0.3}, FIGURES, RobustOptions(draws=401))
    assert draws[0] == {"floor_friction": pytest.approx(0.3)}
    logs = np.log([d["floor_friction"] for d in draws])
    assert logs.mean() == pytest.approx(math.log(0.3), abs=0.02) and logs.std() == pytest.approx(0.4, rel=0.15)
    assert draws == draw_constants(scene, {"floor_friction": 0.3}, FIGURES, RobustOptions(draws=401))


def test_a_stiffness_is_never_drawn_beyond_what_the_simulation_was_built_for(scene) -> None:
    figures = {"error of ball.youngs_modulus_pa": 1.0}
    drawn = [d["ball.youngs_modulus_pa"] for d in draw_constants(scene, {}, figures, RobustOptions(draws=101))]
    assert max(drawn) == pytest.approx(2 * scene.config.entities[0].material.youngs_modulus_pa)


def test_the_score_is_the_mean_or_a_quantile_and_the_frames_are_the_estimates(sliding, job) -> None:
    constants = [{"floor_friction": f} for f in (0.3, 0.2, 0.45)]
    serial = Serial(partial(with_constants, sliding))
    aim, batch = job(AIM), [push(3.0), push(4.0)]
    each = [[next(serial.run(aim, [replace(c, constants=k)])) for k in constants] for c in batch]
    for options, joined in (
        (RobustOptions(draws=3), np.mean),
        (RobustOptions(draws=3, quantile=1.0), np.max),
    ):
        found = {o.score.index: o for o in Robust(serial, constants, options=options).run(aim, batch)}
        for i, of in enumerate(each):
            assert found[i].score.cost == pytest.approx(joined([o.score.cost for o in of]))
            ends = [o.frames[-1].physics.particles.positions.tobytes() for o in (found[i], of[0])]
            assert ends[0] == ends[1]


@pytest.mark.slow
def test_draws_that_run_side_by_side_come_to_the_same(sliding, job) -> None:
    constants = [{"floor_friction": f} for f in (0.3, 0.2, 0.45)]
    batch, options = [push(0.5 + 0.5 * i) for i in range(9)], RobustOptions(draws=3, together=4)
    serial = Serial(partial(with_constants, sliding))
    alone = {o.score.index: o for o in Robust(serial, constants, options=options).run(job(AIM), batch)}
    processes = Processes(Sliding, count=2)
    try:
        found = list(Robust(processes, constants, options=options).run(job(AIM), batch))
    finally:
        processes.close()
    assert sorted(o.score.index for o in found) == list(range(9))
    for outcome in found:
        wanted = alone[outcome.score.index]
        assert outcome.score == wanted.score
        assert [f.physics.particles.positions.tobytes() for f in outcome.frames] == [
            f.physics.particles.positions.tobytes() for f in wanted.frames
        ]


def test_only_the_best_are_run_again_for_their_frames(serial, job) -> None:
    constants = [{"floor_friction": f} for f in (0.3, 0.2)]
    batch, best, again = [push(0.5 + 0.5 * i) for i in range(8)], [math.inf], []
    for outcome in Robust(serial, constants, options=RobustOptions(draws=2)).run(
        job(AIM), batch, worth=lambda: best[0]
    ):  # fmt: skip
        assert bool(outcome.frames) == (outcome.score.cost <= best[0])
        again += [outcome.score.index] * bool(outcome.frames)
        best[0] = min(best[0], outcome.score.cost)
    assert again and best[0] == min(
        o.score.cost for o in Robust(serial, constants, options=RobustOptions(draws=2)).run(job(AIM), batch)
    )


def test_one_that_fails_under_a_constant_that_counts_costs_infinity(serial, job) -> None:
    constants = [{"floor_friction": 0.3}, {"floor_friction": 0.0}]
    fast = push(25.0)
    whole = next(Robust(serial, constants, options=RobustOptions(draws=2)).run(job(AIM), [fast])).score
    assert whole.cost == math.inf and whole.error_code == ErrorCode.OUT_OF_BOUNDS
    half = next(Robust(serial, constants, options=RobustOptions(draws=2, quantile=0.4)).run(job(AIM), [fast])).score
    assert math.isfinite(half.cost) or half.error_code


def test_what_makes_no_robust_plan_is_refused(scene) -> None:
    for make in (
        lambda: RobustOptions(draws=1), lambda: RobustOptions(quantile=1.5),
        lambda: draw_constants(scene, {}, {"psnr": 30.0}, RobustOptions()),
    ):  # fmt: skip
        with pytest.raises(PlanError) as caught:
            make()
        assert caught.value.code == ErrorCode.INVALID_BUDGET
