"""Settings and actions, without Genesis."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import Body
from pw_core.simulate.actions import FALLOFFS, Schedule, check_actions, mean_profile, weights
from pw_core.simulate.bodies import tool_pose
from pw_core.simulate.settings import choose_settings, substep_limit


def with_simulation(scene, **fields):
    from dataclasses import replace

    simulation = scene.config.simulation.model_copy(update=fields)
    return replace(scene, config=scene.config.model_copy(update={"simulation": simulation}))


def test_settings_are_metric(scene) -> None:
    s = choose_settings(scene)
    assert s.grid_density == pytest.approx(1 / (2 * scene.entities[0].particle_size_m))
    assert s.substep_s <= substep_limit(scene.entities[0].material, s.cell_m) * (1 + 1e-9)
    low, high = s.inside
    assert (scene.rest > low).all() and (scene.rest < high).all() and low[2] < 0
    assert "mm" in s.report()


def test_stiffer_means_shorter_substeps() -> None:
    soft, stiff = (Material(model="elastic", youngs_modulus_pa=e) for e in (1e5, 1e7))
    assert substep_limit(stiff, 0.01) == pytest.approx(substep_limit(soft, 0.01) / 10, rel=0.01)


def test_a_long_substep_is_refused(scene) -> None:
    with pytest.raises(RolloutError, match=r"'ball' .* to 0\.0017") as error:
        choose_settings(with_simulation(scene, substep_s=0.01))
    assert error.value.code == ErrorCode.UNSTABLE


def push(**fields):
    base = {"type": "push", "duration": 1, "center": [0, 0, 0], "direction": [0, 2, 0], "radius": 0.1, "magnitude": 3}
    return parse_action({**base, **fields})


def test_falloff() -> None:
    points, zero = np.array([[0, 0, 0], [0.05, 0, 0], [0.2, 0, 0]]), np.zeros(3)
    assert weights(points, zero, 0.1, FALLOFFS["none"]).tolist() == [1, 1, 0]
    assert np.allclose(weights(points, zero, 0.1, FALLOFFS["linear"]), [1, 0.5, 0])
    assert np.allclose(weights(points, zero, 0.1, FALLOFFS["gaussian"]), [1, np.exp(-1.125), 0])
    assert weights(points, zero, 0.0, FALLOFFS["none"]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("falloff", FALLOFFS)
def test_a_push_adds_up_to_its_force(scene, falloff) -> None:
    center = scene.entities[0].origin
    masses = np.full(len(scene.rest), 0.002)
    action = push(falloff=falloff, center=list(center), radius=0.04)
    schedule = Schedule([action], scene, gravity=9.81, masses=masses, entity_ids=scene.entity_ids)
    assert schedule.starts_force(0.0, 0.002)
    gravity, pushed = schedule.active(0.0, 0.002, scene.rest)
    w = weights(scene.rest, pushed.center, pushed.radius, pushed.falloff) * masses
    assert np.allclose(w.sum() * pushed.acceleration, [0, 3, 0])
    assert gravity.acceleration.tolist() == [0, 0, -9.81]
    moved = scene.rest + np.float32(0.02)
    assert np.array_equal(schedule.active(0.5, 0.002, moved)[1].acceleration, pushed.acceleration)
    assert len(schedule.active(1.0, 0.002, None)) == 1


def test_a_push_on_nothing_is_refused(scene) -> None:
    schedule = Schedule([push()], scene, gravity=9.81, masses=np.ones(len(scene.rest)), entity_ids=scene.entity_ids)
    with pytest.raises(RolloutError, match=r"nothing within 0\.1 m"):
        schedule.active(0.0, 0.002, scene.rest)


def test_impulses_are_exact_wherever_steps_fall() -> None:
    poke = parse_action({**push().model_dump(), "type": "poke", "start": 0.0113, "duration": 0.0317})
    for action, whole in ((push(start=0.0113, duration=0.0317), 0.0317), (poke, 0.0317 * 2 / np.pi)):
        assert sum(mean_profile(action, k * 0.002, 0.002) for k in range(40)) * 0.002 == pytest.approx(whole)


def test_gravity_is_replaced_while_it_lasts(scene) -> None:
    g = parse_action({"type": "gravity", "start": 0.1, "duration": 0.1, "direction": [1, 0, 0], "magnitude": 2})
    schedule = Schedule([g], scene, gravity=9.81, masses=np.ones(1), entity_ids=scene.entity_ids)
    whole = [schedule.active(t, 0.002, None)[0].acceleration for t in (0.0, 0.15, 0.2)]
    assert np.allclose(whole, [[0, 0, -9.81], [2, 0, 0], [0, 0, -9.81]])


def test_tool_path_is_straight_between_poses() -> None:
    tool = parse_action({
        "type": "tool", "entity": "pin", "duration": 1, "relative": True, "times": [0, 1],
        "poses": [{"position": [0, 0, 0]}, {"position": [0, 0, 1], "orientation": [0.70710678, 0.70710678, 0, 0]}],
    })  # fmt: skip
    position, wxyz = tool_pose(tool, 0.5, Body.at_rest(np.array([1.0, 2, 3])))
    assert np.allclose(position, [1, 2, 3.5]) and np.allclose(wxyz, [np.cos(np.pi / 8), np.sin(np.pi / 8), 0, 0])


def test_a_tool_goes_to_its_first_pose_without_a_jump() -> None:
    tool = parse_action({
        "type": "tool", "entity": "pin", "start": 1, "duration": 1, "times": [0.4], "poses": [{"position": [0, 0, 1]}],
    })  # fmt: skip
    start = Body.at_rest(np.array([1.0, 0, 0]))
    at = [tool_pose(tool, t, start)[0] for t in (1.0, 1.2, 1.4, 2.0)]
    assert np.allclose(at, [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (push(radius=0.01), ErrorCode.INVALID_ACTION),
        (push(entity="toast"), ErrorCode.UNKNOWN_ENTITY),
        (
            parse_action(
                {"type": "tool", "entity": "ball", "duration": 1, "times": [0], "poses": [{"position": [0, 0, 1]}]}
            ),
            ErrorCode.INVALID_ACTION,
        ),
    ],
)
def test_refused_actions(scene, action, code) -> None:
    with pytest.raises(RolloutError) as error:
        check_actions([action], scene, choose_settings(scene))
    assert error.value.code == code
