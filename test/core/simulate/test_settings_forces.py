"""Settings and actions, without Genesis."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.simulate.forces import Forces, falloff, tool_pose, validate
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
    with pytest.raises(RolloutError, match=r"'ball': use at most 0\.000") as error:
        choose_settings(with_simulation(scene, substep_s=0.01))
    assert error.value.code == ErrorCode.UNSTABLE


def push(**fields):
    base = {"type": "push", "duration": 1, "center": [0, 0, 0], "direction": [0, 2, 0], "radius": 0.1, "magnitude": 3}
    return parse_action({**base, **fields})


def test_falloff() -> None:
    points = np.array([[0, 0, 0], [0.05, 0, 0], [0.2, 0, 0]])
    assert falloff(push(), points).tolist() == [1, 1, 0]
    assert np.allclose(falloff(push(falloff="linear"), points), [1, 0.5, 0])
    assert np.allclose(falloff(push(falloff="gaussian"), points), np.exp([0, -0.5, -8]))


def test_a_push_adds_up_to_its_force(scene) -> None:
    entity, mass = scene.entities[0], 0.002
    points = np.random.default_rng(0).normal(scale=0.1, size=(500, 3))
    masses = np.full(500, mass)
    for kind in ("none", "linear", "gaussian"):
        forces = Forces((push(falloff=kind),), 9.81)
        inside = float(falloff(forces.actions[0], points).sum()) * mass
        a = forces.accelerations(0.5, entity, points, masses, {0: inside})
        assert np.allclose((a * mass).sum(0), [0, 3, 0], atol=1e-9)
        assert forces.accelerations(1.0, entity, points, masses, {0: inside}) is None


def test_gravity_is_replaced_while_it_lasts() -> None:
    g = parse_action({"type": "gravity", "start": 0.1, "duration": 0.1, "direction": [1, 0, 0], "magnitude": 2})
    forces = Forces((g,), 9.81)
    assert forces.gravity(0.0).tolist() == [0, 0, -9.81] and forces.gravity(0.15).tolist() == [2, 0, 0]
    assert forces.gravity(0.2).tolist() == [0, 0, -9.81]


def test_tool_path_is_straight_between_poses() -> None:
    tool = parse_action({
        "type": "tool", "entity": "pin", "duration": 1, "relative": True, "times": [0, 1],
        "poses": [{"position": [0, 0, 0]}, {"position": [0, 0, 1], "orientation": [0.70710678, 0.70710678, 0, 0]}],
    })  # fmt: skip
    position, wxyz = tool_pose(tool, 0.5, np.array([1.0, 2, 3]), np.array([1.0, 0, 0, 0]))
    assert np.allclose(position, [1, 2, 3.5]) and np.allclose(wxyz, [np.cos(np.pi / 8), np.sin(np.pi / 8), 0, 0])


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
        validate([action], scene, cell_m=0.015)
    assert error.value.code == code
