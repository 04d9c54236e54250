"""The fast engine through `Simulation`: the claims of the tests on Genesis, and both engines from the same state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import PhysicsState
from pw_core.simulate import Simulation

GRAVITY = 9.81
WIND = {"type": "wind", "duration": 0.1, "direction": [0, 1, 0], "magnitude": 20}


def push(magnitude, **fields):
    return {
        "type": "push", "duration": 0.1, "center": [0.6, 0, 0.05], "direction": [0, 1, 0], "radius": 0.06,
        "magnitude": magnitude, **fields,
    }  # fmt: skip


def run(simulation, physics, duration, *actions, check=True):
    simulation.reset(physics)
    simulation.set_actions([parse_action(a) for a in actions])
    simulation.advance_to(duration)
    if check:
        simulation.check()
    return simulation.read()


def lifted(physics, height):
    p = physics.particles
    return PhysicsState(replace(p, positions=p.positions + np.float32([0, 0, height])), physics.bodies)


def centre(physics):
    return physics.particles.positions.astype(np.float64).mean(0)


def same(a, b):
    return all(np.array_equal(v, b.particles.arrays()[k]) for k, v in a.particles.arrays().items())


@pytest.fixture(scope="module")
def fast(make_ball):
    scene = make_ball("elastic", count=1200)
    return scene, Simulation.build(scene, engine="fast")


@pytest.fixture(scope="module")
def rest(fast):
    scene, simulation = fast
    return run(simulation, scene.initial_physics(), 1.2)


def test_free_fall(fast) -> None:
    scene, simulation = fast
    high = lifted(scene.initial_physics(), 0.08)
    fallen = centre(high) - centre(run(simulation, high, 0.1))
    assert fallen[2] == pytest.approx(0.5 * GRAVITY * 0.1**2, rel=0.01)


def test_rest_on_the_table(fast, rest) -> None:
    scene, _ = fast
    sunk = centre(scene.initial_physics()) - centre(rest)
    assert sunk[2] < scene.entities[0].particle_size_m and rest.particles.positions[:, 2].min() > -0.01
    assert np.linalg.norm(rest.particles.velocities.mean(0)) < 0.02


def test_push_and_twice_the_push(fast, rest) -> None:
    _, simulation = fast
    still = centre(run(simulation, rest, 0.06))
    once, twice = (centre(run(simulation, rest, 0.06, push(m))) - still for m in (2.0, 4.0))
    assert once[1] > 1e-3 and abs(once[0]) < 0.05 * once[1]
    assert twice[1] / once[1] == pytest.approx(2, rel=0.1)
    named = centre(run(simulation, rest, 0.06, push(2.0, entity="ball"))) - still
    assert named[1] == pytest.approx(once[1], rel=0.1)


def test_wind_friction_and_materials_change_without_a_build(fast, rest) -> None:
    scene, simulation = fast
    before = run(simulation, rest, 0.06)
    assert centre(run(simulation, rest, 0.06, WIND))[1] - centre(before)[1] == pytest.approx(0.036, rel=0.25)
    simulation.set_wind((0.0, 6.0, 0.0))
    blown = centre(run(simulation, rest, 0.1))[1]
    simulation.set_floor_friction(0.0)
    slid = centre(run(simulation, rest, 0.1))[1]
    assert blown < slid - 1e-3
    simulation.set_constants({"ball.youngs_modulus_pa": 2e3})
    assert centre(run(simulation, rest, 0.1))[2] < centre(before)[2] - 1e-3
    simulation.set_constants({})
    assert same(run(simulation, rest, 0.06), before)


def test_stopping_and_going_on_is_the_same(fast, rest) -> None:
    _, simulation = fast
    whole = run(simulation, rest, 0.08, WIND)
    half = run(simulation, rest, 0.04, WIND)
    run(simulation, rest, 0.02)
    assert same(whole, run(simulation, half, 0.04, WIND))


def test_out_of_bounds_is_said(fast, rest) -> None:
    _, simulation = fast
    with pytest.raises(RolloutError, match=r"'ball' .* left the domain") as error:
        run(simulation, rest, 0.5, {**WIND, "duration": 0.5, "magnitude": 30})
    assert error.value.code == ErrorCode.OUT_OF_BOUNDS


def test_what_becomes_unstable_is_said(fast, rest) -> None:
    _, simulation = fast
    p = rest.particles
    torn = replace(p, C=p.C + np.float32(3e38) * np.eye(3, dtype=np.float32))
    with pytest.raises(RolloutError) as error:
        run(simulation, PhysicsState(torn), 0.02)
    assert error.value.code == ErrorCode.UNSTABLE
    assert same(run(simulation, rest, 0.02), run(simulation, rest, 0.02))


@pytest.mark.parametrize("model", ["snow", "liquid"])
def test_laws_keep_what_they_promise(make_ball, model) -> None:
    from pw_core.simulate.materials import SNOW_COMPRESSION, SNOW_STRETCH

    scene = make_ball(model, count=600)
    end = run(Simulation.build(scene, engine="fast"), scene.initial_physics(), 0.3, check=False).particles
    values = np.linalg.svd(end.F.astype(np.float64), compute_uv=False)
    assert end.positions[:, 2].max() < 0.075  # it fell apart, from 0.1
    if model == "snow":
        assert values.min() > 1 - SNOW_COMPRESSION - 1e-4 and values.max() < 1 + SNOW_STRETCH + 1e-4
        assert np.ptp(end.Jp) > 0.01
    else:
        assert np.ptp(values, axis=1).max() < 1e-4 and np.abs(np.prod(values, 1) - 1).max() < 0.2


@pytest.mark.slow
def test_both_engines_agree_and_take_each_others_states(elastic, fast) -> None:
    scene, genesis = elastic
    _, simulation = fast
    turning = np.cross([1.0, 2.0, 3.0], scene.rest - scene.rest.mean(0)).astype(np.float32)
    start = scene.initial_physics()
    start = replace(start, particles=replace(start.particles, velocities=turning))
    for _ in range(3):  # 0.3 s on the whole, each engine from where the other has come to
        theirs, ours = (run(s, start, 0.1, push(1.0)) for s in (genesis, simulation))
        apart = np.linalg.norm(theirs.particles.positions - ours.particles.positions, axis=1)
        assert apart.mean() < 0.01 * scene.entities[0].particle_size_m
        assert np.abs(theirs.particles.F - ours.particles.F).mean() < 1e-4
        start = theirs


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plastic", "snow", "liquid"])
def test_every_material_moves_as_in_genesis(make_ball, model) -> None:
    scene = make_ball(model, count=600)
    both = [Simulation.build(scene, engine=e) for e in ("genesis", "fast")]
    first, second = (run(s, scene.initial_physics(), 0.3, check=False).particles for s in both)
    apart = np.linalg.norm(first.positions - second.positions, axis=1).mean() / scene.entities[0].particle_size_m
    assert apart < 0.1
    energy = [float((p.velocities.astype(np.float64) ** 2).sum()) for p in (first, second)]
    assert energy[1] == pytest.approx(energy[0], rel=0.01)
