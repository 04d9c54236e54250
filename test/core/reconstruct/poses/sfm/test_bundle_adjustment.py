"""What a wrong match may pull."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.poses.sfm.bundle_adjustment import BundleAdjustmentOptions, bundle_adjust
from support.ball import camera
from support.poses import chained, wrong_by

pytest.importorskip("pycolmap")


def test_adjustment_makes_poses_right_keeps_intrinsics_and_drops_what_is_far_off() -> None:
    cameras = [camera(2 * np.pi * k / 10, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(10)]
    found = chained(cameras, off_px=0.0)
    before, points = wrong_by(found, cameras), found.num_points3D()
    lost = next(iter(found.points3D.values()))
    lost.xyz = lost.xyz + np.array([0.0, 0.0, 0.5])
    bundle_adjust(found, intrinsics_held=True)
    assert wrong_by(found, cameras) < 0.7 * before
    assert all(np.allclose(c.calibration_matrix(), cameras[0].K) for c in found.cameras.values())
    kept = found.num_points3D()
    assert 0.8 * points < kept <= points
    bundle_adjust(found, intrinsics_held=True, options=BundleAdjustmentOptions(most_error_px=(0.2,)))
    assert found.num_points3D() < kept
