"""Pictures at the working size."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct import ViewInput
from pw_core.reconstruct.poses.working_view import working_view
from support.ball import camera, shot


def test_camera_and_depth_follow_the_picture_to_its_working_size() -> None:
    cam = camera(0.3, enlarged=2)
    picture, depth, _ = shot(cam)
    view = working_view(ViewInput("a", picture, depth), picture, K=cam.K, viewmat=cam.viewmat, width_px=240)
    assert view.image.shape == (180, 240, 3) and view.depth.shape == (180, 240) and view.camera.width == 240
    assert np.allclose(view.camera.K[:2], cam.K[:2] / 2) and set(np.unique(view.depth)) <= set(np.unique(depth))
    assert working_view(ViewInput("a", picture), picture, K=cam.K, viewmat=cam.viewmat, width_px=240).depth is None
