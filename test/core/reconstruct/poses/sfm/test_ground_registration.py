"""Poses by the plane that all views show, on the ray-cast ball's floor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.reconstruct.poses.sfm.bundle_adjustment import BundleAdjustmentOptions, bundle_adjust
from pw_core.reconstruct.poses.sfm.ground_registration import register_to_ground
from support.ball import camera, shot
from support.poses import chained, wrong_by

pycolmap = pytest.importorskip("pycolmap")
VIEWS = 10


def test_a_plane_that_all_views_show_takes_the_drift_out_of_poses() -> None:
    cameras = [
        camera(2 * np.pi * k / VIEWS, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(VIEWS)
    ]
    found = chained(cameras, off_px=1.0)
    bundle_adjust(found, intrinsics_held=True, options=BundleAdjustmentOptions(most_error_px=(4.0, 4.0)))
    before = wrong_by(found, cameras)
    pictures = {c.name: shot(c)[0] for c in cameras}
    bundle = BundleAdjustmentOptions(most_error_px=(4.0, 1.5, 1.0))
    found, places = register_to_ground(
        found, pictures, adjust=lambda m: bundle_adjust(m, intrinsics_held=True, options=bundle)
    )
    after = wrong_by(found, cameras)
    assert before > 0.5 and after < 0.1, (before, after)
    assert set(places) == set(pictures) and min(places.values()) > 20


def test_where_nothing_is_on_the_plane_the_map_stays() -> None:
    cameras = [camera(2 * np.pi * k / VIEWS, name=f"v{k}.png") for k in range(VIEWS)]
    found = chained(cameras, off_px=0.0)
    grey = {c.name: np.full((c.height, c.width, 3), 128, np.uint8) for c in cameras}
    untouched = register_to_ground(found, grey, adjust=lambda m: pytest.fail("there was nothing to adjust"))
    assert untouched == (found, {})


def test_a_camera_that_is_far_off_is_not_borne_out() -> None:
    cameras = [camera(2 * np.pi * k / VIEWS, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(VIEWS)]
    found = chained(cameras, off_px=0.0)
    image = found.image(4)
    pose = image.cam_from_world()
    turn = Rotation.from_euler("z", 5, degrees=True).as_matrix()
    image.frame.set_cam_from_world(image.camera_id, pycolmap.Rigid3d(
        pycolmap.Rotation3d(turn @ pose.matrix()[:, :3]), turn @ pose.matrix()[:, 3]))  # fmt: skip
    _, places = register_to_ground(found, {c.name: shot(c)[0] for c in cameras}, adjust=lambda m: None)
    assert places.get("v3.png", 0) < 5 and min(n for k, n in places.items() if k != "v3.png") > 20
