"""A scene on the GPU, rigid bodies among it, against the same on the CPU: whole kernels, played by a CPU."""

from __future__ import annotations

import numpy as np
import pytest
from core.simulate.conftest import on, pin_scene

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.simulate import Simulation
from pw_core.simulate.engine import Diverged
from pw_core.simulate.fast_cuda import tables, worlds
from pw_core.simulate.fast_cuda.engine import EMPTY_PUSH, SPREAD, UNSTABLE, CudaOptions
from pw_core.simulate.settings import choose_settings

FEW = {"block_threads": 64, "least_block_threads": 64}
WAYS = [
    CudaOptions(largest_cluster=1, **FEW), CudaOptions(largest_cluster=2, **FEW), CudaOptions(most_block_particles=0),
]  # fmt: skip
PRESS = parse_action({"type": "tool", "entity": "pin", "duration": 0.03, "times": [0, 0.01, 0.04],
                      "poses": [{"position": [0.6, 0, 0.1]}, {"position": [0.6, 0.01, 0.085]},
                                {"position": [0.6, 0.02, 0.08]}]})  # fmt: skip
PUSH = parse_action({"type": "push", "start": 0.012, "duration": 0.02, "center": [0.6, 0.02, 0.1], "radius": 0.08,
                     "direction": [1, 0.2, 0.5], "magnitude": 2, "falloff": "gaussian"})  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return on(pin_scene(), "fast")


@pytest.fixture(scope="module")
def both(scene, host_gpu):
    """The scene on the CPU, and in CUDA's kernels."""
    patch = pytest.MonkeyPatch()
    patch.setattr("pw_core.simulate.fast_cuda.engine.Gpu", lambda: host_gpu)
    patch.setattr(worlds, "CudaOptions", lambda **more: CudaOptions(largest_cluster=1, **FEW, **more))
    yield Simulation.build(scene), Simulation.build(scene, device="cuda")
    patch.undo()


def run(simulation, physics, actions, seconds):
    simulation.reset(physics)
    simulation.set_actions(actions)
    simulation.advance_to(seconds)
    simulation.check()
    return simulation.read()


@pytest.mark.parametrize(
    ("actions", "seconds"),
    [((PRESS,), 0.04), ((), 0.13), ((PUSH.model_copy(update={"center": (0.48, 0.02, 0.1)}),), 0.04),
     ((PUSH.model_copy(update={"center": (0.48, 0.02, 0.1), "entity": "pin"}),), 0.04)],
    ids=["pin pressed and let go", "pin dropped", "both pushed", "pin pushed"],
)  # fmt: skip
def test_a_scene_with_a_pin_goes_as_on_the_cpu(both, scene, actions, seconds):
    start = scene.initial_physics()
    cpu, gpu = (run(s, start, actions, seconds) for s in both)
    size = scene.entities[0].particle_size_m
    moved = np.linalg.norm(cpu.particles.positions - start.particles.positions, axis=1).max()
    apart = np.linalg.norm(cpu.particles.positions - gpu.particles.positions, axis=1)
    assert moved > 0.5 * size and apart.mean() < 1e-4 * size and apart.max() < 1e-2 * size
    for name, unit in (("position", 1e-6), ("orientation", 1e-5), ("linear", 1e-4), ("angular", 1e-2)):
        assert np.abs(getattr(cpu.bodies["pin"], name) - getattr(gpu.bodies["pin"], name)).max() < unit, name


def test_a_state_of_one_engine_goes_on_in_the_other_to_the_bit(both, scene):
    state = run(both[0], scene.initial_physics(), (), 0.01)
    both[1].reset(state)
    back = both[1].read()
    for name, value in state.particles.arrays().items():
        assert np.array_equal(value, getattr(back.particles, name)), name
    for name in ("position", "orientation", "linear", "angular"):
        assert np.array_equal(getattr(state.bodies["pin"], name), getattr(back.bodies["pin"], name))


def test_a_world_with_a_pin_gives_the_same_bits_however_it_is_run(scene, host_gpu):
    settings = choose_settings(scene)
    rows = tables.constants(scene, settings)
    mine = worlds.WorldSetting(rows, 0.5, np.zeros(3), (PRESS, PUSH))
    found = []
    for options in WAYS:
        many = worlds.CudaWorlds(scene, settings, count=2, gpu=host_gpu, options=options)
        many.set_worlds([worlds.WorldSetting(rows, 0.2, np.zeros(3)), mine])
        many.reset(scene.initial_physics())
        many.advance(8)
        found.append(many.snapshot())
    for one in found:
        assert not one.faults.any()
        assert np.array_equal(one.bodies[1], found[0].bodies[1])
        assert all(np.array_equal(v[1], found[0].deformed[k][1]) for k, v in one.deformed.items())


def test_constants_and_frictions_are_taken_while_it_stands(both, scene):
    cpu, _ = both
    found = []
    for s in both:
        s.set_constants({"ball.youngs_modulus_pa": 3000.0, "floor_friction": 0.1, "wind_x": 3.0})
        found.append(run(s, scene.initial_physics(), (), 0.03).particles.positions)
        s.set_constants({})
    assert np.abs(found[0] - found[1]).max() < 1e-6
    assert np.abs(found[0] - run(cpu, scene.initial_physics(), (), 0.03).particles.positions).max() > 1e-4


def test_a_push_at_nothing_is_an_error(both, scene):
    with pytest.raises(RolloutError, match=r"nothing within its radius.*'push' at 0\.012 s") as caught:
        run(both[1], scene.initial_physics(), (PUSH.model_copy(update={"center": (0.3, 0.3, 0.3)}),), 0.02)
    assert caught.value.code == ErrorCode.INVALID_ACTION


def test_faults_are_what_simulations_raise():
    worlds.judge(0, ())
    for fault, match in ((UNSTABLE, "finite"), (SPREAD | EMPTY_PUSH, "spread")):
        with pytest.raises(Diverged, match=match):
            worlds.judge(fault, ())
