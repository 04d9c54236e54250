"""A rigid rolling pin beside and on an elastic ball, in both engines."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.scene import Body, PhysicsState
from pw_core.simulate.rotations import rotation


def axis_at_rest():
    """The pin's axis, tilted by 65 degrees from the vertical."""
    return np.array([0, -np.sin(np.radians(65)), np.cos(np.radians(65))])


def axis(body):
    """The pin's axis in the world."""
    return rotation(body.orientation) @ axis_at_rest()


def run(simulation, physics, duration, *actions):
    simulation.reset(physics)
    simulation.set_actions([parse_action(a) for a in actions])
    simulation.advance_to(duration)
    simulation.check()
    return simulation.read()


def press(*heights, x=0.6):
    return {
        "type": "tool", "entity": "pin", "duration": 0.4, "times": [0.2 * k for k in range(len(heights))],
        "poses": [{"position": [x, 0, z], "orientation": [np.cos(np.radians(12.5)), np.sin(np.radians(12.5)), 0, 0]}
                  for z in heights],
    }  # fmt: skip


def test_the_pin_falls_and_lies_on_the_table(rolling_pin) -> None:
    scene, simulation = rolling_pin
    flying = run(simulation, scene.initial_physics(), 0.05).bodies["pin"]
    assert 0.1 - flying.position[2] == pytest.approx(0.5 * 9.81 * 0.05**2, rel=0.05)
    end = run(simulation, scene.initial_physics(), 0.6).bodies["pin"]
    assert end.position[2] == pytest.approx(0.02, abs=1e-3) and abs(axis(end)[2]) < 0.02
    assert np.linalg.norm(end.linear) < 0.02 and np.linalg.norm(end.angular) < 0.5


def test_a_twist_survives_writing_and_reading(rolling_pin) -> None:
    scene, simulation = rolling_pin
    start = scene.initial_physics()
    thrown = Body(
        start.bodies["pin"].position, np.array([1.0, 0, 0, 0]), np.array([0.1, 0.2, 0.3]), np.array([1.0, 2, 3])
    )
    simulation.reset(PhysicsState(start.particles, {"pin": thrown}))
    back = simulation.read().bodies["pin"]
    assert np.allclose(back.linear, thrown.linear) and np.allclose(back.angular, thrown.angular)
    simulation.advance_to(0.02)
    moved = simulation.read().bodies["pin"].position - thrown.position
    assert moved[:2] == pytest.approx([0.002, 0.004], rel=1e-2)


def test_a_thrown_turned_body_tumbles_by_its_own_inertia(rolling_pin) -> None:
    import trimesh

    scene, simulation = rolling_pin
    start, pin = scene.initial_physics(), scene.entity("pin")
    mesh = trimesh.Trimesh(pin.mesh.vertices - pin.origin, pin.mesh.faces)
    inertia = mesh.moment_inertia * pin.mass_kg / mesh.volume
    turned = np.array([0.5, 0.5, 0.5, 0.5])  # axes x, y, z lie along y, z, x
    high = start.bodies["pin"].position + np.array([0, 0, 0.1])
    body = Body(high, turned, np.zeros(3), np.array([1.0, 2, 3]))

    def momentum(b):
        turn = rotation(b.orientation)
        return turn @ inertia @ turn.T @ b.angular

    simulation.reset(PhysicsState(start.particles, {"pin": body}))
    assert np.allclose(simulation.read().bodies["pin"].angular, body.angular)
    before = body
    for t in (0.02, 0.04, 0.06, 0.08, 0.1):
        simulation.advance_to(t)
        now = simulation.read().bodies["pin"]
        turn = rotation(now.orientation) @ rotation(before.orientation).T
        spin = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2 / 0.02
        assert np.allclose(spin, (before.angular + now.angular) / 2, atol=0.02)
        before = now
    lost = np.linalg.norm(momentum(now) - momentum(body)) / np.linalg.norm(momentum(body))
    assert lost < 3e-3


def test_a_pressed_ball_gives_way_and_the_path_is_kept(rolling_pin) -> None:
    scene, simulation = rolling_pin
    simulation.reset(scene.initial_physics())
    simulation.set_actions([parse_action(press(0.13, 0.09, 0.09))])
    for t in (0.1, 0.2, 0.3):
        simulation.advance_to(t)
        body = simulation.read().bodies["pin"]
        assert body.position[2] == pytest.approx(max(0.09, 0.13 - 0.2 * t), abs=2e-3) and abs(axis(body)[2]) < 0.02
    ball = simulation.read().particles.positions[scene.entities[0].particles]
    under = (abs(ball[:, 0] - 0.6) < 0.006) & (abs(ball[:, 1]) < 0.03)
    assert ball[under, 2].max() < 0.07 + simulation.settings.cell_m
    before = scene.rest[scene.entities[0].particles]
    assert ball[:, 2].mean() < before[:, 2].mean() - 0.003


