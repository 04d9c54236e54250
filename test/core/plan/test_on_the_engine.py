"""The fast engine under candidates: the same bits in any company, goals that end, hopeless ones given up."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.batch import Best
from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.plan.coarse import Coarsening
from pw_core.plan.executors.building import in_process
from pw_core.plan.screened import Screened, ScreenOptions
from support.ball_scene import ball_scene

pytestmark = pytest.mark.slow

AIM = {"type": "reach", "entity": "ball", "position": [0.66, 0.02, 0.05], "axes": [True, True, False]}
PUSH = {"type": "push", "duration": 0.05, "center": [0.6, 0, 0.05], "direction": [1, 0.2, 0], "radius": 0.1}


def push(magnitude: float, **constants: float) -> Candidate:
    return Candidate((parse_action({**PUSH, "magnitude": magnitude}),), constants)


@pytest.fixture(scope="module")
def fast_scene():
    scene = ball_scene()
    settings = scene.config.simulation.model_copy(update={"engine": "fast"})
    refine = scene.config.refine.model_copy(update={"estimate": ("stiffness",)})  # room for stiffer ones
    return replace(scene, config=scene.config.model_copy(update={"simulation": settings, "refine": refine}))


@pytest.fixture(scope="module")
def engine(fast_scene):
    return in_process(fast_scene)


@pytest.fixture
def on(fast_scene, job):
    def make(*terms, **options) -> Job:
        return replace(job(*terms, **options), scene=fast_scene)

    return make


def bits(outcome: Outcome) -> tuple[float, bytes]:
    return outcome.score.cost, b"".join(v.tobytes() for v in outcome.frames[-1].physics.particles.arrays().values())


def test_a_candidate_gives_the_same_bits_alone_in_a_batch_and_after_anything(engine, on) -> None:
    aim = on(AIM)
    stiff = {"ball.youngs_modulus_pa": 1.2e4}
    batch = [push(3), push(7), push(5, **stiff), push(7), push(2000), push(5)]
    together = {o.score.index: o for o in engine.run(aim, batch)}
    backwards = {len(batch) - 1 - o.score.index: o for o in engine.run(aim, batch[::-1])}
    assert together[4].score.error_code == ErrorCode.OUT_OF_BOUNDS
    for i in (0, 1, 2, 3, 5):
        assert bits(together[i]) == bits(backwards[i]) == bits(next(engine.run(aim, [batch[i]])))
    assert bits(together[1]) == bits(together[3]) and bits(together[2]) != bits(together[5])


def test_constants_that_cannot_be_fail_their_candidate_alone(engine, on) -> None:
    batch = [push(3, **{"ball.youngs_modulus_pa": 1e9}), push(3)]
    first, second = engine.run(on(AIM), batch)
    assert first.score.error_code == ErrorCode.UNSTABLE and math.isfinite(second.score.cost)


def test_a_goal_ends_a_candidate_and_the_hopeless_are_given_up(engine, on) -> None:
    near = next(engine.run(on(AIM, stop_when=[{"term": "reach", "below": 0.045}]), [push(7)])).score
    assert near.reached and near.time_s < 0.5
    along = on({**AIM, "when": "along"})
    candidates = [push(7), push(0.1), push(6), push(0.2)]
    whole, pruned = Best(keep=1), Best(keep=1)
    for outcome in engine.run(along, candidates):
        whole.add(outcome)
    for outcome in engine.run(along, candidates, bound=pruned.bound, worth=pruned.bound):
        pruned.add(outcome)
    assert [bits(o) for o in pruned.kept] == [bits(o) for o in whole.kept]
    assert all(pruned.scores[i].pruned and pruned.scores[i].time_s < 0.5 for i in (1, 3))


def test_a_coarse_scene_is_simulated_and_tells_about_the_same(engine, on) -> None:
    fine = on(AIM)
    coarse = Coarsening(fine.scene, factor=1.5)
    assert len(coarse.scene.rest) < len(fine.scene.rest) / 2
    job = Job(coarse.scene, coarse.state(fine.start), fine.objective, fine.times)
    for name in ("positions", "F"):
        before, after = (getattr(j.start.physics.particles, name).mean(0) for j in (fine, job))
        assert before == pytest.approx(after, abs=0.005)
    batch = [push(3), push(5), push(7)]
    costs = [[o.score.cost for o in e.run(j, batch)] for e, j in ((engine, fine), (in_process(job.scene), job))]
    order = [sorted(range(3), key=c.__getitem__) for c in costs]
    assert order[0] == order[1]


def test_screening_runs_the_promising_at_full_resolution_and_ranks_the_others_behind(engine, on) -> None:
    fine, batch = on(AIM), [push(m) for m in (0.1, 7, 3, 0.2, 6)]
    alone = {o.score.index: o for o in engine.run(fine, batch)}
    screened = Screened(engine, in_process, options=ScreenOptions(factor=1.5, share=0.4))
    outcomes = list(screened.run(fine, batch))
    assert [o.score.pruned for o in outcomes] == [False, False, True, True, True]
    assert {o.score.index for o in outcomes[:2]} == {1, 4}
    for outcome in outcomes[:2]:
        assert bits(outcome) == bits(alone[outcome.score.index])
    assert min(o.score.cost for o in outcomes[2:]) >= max(o.score.cost for o in outcomes[:2])
    with pytest.raises(PlanError, match="factor above 1"):
        ScreenOptions(factor=1)
