"""Structure from motion of the ray-cast ball: intrinsics that are given stay, enlarged pictures change nothing, and
poses that cannot be trusted are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm import reconstruct
from pw_core.reconstruct.poses.sfm.consistency import ConsistencyOptions
from pw_core.reconstruct.poses.sfm.reconstruct import SfmOptions, by_reason, pose_by_sfm
from support.ball import camera, shot
from support.poses import agrees, unplaced

pytest.importorskip("pycolmap")


def test_reasons_are_said_once_with_all_that_they_hold_of() -> None:
    assert by_reason({"a": "dark", "b": "far", "c": "dark"}) == "a, c: dark; b: far"


@pytest.mark.slow
def test_given_intrinsics_stay_and_poses_are_found(tmp_path: Path) -> None:
    inputs, cameras = unplaced()
    assert inputs.route == "photos"
    agrees(pose_by_sfm(inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None), cameras)


@pytest.mark.slow
def test_pictures_enlarged_for_their_features_give_poses_of_the_given_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, cameras = unplaced()
    mapped, asked = reconstruct.map_pictures, []

    def weak(*args: object, level: int, **more: object) -> object:
        asked.append(level)
        return mapped(*args, level=level, **more) if level else None

    monkeypatch.setattr(reconstruct, "map_pictures", weak)
    agrees(pose_by_sfm(inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None), cameras)
    assert asked == [0, 1]
    larger = cv2.imread(str(tmp_path / "larger" / "v0.png"))
    assert larger.shape[1] == 2 * inputs.views[0].image.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("by_the_plane", [True, False])
def test_what_bears_poses_out_leaves_good_poses_good(tmp_path: Path, by_the_plane: bool) -> None:
    trust = ConsistencyOptions(enough_points=10**6)
    if not by_the_plane:
        trust = replace(trust, enough_places=10**6)
    inputs, cameras = unplaced()
    posed = pose_by_sfm(
        inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None, options=SfmOptions(consistency=trust)
    )
    agrees(posed, cameras)
    assert min(posed.report["borne_out_by_the_plane"].values()) > 20
    assert min(len(s) for s in posed.seen.values()) > 100
    if by_the_plane:
        assert "turn_known_to_deg" not in posed.report
    else:
        known = posed.report["turn_known_to_deg"]
        assert set(known) == {c.name for c in cameras} and max(known.values()) < 0.5


@pytest.mark.slow
def test_a_plain_scene_is_refused_with_its_pictures_named(tmp_path: Path) -> None:
    cameras = [camera(0.3 * k, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(8)]
    rng = np.random.default_rng(0)
    views = []
    for c in cameras:
        # What little pattern there is drowns in noise that no two pictures share.
        plain = 0.04 * shot(c, grain=4.0)[0] + 110 + rng.normal(0, 2.5, (c.height, c.width, 3))
        views.append(ViewInput(c.name, np.clip(plain, 0, 255).astype(np.uint8), K=c.K))
    with pytest.raises(ReconstructError) as raised:
        pose_by_sfm(Inputs(tuple(views)), ViewsSettings(width_px=480), tmp_path, lambda s, f: None)
    assert raised.value.code == ErrorCode.RECONSTRUCT_FAILED
    assert "v3.png" in str(raised.value) and reconstruct.ASKED_FOR in str(raised.value)
