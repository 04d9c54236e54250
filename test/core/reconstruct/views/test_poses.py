"""Structure from motion of the ray-cast ball: intrinsics that are given stay, enlarged pictures change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import ViewsSettings
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses import estimate as module
from pw_core.reconstruct.poses.estimate import pose
from pw_core.reconstruct.poses.sfm.adjust_given import similarity
from pw_core.reconstruct.types import Posed
from support.ball import camera, shot, shots

pycolmap = pytest.importorskip("pycolmap")


def unplaced() -> tuple[Inputs, list[Camera]]:
    cameras = [camera(0.12 * k, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(8)]
    return Inputs(tuple(ViewInput(c.name, shot(c, grain=0.4)[0], K=c.K) for c in cameras)), cameras


def agrees(posed: Posed, cameras: list[Camera]) -> None:
    assert posed.report["registered"] == [c.name for c in cameras]
    centres = np.array([c.centre for c in cameras])
    scale, turn, shift = similarity(np.array([v.camera.centre for v in posed.views]), centres)
    for view, true in zip(posed.views, cameras):
        assert np.allclose(view.camera.K, true.K)
        placed = scale * turn @ view.camera.centre + shift
        assert np.linalg.norm(placed - true.centre) < 0.005 * np.linalg.norm(true.centre)
        apart = view.camera.viewmat[:3, :3] @ turn.T @ true.viewmat[:3, :3].T
        assert np.degrees(Rotation.from_matrix(apart).magnitude()) < 0.3
    # Every point is where its views see it, in pixels of the pictures as they were given.
    assert 0 < posed.report["reprojection_error_px"] < 0.5
    for view in posed.views:
        uv, z = view.camera.project(posed.points[posed.seen[view.name]])
        assert (z > 0).all() and (uv > -2).all() and (uv < np.array([view.camera.width, view.camera.height]) + 2).all()


@pytest.mark.slow
def test_given_intrinsics_stay_and_poses_are_found(tmp_path: Path) -> None:
    inputs, cameras = unplaced()
    assert inputs.route == "photos"
    agrees(pose(inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None), cameras)


@pytest.mark.slow
def test_pictures_enlarged_for_their_features_give_poses_of_the_given_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, cameras = unplaced()
    mapped, asked = module.map_pictures, []

    def weak(*args: object, level: int) -> object:
        asked.append(level)
        return mapped(*args, level=level) if level else None

    monkeypatch.setattr(module, "map_pictures", weak)
    agrees(pose(inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None), cameras)
    assert asked == [0, 1]
    larger = cv2.imread(str(tmp_path / "sfm" / "larger" / "v0.png"))
    assert larger.shape[1] == 2 * inputs.views[0].image.shape[1]


def test_a_folder_may_tell_intrinsics_without_poses(tmp_path: Path) -> None:
    views = shots(3, depth=False)[0].views
    for v in views:
        cv2.imwrite(str(tmp_path / v.name), v.image)
    told = [{"name": v.name, "K": v.K.tolist()} for v in views if v.K is not None]
    (tmp_path / "cameras.json").write_text(json.dumps(told))
    found = Inputs.load(tmp_path)
    assert found.route == "photos" and len(found.views) == 3
    for v, given in zip(found.views, views):
        assert np.allclose(v.K, given.K) and v.viewmat is None
