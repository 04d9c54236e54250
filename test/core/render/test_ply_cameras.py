"""PLY files and camera poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.errors import RenderError, SceneError
from pw_core.gaussians import Gaussians
from pw_core.render import cameras
from pw_core.render.ply import read_ply, write_ply


def test_ply_round_trip_and_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    f = np.float32
    g = Gaussians(rng.normal(size=(7, 3)).astype(f),
                     rng.normal(size=(7, 4)).astype(f), rng.normal(size=(7, 3)).astype(f),
                     rng.normal(size=7).astype(f), rng.normal(size=(7, 16, 3)).astype(f))  # fmt: skip
    write_ply(tmp_path / "a.ply", g)
    back = read_ply(tmp_path / "a.ply").arrays()
    for name, array in g.arrays().items():
        assert np.array_equal(array, back[name]), name
    # The layout other tools expect, read without our reader: 62 little-endian floats a row, rest harmonics channel by
    # channel.
    raw = (tmp_path / "a.ply").read_bytes()
    head, body = raw.split(b"end_header\n", 1)
    names = [line.split()[-1].decode() for line in head.splitlines() if line.startswith(b"property float")]
    rows = np.frombuffer(body, "<f4").reshape(7, 62)
    assert names[:6] == ["x", "y", "z", "nx", "ny", "nz"] and names[-4:] == ["rot_0", "rot_1", "rot_2", "rot_3"]
    assert np.array_equal(rows[:, names.index("f_rest_15")], g.sh[:, 1, 1])
    assert np.array_equal(rows[:, names.index("f_rest_44")], g.sh[:, 15, 2])


def test_ply_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "x.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1.0\n")
    with pytest.raises(SceneError, match="missing"):
        read_ply(tmp_path / "x.ply")
    with pytest.raises(SceneError, match="absent"):
        read_ply(tmp_path / "absent.ply")


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
