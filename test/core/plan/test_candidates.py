"""Candidates run alone, in any batch and any order to the same bits; what fails costs inf and says why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.batch import Best
from pw_core.plan.candidates import Candidate, Outcome, Score, check_candidates, run_candidate

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}


def push(magnitude: float, *, entity: str = "", azimuth: float = 0.0) -> Candidate:
    direction = [math.cos(azimuth), math.sin(azimuth), 0]
    fields = {"type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "direction": direction, "radius": 0.1}
    return Candidate((parse_action({**fields, "magnitude": magnitude, "entity": entity}),))


def costs_of(serial, job, candidates, **options) -> dict[int, float]:
    return {o.score.index: o.score.cost for o in serial.run(job, candidates, **options)}


def test_a_candidate_gives_the_same_alone_and_in_any_batch(serial, job) -> None:
    batch = [push(m) for m in (2, 3, 4, 5)]
    together = costs_of(serial, job(AIM), batch)
    backwards = costs_of(serial, job(AIM), batch[::-1])
    alone = [costs_of(serial, job(AIM), [c])[0] for c in batch]
    assert [together[i] for i in range(4)] == alone == [backwards[3 - i] for i in range(4)]
    assert len(set(alone)) == 4


def test_a_goal_that_is_reached_ends_the_candidate(serial, job) -> None:
    reach = {**AIM, "position": [0.62, 0, 0.05]}
    outcome = next(serial.run(job(reach, stop_when=[{"term": "reach", "below": 0.02}]), [push(8)]))
    assert outcome.score.reached and outcome.score.time_s < 0.5 and outcome.score.cost <= 0.02


def test_what_fails_costs_inf_and_the_others_go_on(serial, job) -> None:
    outcomes = list(serial.run(job(AIM), [push(2000), push(3)]))
    assert outcomes[0].score.cost == math.inf and outcomes[0].score.error_code == ErrorCode.OUT_OF_BOUNDS
    assert "domain" in outcomes[0].score.error and math.isfinite(outcomes[1].score.cost)


def test_hopeless_ones_are_given_up_and_the_best_do_not_change(sliding, serial, job) -> None:
    along = job({**AIM, "when": "along"})
    candidates = [push(m) for m in (5, 0.1, 4, 0.2, 6)]
    whole, pruned = Best(keep=2), Best(keep=2)
    for outcome in serial.run(along, candidates):
        whole.add(outcome)
    steps, sliding.steps = sliding.steps, 0
    for outcome in serial.run(along, candidates, bound=pruned.bound):
        pruned.add(outcome)
    assert [o.score for o in pruned.kept] == [o.score for o in whole.kept]
    assert any(s.pruned for s in pruned.scores.values()) and sliding.steps < steps


def test_only_the_best_keep_their_frames(serial, job) -> None:
    best = Best(keep=2)
    for outcome in serial.run(job(AIM), [push(m) for m in (1, 2, 3, 4, 5)]):
        best.add(outcome)
    order = sorted(best.scores.values(), key=lambda s: s.cost)
    assert [o.score.index for o in best.kept] == [s.index for s in order[:2]] and len(best.scores) == 5
    assert all(len(o.frames) == 11 for o in best.kept)


def test_the_bound_is_the_cost_of_the_last_that_would_be_kept() -> None:
    best, costs = Best(keep=3), [5.0, math.inf, 2.0, 9.0, 1.0, 2.0]
    for i, cost in enumerate(costs):
        best.add(Outcome(Score(i, cost)))
        done = sorted(costs[: i + 1])
        assert best.cost == done[0] and best.bound() == (done[2] if i >= 2 else math.inf)
    best.add(Outcome(Score(6, 0.5, pruned=True)))
    assert best.cost == 1.0 and best.bound() == 2.0


def test_calling_off_passes_through(serial, job) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(serial.run(job(AIM), [push(1)], stopped=stopped))


def test_bad_batches_are_refused_before_anything_runs(scene, sliding) -> None:
    for candidates, code, text in (
        ([], ErrorCode.INVALID_CANDIDATES, "no candidates"),
        ([push(1)] * 11, ErrorCode.INVALID_CANDIDATES, "at most 10"),
        ([push(1), push(1, entity="bowl")], ErrorCode.UNKNOWN_ENTITY, "candidate 1"),
    ):
        with pytest.raises(PlanError, match=text) as caught:
            check_candidates(candidates, scene, most=10)
        assert caught.value.code == code
    assert sliding.resets == 0


def test_frames_are_those_of_a_rollout(sliding, job) -> None:
    frames = run_candidate(sliding, job(AIM), push(3), index=0).frames
    assert [f.time_s for f in frames] == pytest.approx(np.arange(11) * 0.05)
    assert frames[0].physics.particles.positions.tobytes() == sliding.scene.rest.tobytes()
