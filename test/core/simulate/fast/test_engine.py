"""Both engines from the same state, and what only the fast one has to be asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import Body, PhysicsState
from pw_core.simulate import Simulation
from pw_core.simulate.fast.engine import EngineOptions, Pace
from pw_core.simulate.settings import choose_settings

PUSH = {
    "type": "push", "duration": 0.1, "center": [0.6, 0, 0.05], "direction": [0, 1, 0], "radius": 0.06, "magnitude": 1.0,
}  # fmt: skip


def run(simulation, physics, duration, *actions):
    simulation.reset(physics)
    simulation.set_actions([parse_action(a) for a in actions])
    simulation.advance_to(duration)
    return simulation.read()


def same(a, b):
    return all(np.array_equal(v, b.particles.arrays()[k]) for k, v in a.particles.arrays().items())


def apart(a, b, scene):
    """Mean distance of the same particles, in particle sizes."""
    where = scene.entities[0].particles
    d = a.particles.positions[where] - b.particles.positions[where]
    return float(np.linalg.norm(d, axis=1).mean()) / scene.entities[0].particle_size_m


def test_what_becomes_unstable_is_said_and_forgotten(build_ball) -> None:
    scene, simulation = build_ball("elastic", "fast", count=1200)
    start = scene.initial_physics()
    before = run(simulation, start, 0.02)
    p = start.particles
    torn = replace(p, C=p.C + np.float32(3e38) * np.eye(3, dtype=np.float32))
    with pytest.raises(RolloutError) as error:
        run(simulation, PhysicsState(torn), 0.02)
    assert error.value.code == ErrorCode.UNSTABLE
    assert same(run(simulation, start, 0.02), before)


def test_more_bodies_than_the_gpus_kernels_take_go_to_genesis_and_say_so(scene) -> None:
    from pw_core.simulate.engines import engine_for

    assert engine_for(scene, "fast", device="cpu") == engine_for(scene, "fast", device="cuda") == ("fast", "")
    crowd = replace(scene, entities=scene.entities + tuple(replace(scene.entities[0], kind="rigid") for _ in range(9)))
    name, why = engine_for(crowd, "fast", device="cuda")
    assert name == "genesis" and "8 rigid bodies at most" in why and "has 9" in why


def test_a_device_that_there_is_not_is_an_error(scene) -> None:

    with pytest.raises(RolloutError, match="unknown device 'tpu'"):
        Simulation.build(scene, device="tpu", engine="fast")


@pytest.mark.slow
def test_both_engines_agree_and_take_each_others_states(build_ball) -> None:
    scene, genesis = build_ball("elastic", "genesis", count=1200)
    _, fast = build_ball("elastic", "fast", count=1200)
    turning = np.cross([1.0, 2.0, 3.0], scene.rest - scene.rest.mean(0)).astype(np.float32)
    start = scene.initial_physics()
    start = replace(start, particles=replace(start.particles, velocities=turning))
    for _ in range(3):  # 0.3 s on the whole, each engine from where the other has come to
        theirs, ours = (run(s, start, 0.1, PUSH) for s in (genesis, fast))
        assert apart(theirs, ours, scene) < 0.01
        assert np.abs(theirs.particles.F - ours.particles.F).mean() < 1e-4
        start = theirs


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plastic", "snow", "liquid"])
def test_every_material_moves_as_in_genesis(build_ball, model) -> None:
    scene, genesis = build_ball(model, "genesis", count=600)
    _, fast = build_ball(model, "fast", count=600)
    theirs, ours = (run(s, scene.initial_physics(), 0.3) for s in (genesis, fast))
    assert apart(theirs, ours, scene) < 0.1
    energy = [float((p.particles.velocities.astype(np.float64) ** 2).sum()) for p in (theirs, ours)]
    assert energy[1] == pytest.approx(energy[0], rel=0.01)


@pytest.mark.slow
def test_a_body_that_falls_on_a_ball_does_as_in_genesis(build_pin) -> None:
    scene, genesis = build_pin("genesis")
    _, fast = build_pin("fast")
    start = scene.initial_physics()
    above = Body(np.array([0.6, 0.0, 0.15]), start.bodies["pin"].orientation, np.zeros(3), np.array([0.0, 0, 2.0]))
    theirs, ours = (run(s, PhysicsState(start.particles, {"pin": above}), 0.15) for s in (genesis, fast))
    assert theirs.bodies["pin"].linear[2] > -0.9 * 9.81 * 0.15  # it has met the ball
    cell = fast.settings.cell_m
    assert np.abs(theirs.bodies["pin"].position - ours.bodies["pin"].position).max() < 0.05 * cell
    assert np.abs(theirs.bodies["pin"].orientation - ours.bodies["pin"].orientation).max() < 0.01
    assert apart(theirs, ours, scene) < 0.05


def test_threads_do_not_change_a_bit_of_a_body_or_a_ball(build_pin) -> None:
    scene, simulation = build_pin("fast")
    solver = simulation._runner._engine._solver
    start = scene.initial_physics()
    above = Body(np.array([0.6, 0.0, 0.12]), start.bodies["pin"].orientation, np.zeros(3), np.array([0.0, 0, 2.0]))
    ends = []
    for threads in (1, 2):
        simulation.reset(PhysicsState(start.particles, {"pin": above}))
        solver.advance(200, threads=threads)
        ends.append(simulation.read())
    assert same(*ends) and np.abs(ends[0].bodies["pin"].linear).max() > 0
    for name in ("position", "orientation", "linear", "angular"):
        assert np.array_equal(*(getattr(e.bodies["pin"], name) for e in ends))


def test_threads_are_left_where_they_do_not_pay() -> None:
    pace = Pace(EngineOptions(fewest_particles_for_threads=100, steps_between_trials=5))
    assert pace.threads(99, 4) == 1 and pace.threads(100, 1) == 1
    cost = {4: 3.0, 1: 1.0}
    taken = []
    for _ in range(12):
        taken.append(pace.threads(1000, 4))
        pace.took(taken[-1], cost[taken[-1]])
    assert taken.count(4) <= 3 and taken[-2:] == [1, 1]
    cost[4] = 0.1
    for _ in range(40):
        taken.append(pace.threads(1000, 4))
        pace.took(taken[-1], cost[taken[-1]])
    assert taken[-2:] == [4, 4]


@pytest.mark.slow
def test_building_takes_no_scene_into_the_kernels(make_ball) -> None:
    from pw_core.simulate.fast.steps import run as kernel

    for model in ("elastic", "liquid"):
        Simulation.build(make_ball(model, count=200), engine="fast").step()
    assert len(kernel.signatures) == 1


def test_a_body_whose_origin_is_not_its_centre_goes_to_genesis_and_says_so(build_pin) -> None:
    from pw_core.simulate.engines import engine_for

    scene, _ = build_pin("fast")
    assert engine_for(scene, "fast", device="cpu") == ("fast", "")
    ball, pin = scene.entities
    moved = replace(scene, entities=(ball, replace(pin, origin=pin.origin + np.array([0, 0.01, 0]))))
    name, why = engine_for(moved, "fast", device="cpu")
    assert name == "genesis" and "'pin'" in why and "10.0 mm" in why
    assert engine_for(moved, "genesis", device="cpu") == ("genesis", "")


def test_the_engine_of_a_config_that_names_none(scene) -> None:
    assert scene.config.simulation.engine == "fast"


def test_a_simulation_made_of_settings_runs_on_the_configs_engine_too(scene) -> None:
    assert Simulation(scene, choose_settings(scene), device="cpu").engine == "fast"
