"""COLMAP's text model, read back by pycolmap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.reconstruct.poses.sfm.colmap_io import write_colmap
from pw_core.reconstruct.types import Posed, View
from support.ball import camera, shot

pycolmap = pytest.importorskip("pycolmap")


def test_poses_points_and_pictures_are_read_back(tmp_path: Path) -> None:
    cameras = [camera(0.4 * k, name=f"v{k}.jpg") for k in range(3)]
    points = np.random.default_rng(0).normal(size=(7, 3))
    posed = Posed(tuple(View(c.name, shot(c)[0], c) for c in cameras), points, np.full((7, 3), 0.5), {})
    write_colmap(tmp_path, posed)
    read = pycolmap.Reconstruction(tmp_path / "poses")
    by_name = {i.name: i for i in read.images.values()}
    for c in cameras:
        image = by_name[f"{Path(c.name).stem}.png"]
        assert np.allclose(image.cam_from_world().matrix(), c.viewmat[:3], atol=1e-8)
        assert np.allclose(read.camera(image.camera_id).calibration_matrix(), c.K)
        assert (tmp_path / "inputs" / image.name).is_file()
    assert np.allclose(sorted(p.xyz[0] for p in read.points3D.values()), sorted(points[:, 0]))
