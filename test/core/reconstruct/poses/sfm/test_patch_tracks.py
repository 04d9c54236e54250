"""Tracks that are extended by patches, on the ray-cast ball's floor."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.poses.sfm.bundle_adjustment import BundleAdjustmentOptions, bundle_adjust
from pw_core.reconstruct.poses.sfm.patch_tracks import extend_tracks
from support.ball import camera, shot
from support.poses import chained, wrong_by

pytest.importorskip("pycolmap")


@pytest.mark.slow
def test_points_that_neighbours_see_are_found_in_more_views_and_drift_goes() -> None:
    cameras = [camera(0.35 * k, height=0.26 + 0.02 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(10)]
    found = chained(cameras, off_px=0.5)
    bundle = BundleAdjustmentOptions(most_error_px=(4.0, 1.5, 1.0))
    bundle_adjust(found, intrinsics_held=True, options=BundleAdjustmentOptions(most_error_px=(4.0, 4.0)))
    before, length = wrong_by(found, cameras), found.compute_mean_track_length()
    pictures = {c.name: shot(c, grain=0.5)[0] for c in cameras}
    found = extend_tracks(
        found, pictures, adjust=lambda m: bundle_adjust(m, intrinsics_held=True, options=bundle)
    )
    assert max(p.track.length() for p in found.points3D.values()) > 2 >= length
    assert wrong_by(found, cameras) < before


def test_plain_pictures_extend_nothing() -> None:
    cameras = [camera(0.35 * k, height=0.26, name=f"v{k}.png") for k in range(10)]
    found = chained(cameras, off_px=0.0)
    grey = {c.name: np.full((c.height, c.width, 3), 128, np.uint8) for c in cameras}
    assert extend_tracks(found, grey, adjust=lambda m: pytest.fail("there was nothing to adjust")) is found
