"""Which way poses are found: by what came with the pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses import estimate
from support.ball import camera, shot, shots

pytest.importorskip("pycolmap")


@pytest.mark.parametrize(("depth", "poses", "way"), [
    (False, False, "pose_by_sfm"), (False, True, "pose_by_sfm"), (True, False, "pose_by_depth"),
    (True, True, "posed_from_depth"),
])  # fmt: skip
def test_the_way_is_that_of_the_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: bool, poses: bool, way: str
) -> None:
    gone = []
    for name in ("pose_by_sfm", "pose_by_depth", "posed_from_depth"):
        monkeypatch.setattr(estimate, name, lambda *args, name=name, **more: gone.append(name))
    inputs, _ = shots(3, depth=depth, poses=poses)
    estimate.pose(inputs, ViewsSettings(), tmp_path, lambda s, f: None)
    assert gone == [way]


def test_poses_of_another_convention_are_refused_before_depth_is_used(tmp_path: Path) -> None:
    views = []
    for k in range(6):
        cam = camera(0.16 * k, height=0.24 + 0.05 * (k % 3), name=f"v{k}.png", enlarged=2)
        picture, depth, _ = shot(cam)
        views.append(ViewInput(cam.name, picture, depth, cam.K, np.linalg.inv(cam.viewmat)))
    with pytest.raises(ReconstructError, match="Read as camera to world") as caught:
        estimate.pose(Inputs(tuple(views)), ViewsSettings(), tmp_path, lambda s, f: None)
    assert caught.value.code == ErrorCode.INVALID_CAMERA


def test_a_folder_may_give_intrinsics_without_poses(tmp_path: Path) -> None:
    views = shots(3, depth=False)[0].views
    for v in views:
        cv2.imwrite(str(tmp_path / v.name), v.image)
    told = [{"name": v.name, "K": v.K.tolist()} for v in views if v.K is not None]
    (tmp_path / "cameras.json").write_text(json.dumps(told))
    found = Inputs.load(tmp_path)
    assert found.route == "photos" and len(found.views) == 3
    for v, given in zip(found.views, views):
        assert np.allclose(v.K, given.K) and v.viewmat is None


def test_a_folder_may_hold_depth_and_intrinsics_without_poses(tmp_path: Path) -> None:
    told = []
    (tmp_path / "depth").mkdir()
    for k in range(3):
        cam = camera(0.3 * k, name=f"v{k}.png")
        picture, depth, _ = shot(cam)
        cv2.imwrite(str(tmp_path / cam.name), picture)
        if k:
            cv2.imwrite(str(tmp_path / "depth" / cam.name), np.round(1000 * depth).astype(np.uint16))
        told.append({"name": cam.name, "K": cam.K.tolist()})
    (tmp_path / "cameras.json").write_text(json.dumps(told))
    found = Inputs.load(tmp_path)
    assert found.route == "rgbd pictures" and found.views[0].depth is None and found.views[1].depth is not None
    assert all(v.K is not None and v.viewmat is None for v in found.views)
