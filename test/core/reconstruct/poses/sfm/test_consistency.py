"""Poses that cannot be trusted are told: halves of the matches that disagree, and what the ground bears out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.reconstruct.poses.sfm.consistency import ConsistencyOptions, assess, rotation_differences


def a_map(turns: dict[str, Rotation], *, points: int = 100) -> SimpleNamespace:
    def image(name: str, turn: Rotation) -> SimpleNamespace:
        matrix = np.column_stack([turn.as_matrix(), np.zeros(3)])
        pose_ = SimpleNamespace(matrix=lambda: matrix)
        return SimpleNamespace(name=name, has_pose=True, num_points3D=points, cam_from_world=lambda: pose_)

    return SimpleNamespace(images={k: image(n, t) for k, (n, t) in enumerate(turns.items())})


def ring(count: int) -> dict[str, Rotation]:
    return {f"v{k}": Rotation.from_euler("y", 20 * k, degrees=True) for k in range(count)}


def test_a_camera_that_two_maps_turn_otherwise_is_named() -> None:
    frame = Rotation.from_euler("xyz", [40, 10, 70], degrees=True)
    other = {n: t * frame for n, t in ring(8).items()}
    other["v3"] = Rotation.from_euler("x", 10, degrees=True) * other["v3"]
    found = rotation_differences(a_map(ring(8)), a_map(other))
    assert found["v3"] == pytest.approx(10, abs=1e-6) and max(v for n, v in found.items() if n != "v3") < 1e-4
    verdict = assess(a_map(ring(8)), (a_map(ring(8)), a_map(other)), ground_places={})
    assert set(verdict.reasons) == {"v3"} and "5 degrees" in verdict.reasons["v3"] and len(verdict.trusted) == 7


def test_what_halves_do_not_place_needs_points() -> None:
    half = {n: t for n, t in ring(8).items() if n != "v5"}
    fewer = ConsistencyOptions().least_points - 1
    few = assess(a_map(ring(8), points=fewer), (a_map(ring(8)), a_map(half)), ground_places={})
    assert set(few.reasons) == {"v5"} and "19 points" in few.reasons["v5"]
    assert not assess(a_map(ring(8)), (a_map(ring(8)), a_map(half)), ground_places={}).reasons


def test_where_halves_place_little_alike_nothing_is_trusted() -> None:
    rng = np.random.default_rng(1)
    other = {n: Rotation.random(random_state=rng) * t for n, t in ring(8).items()}
    for part in (None, a_map(other), a_map({"v0": Rotation.identity()})):
        assert not assess(a_map(ring(8)), (a_map(ring(8)), part), ground_places={}).trusted


def test_what_the_plane_bears_out_needs_no_halves() -> None:
    places = dict.fromkeys(ring(8), ConsistencyOptions().enough_places) | {"v6": ConsistencyOptions().enough_places - 1}
    verdict = assess(a_map(ring(8), points=10), (None, None), ground_places=places)
    assert set(verdict.reasons) == {"v6"} and len(verdict.trusted) == 7


def test_what_is_trusted_is_a_matter_of_the_options() -> None:
    frame = {n: Rotation.from_euler("x", 6 if n == "v3" else 0, degrees=True) * t for n, t in ring(8).items()}
    halves = a_map(ring(8)), a_map(frame)
    assert set(assess(a_map(ring(8)), halves, ground_places={}).reasons) == {"v3"}
    lenient = ConsistencyOptions(most_uncertainty_deg=4.0)
    assert not assess(a_map(ring(8)), halves, ground_places={}, options=lenient).reasons
