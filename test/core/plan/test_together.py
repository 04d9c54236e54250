"""Candidates in one launch of CUDA's kernels, played by a CPU, against the same one after the other on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode
from pw_core.plan.candidates import Candidate, Job
from pw_core.plan.executors.building import all_at_once, in_process
from pw_core.plan.executors.together import Together, TogetherOptions
from pw_core.plan.objective import Objective
from pw_core.scene import State
from pw_core.simulate.fast_cuda import worlds
from pw_core.simulate.fast_cuda.engine import CudaOptions
from pw_core.simulate.settings import choose_settings
from support import cuda_host
from support.ball_scene import ball_scene

AIM = {"type": "reach", "entity": "ball", "position": [0.66, 0.02, 0.05], "axes": [True, True, False]}
ALONG = {"type": "at_rest", "entity": "ball", "when": "along", "weight": 0.1}
PUSH = {"type": "push", "duration": 0.03, "center": [0.6, 0, 0.05], "direction": [1, 0.2, 0], "radius": 0.1}


def push(magnitude: float, *, constants: dict[str, float] | None = None, **fields: object) -> Candidate:
    return Candidate((parse_action({**PUSH, "magnitude": magnitude, **fields}),), constants or {})


@pytest.fixture(scope="module")
def scene():
    scene = ball_scene()
    settings = scene.config.simulation.model_copy(update={"engine": "fast"})
    return replace(scene, config=scene.config.model_copy(update={"simulation": settings}))


@pytest.fixture
def together(monkeypatch):
    """On a CPU that plays a GPU."""
    if not cuda_host.available():
        pytest.skip("no C++ compiler for x86-64 here")
    monkeypatch.setattr("pw_core.simulate.fast_cuda.engine.Gpu", cuda_host.HostGpu)
    few = CudaOptions(block_threads=64, least_block_threads=64, largest_cluster=1)
    defaults = worlds.CudaWorlds.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "options", few)
    return Together(choose_settings)


@pytest.fixture
def aim(scene):
    start = State("root", "", 0.0, scene.initial_physics())
    return Job.of(scene, start, Objective.parse({"terms": [AIM, ALONG]}), duration=0.05, frame_interval=0.02)


def by_index(outcomes):
    return {o.score.index: o for o in outcomes}


def test_a_batch_on_the_gpu_scores_as_the_cpu_does(scene, together, aim) -> None:
    batch = [
        push(3), push(7), push(5, constants={"ball.youngs_modulus_pa": 4e3, "floor_friction": 0.2, "wind_y": 1.0}),
        push(5, center=[0.2, 0.3, 0.3]), push(5, entity="none"), push(1, constants={"floor_friction": -1.0}),
    ]  # fmt: skip
    cpu, gpu = (by_index(e.run(aim, batch)) for e in (in_process(scene), together))
    assert sorted(gpu) == list(range(6))
    for i in (0, 1, 2):
        assert gpu[i].score.terms == pytest.approx(cpu[i].score.terms, rel=1e-4)
        assert [f.time_s for f in gpu[i].frames] == [f.time_s for f in cpu[i].frames]
        for a, b in zip(gpu[i].frames, cpu[i].frames, strict=True):
            np.testing.assert_allclose(a.physics.particles.positions, b.physics.particles.positions, atol=1e-6)
        ends = [o.frames[-1].physics.particles for o in (gpu[i], cpu[i])]
        np.testing.assert_allclose(ends[0].F, ends[1].F, atol=1e-4)
    for i in (3, 4, 5):
        assert gpu[i].score.error_code == cpu[i].score.error_code != 0
    assert gpu[3].score.error_code == ErrorCode.INVALID_ACTION


def test_a_candidate_gives_the_same_bits_alone_and_in_parts(together, aim) -> None:
    batch = [push(3), push(7), push(11)]
    whole = by_index(together.run(aim, batch))
    alone = by_index(together.run(aim, [push(7)]))
    parts = by_index(Together(choose_settings, options=TogetherOptions(most_worlds=2)).run(aim, batch))
    for a, b in ((whole[1], alone[0]), *((whole[i], parts[i]) for i in range(3))):
        assert a.score.cost == b.score.cost
        for name, value in a.frames[-1].physics.particles.arrays().items():
            assert np.array_equal(value, getattr(b.frames[-1].physics.particles, name)), name


def test_what_is_hopeless_is_given_up_and_what_is_not_worth_it_comes_without_frames(together, aim) -> None:
    pruned = by_index(together.run(aim, [push(3), push(7)], bound=lambda: 1e-9))
    assert all(o.score.pruned and not o.frames and o.score.time_s < 0.05 for o in pruned.values())
    cheap = by_index(together.run(aim, [push(3), push(7)], worth=lambda: 0.0))
    assert all(not o.frames and np.isfinite(o.score.cost) for o in cheap.values())


def test_who_asks_to_stop_is_heard_between_frames(together, aim) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(together.run(aim, [push(3)], stopped=stopped))


def test_only_the_fast_engine_on_a_gpu_runs_all_at_once(scene) -> None:
    assert all_at_once(scene, device="cpu") is None
    assert isinstance(all_at_once(scene, device="cuda"), Together)
    genesis = scene.config.simulation.model_copy(update={"engine": "genesis"})
    other = replace(scene, config=scene.config.model_copy(update={"simulation": genesis}))
    assert all_at_once(other, device="cuda") is None
