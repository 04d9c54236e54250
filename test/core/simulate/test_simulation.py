"""Physics that can be checked with a pencil, in both engines, on one elastic ball."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import PhysicsState

GRAVITY = 9.81


def run(simulation, physics, duration, *actions):
    simulation.reset(physics)
    simulation.set_actions([parse_action(a) for a in actions])
    simulation.advance_to(duration)
    simulation.check()
    return simulation.read()


def lifted(physics, height):
    p = physics.particles
    return PhysicsState(replace(p, positions=p.positions + np.float32([0, 0, height])), physics.bodies)


def centre(physics):
    return physics.particles.positions.astype(np.float64).mean(0)


@pytest.fixture(scope="session")
def rest(elastic):
    scene, simulation = elastic
    return run(simulation, scene.initial_physics(), 1.2)


def push(magnitude):
    return {
        "type": "push", "duration": 0.1, "center": [0.6, 0, 0.05], "direction": [0, 1, 0], "radius": 0.06,
        "magnitude": magnitude,
    }  # fmt: skip


WIND = {"type": "wind", "duration": 0.1, "direction": [0, 1, 0], "magnitude": 20}


def test_free_fall(elastic) -> None:
    scene, simulation = elastic
    high = lifted(scene.initial_physics(), 0.08)
    fallen = centre(high) - centre(run(simulation, high, 0.1))
    assert fallen[2] == pytest.approx(0.5 * GRAVITY * 0.1**2, rel=0.01)


def test_horizontal_momentum_in_free_flight(elastic) -> None:
    scene, simulation = elastic
    high = lifted(scene.initial_physics(), 0.08)
    v = np.tile(np.float32([0.3, -0.2, 0]), (len(scene.rest), 1))
    end = run(simulation, replace(high, particles=replace(high.particles, velocities=v)), 0.1)
    assert end.particles.velocities.mean(0)[:2] == pytest.approx([0.3, -0.2], rel=1e-4)


def test_rest_on_the_table(elastic, rest) -> None:
    scene, _ = elastic
    sunk = centre(scene.initial_physics()) - centre(rest)
    assert sunk[2] < scene.entities[0].particle_size_m and rest.particles.positions[:, 2].min() > -0.01
    assert np.linalg.norm(rest.particles.velocities.mean(0)) < 0.02


def test_push_and_twice_the_push(elastic, rest) -> None:
    _, simulation = elastic
    still = centre(run(simulation, rest, 0.06))
    once, twice = (centre(run(simulation, rest, 0.06, push(m))) - still for m in (2.0, 4.0))
    assert once[1] > 1e-3 and abs(once[0]) < 0.05 * once[1]
    assert twice[1] / once[1] == pytest.approx(2, rel=0.1)


def test_wind_moves_all_of_it(elastic, rest) -> None:
    _, simulation = elastic
    moved = centre(run(simulation, rest, 0.06, WIND)) - centre(run(simulation, rest, 0.06))
    assert moved[1] == pytest.approx(0.5 * 20 * 0.06**2, rel=0.25)  # less what the table's friction takes


def test_replay_is_bit_identical(elastic, rest) -> None:
    _, simulation = elastic
    first, other, again = (run(simulation, rest, 0.06, *a) for a in ([WIND], [push(4.0)], [WIND]))
    for key, value in first.particles.arrays().items():
        assert np.array_equal(value, again.particles.arrays()[key]), key
    assert not np.array_equal(first.particles.positions, other.particles.positions)


def test_stopping_and_going_on_is_the_same(elastic, rest) -> None:
    _, simulation = elastic
    whole = run(simulation, rest, 0.08)
    halves = run(simulation, run(simulation, rest, 0.04), 0.04)
    for key, value in whole.particles.arrays().items():
        assert np.array_equal(value, halves.particles.arrays()[key]), key


def test_out_of_bounds_is_said(elastic, rest) -> None:
    _, simulation = elastic
    with pytest.raises(RolloutError, match=r"'ball' .* left the domain") as error:
        run(simulation, rest, 0.5, {**WIND, "duration": 0.5, "magnitude": 30})
    assert error.value.code == ErrorCode.OUT_OF_BOUNDS


def test_not_finite_is_said(elastic, rest) -> None:
    _, simulation = elastic
    p = rest.particles.positions.copy()
    p[0, 0] = np.nan
    with pytest.raises(RolloutError, match=r"'ball' .* no finite position"):
        run(simulation, replace(rest, particles=replace(rest.particles, positions=p)), 0.02)
