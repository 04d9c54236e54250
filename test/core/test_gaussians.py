"""Gaussians that follow particles: exact for turns, close for stretch and shear."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Camera, deformations, follow, neighbours, quats_to_rotations

TURN = Rotation.from_euler("zyx", [50, 20, -30], degrees=True).as_matrix()
SHEAR = np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]])


@pytest.mark.parametrize(
    "map_", [TURN, np.diag([1.5, 0.8, 0.9]), SHEAR, TURN @ SHEAR], ids=["turn", "stretch", "shear", "both"]
)
def test_affine_maps_are_recovered(scene, map_) -> None:
    shift = np.array([0.1, -0.2, 0.3])
    now = (scene.rest @ map_.T + shift).astype(np.float32)
    A = deformations(scene.rest, now, scene.neighbours())
    error = np.linalg.norm(A - map_, axis=(1, 2)) / np.linalg.norm(map_)
    assert np.median(error) < 1e-5 and error.max() < 1e-4
    covariances = scene.foreground.covariances()
    means, turned = follow(scene.binding, scene.rest, now, A, covariances)
    expected = map_ @ covariances @ map_.T
    error = np.linalg.norm(turned - expected, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
    assert np.median(error) < 1e-4 and error.max() < 1e-3
    assert np.abs(means - (scene.foreground.means @ map_.T + shift)).max() < 2e-3


@pytest.mark.parametrize("tilt", [np.eye(3), Rotation.from_euler("yx", [35, 80], degrees=True).as_matrix()])
def test_a_flat_neighbourhood_turns_and_stretches_in_its_plane(tilt) -> None:
    x, y = np.meshgrid(np.arange(8.0), np.arange(8.0))
    rest = (0.01 * np.stack([x, y, 0 * x], -1).reshape(-1, 3) @ tilt.T).astype(np.float32)
    near = neighbours(rest, np.zeros(len(rest), np.int32))
    stretch = tilt @ np.diag([1.4, 0.8, 1.0]) @ tilt.T  # across the plane there is nothing to be seen: no stretch
    for map_ in (TURN, stretch, TURN @ stretch):
        A = deformations(rest, (rest @ map_.T).astype(np.float32), near)
        assert np.abs(A - map_).max() < 1e-4


def test_identity_changes_nothing(scene) -> None:
    A = deformations(scene.rest, scene.rest, scene.neighbours())
    assert np.abs(A - np.eye(3)).max() < 1e-4
    means, _ = follow(scene.binding, scene.rest, scene.rest, A, scene.foreground.covariances())
    assert np.abs(means - scene.foreground.means).max() < 1e-6


def test_stretch_is_clamped(scene) -> None:
    A = deformations(scene.rest, scene.rest * 5, scene.neighbours())
    assert np.linalg.svd(A, compute_uv=False).max() <= 2.0 + 1e-5


def test_quaternions_are_wxyz() -> None:
    r = Rotation.from_euler("x", 90, degrees=True)
    assert np.allclose(quats_to_rotations(r.as_quat()[[3, 0, 1, 2]]), r.as_matrix())


def test_camera_above_the_table() -> None:
    c = Camera.above_table(height_m=0.25, pitch_deg=10, hfov_deg=40, width=640, height=352)
    assert np.allclose(c.centre, [0, 0, 0.25])
    points = np.array([[0.9, 0.0, 0.0], [0.9, 0.1, 0.0], [0.9, 0.0, 0.1]])
    uv, depth = c.project(points)
    assert uv[1, 0] < uv[0, 0] and uv[2, 1] < uv[0, 1]  # y is left, z is up
    assert np.allclose(c.unproject(uv, depth), points)
    assert np.allclose(c.resized(320, 176).project(points)[0], uv / 2)