def test_a_push_on_the_pin_moves_only_the_pin(rolling_pin) -> None:
    scene, simulation = rolling_pin
    push = {
        "type": "push", "duration": 0.05, "entity": "pin", "center": [0.48, 0, 0.1], "radius": 0.1, "magnitude": 1.0,
        "direction": [-1, 0, 0],
    }  # fmt: skip
    free, pushed = (run(simulation, scene.initial_physics(), 0.05, *a) for a in ([], [push]))
    moved = pushed.bodies["pin"].position - free.bodies["pin"].position
    assert moved[0] == pytest.approx(-0.5 * 1.0 / scene.entities[1].mass_kg * 0.05**2, rel=0.06)
    ball = scene.entities[0].particles
    assert np.array_equal(pushed.particles.positions[ball], free.particles.positions[ball])


def test_replay_with_a_tool_is_bit_identical(rolling_pin) -> None:
    scene, simulation = rolling_pin
    first, _, again = (
        run(simulation, scene.initial_physics(), 0.1, *a) for a in ([press(0.13, 0.09)], [], [press(0.13, 0.09)])
    )
    for key, value in first.particles.arrays().items():
        assert np.array_equal(value, again.particles.arrays()[key]), key
    assert np.array_equal(first.bodies["pin"].position, again.bodies["pin"].position)


def test_the_simulator_collides_with_the_body_where_it_is(rolling_pin) -> None:
    scene, simulation = rolling_pin
    start, pin = scene.initial_physics(), scene.entities[1]
    quarter = np.array([np.cos(0.7), np.sin(0.7) * 0.6, 0, np.sin(0.7) * 0.8])
    simulation.reset(
        PhysicsState(start.particles, {"pin": Body(np.array([0.5, 0.1, 0.2]), quarter, *np.zeros((2, 3)))})
    )
    ours = (pin.mesh.vertices - pin.origin) @ rotation(quarter).T + [0.5, 0.1, 0.2]
    handle = simulation._runner.bodies["pin"]._handle
    if simulation.engine == "genesis":
        theirs = handle.entity.geoms[0].get_verts().cpu().numpy()
        assert np.abs(np.sort(theirs, 0) - np.sort(ours, 0)).max() < 1e-5
    else:
        cell = handle.distances.cell.max()
        assert np.abs([handle.distance(v) for v in ours]).max() < cell  # corners are rounded off by the grid
        middle = rotation(quarter) @ axis_at_rest() * 0.03 + [0.5, 0.1, 0.2]
        assert handle.distance(middle) == pytest.approx(-0.02, abs=0.5 * cell)


def test_what_a_held_tool_presses_cannot_push_it_back(rolling_pin) -> None:
    scene, simulation = rolling_pin
    simulation.reset(scene.initial_physics())
    simulation.set_actions([parse_action(press(0.13, 0.07, 0.07))])
    simulation.advance_to(0.3)
    simulation.step()
    body = simulation.read().bodies["pin"]
    assert body.position[2] == pytest.approx(0.07, abs=1e-4) and np.linalg.norm(body.linear) < 1e-3
    ball = simulation.read().particles.positions[scene.entities[0].particles]
    from_axis = np.hypot(ball[:, 0] - 0.6, ball[:, 2] - 0.07)[abs(ball[:, 1]) < 0.04]
    assert from_axis.min() > 0.02 - 0.5 * simulation.settings.cell_m
    simulation.advance_to(0.45)  # let go at 0.4: it has its own weight again
    assert simulation.read().bodies["pin"].linear[2] != 0


def test_a_body_in_contact_goes_on_the_same_from_a_restored_state(rolling_pin) -> None:
    scene, simulation = rolling_pin
    start = scene.initial_physics()
    above = Body(np.array([0.6, 0.0, 0.15]), start.bodies["pin"].orientation, np.zeros(3), np.zeros(3))
    whole = run(simulation, PhysicsState(start.particles, {"pin": above}), 0.2)
    middle = run(simulation, PhysicsState(start.particles, {"pin": above}), 0.1)
    assert middle.bodies["pin"].linear[2] > -0.9 * 9.81 * 0.1  # it has met the ball
    run(simulation, start, 0.1, press(0.13, 0.09))  # leaves other forces behind
    halves = run(simulation, middle, 0.1)
    for key, value in whole.particles.arrays().items():
        assert np.array_equal(value, halves.particles.arrays()[key]), key
    assert np.array_equal(whole.bodies["pin"].linear, halves.bodies["pin"].linear)
