"""Views without distortion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.collect import collect, undistorted
from support.ball import camera, shot
from support.poses import chained

pycolmap = pytest.importorskip("pycolmap")


def test_a_picture_without_distortion_is_given_back_and_one_with_is_straightened() -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    cv2.line(picture, (20, 4), (20, 116), (255, 255, 255), 2)
    plain = pycolmap.Camera(model="PINHOLE", width=160, height=120, params=[150, 150, 80, 60])
    same, K, seen = undistorted(picture, plain)
    assert same is picture and seen is None and np.allclose(K, [[150, 0, 80], [0, 150, 60], [0, 0, 1]])
    radial = pycolmap.Camera(model="SIMPLE_RADIAL", width=160, height=120, params=[150, 80, 60, 0.2])
    straightened, _, seen = undistorted(picture, radial)
    assert seen is not None and 0.5 < seen.mean() < 1 and not seen[0, 0]  # the corners: nobody looked there
    columns = [np.flatnonzero(straightened[row, :, 0] > 100).mean() for row in (10, 60)]
    assert abs(columns[0] - columns[1]) > 0.8  # what was straight in a distorted picture is not


def test_views_hold_what_was_registered_and_points_the_colours_that_are_seen() -> None:
    cameras = [camera(2 * np.pi * k / 4, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(4)]
    found = chained(cameras, off_px=0.0)
    found.update_point_3d_errors()
    pictures = {c.name: shot(c)[0] for c in cameras}
    given = [ViewInput(n, p) for n, p in pictures.items()]
    inputs = Inputs((*given, ViewInput("lost.png", pictures["v0.png"])))
    posed = collect(inputs, ViewsSettings(width_px=240), found, {"more": 1})
    assert posed.report["registered"] == list(pictures) and posed.report["not_registered"] == ["lost.png"]
    assert posed.report["more"] == 1 and len(posed.points) == len(posed.colors) == found.num_points3D()
    assert [v.camera.width for v in posed.views] == [240] * 4
    assert np.ptp(posed.colors[posed.seen["v0.png"]]) > 0.2
