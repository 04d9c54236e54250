"""Camera poses and paths."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import RenderError
from pw_core.render import cameras


def test_look_at_puts_the_target_ahead_and_up_above() -> None:
    pose = cameras.look_at([-1.0, 0.2, 0.7], [0.3, 0, 0])
    target = pose @ [0.3, 0, 0, 1]
    assert np.allclose(target[:2], 0) and target[2] > 0
    assert (pose @ [0.3, 0, 0.1, 1])[1] < 0  # y points down
    assert np.isclose(np.linalg.det(pose[:3, :3]), 1)
    assert np.allclose(cameras.centre(pose), [-1.0, 0.2, 0.7])
    with pytest.raises(RenderError):
        cameras.look_at([0, 0, 1], [0, 0, 0])


def test_orbit_keeps_the_pivot_and_turns_the_camera() -> None:
    pose = cameras.look_at([-1.0, 0.0, 0.5], [0, 0, 0])
    a, b = cameras.orbit(pose, [0, 0, 0], [0.0, np.pi / 2])
    assert np.allclose(a, pose)
    assert np.allclose(cameras.centre(b), [0, -1.0, 0.5])
    assert np.allclose(b @ [0, 0, 0, 1], pose @ [0, 0, 0, 1])


def test_interpolation_meets_its_keys() -> None:
    keys = np.stack([cameras.look_at(e, [0, 0, 0]) for e in ([-1, 0, 0.5], [-1, 0.5, 0.5], [-0.8, 0.8, 0.9])])
    path = cameras.interpolate(keys, 9)
    assert np.allclose(path[[0, 4, 8]], keys)
    assert np.allclose(cameras.centre(path[2]), [-1, 0.25, 0.5])


def test_colmap_camera_info_and_resize() -> None:
    pose = cameras.look_at([-1.0, 0.3, 0.5], [0, 0, 0])
    assert np.allclose(cameras.from_colmap(*cameras.to_colmap(pose)), pose)
    K = np.array([[500.0, 0, 320], [0, 510, 176], [0, 0, 1]])
    info = cameras.to_camera_info(K, (640, 352))
    assert info["k"][2] == 319.5 and np.allclose(cameras.from_camera_info(info["k"]), K)
    assert np.allclose(cameras.resize(K, (640, 352), (1280, 704)), K * [[2], [2], [1]])
