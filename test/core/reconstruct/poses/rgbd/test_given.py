"""Points by depth at given poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.reconstruct.poses.rgbd.given import DepthPointsOptions, posed_from_depth, single_view
from support.ball import CENTRE, RADIUS, shots


def test_points_lie_on_what_is_there_and_a_view_without_depth_sees_those_in_front() -> None:
    inputs, _ = shots(5, depth=True)
    flat = replace(inputs, views=(replace(inputs.views[0], depth=None), *inputs.views[1:]))
    posed = posed_from_depth(flat, ViewsSettings(width_px=240), options=DepthPointsOptions(points=5000))
    ball = np.abs(np.linalg.norm(posed.points - CENTRE, axis=1) - RADIUS)
    assert np.minimum(ball, np.abs(posed.points[:, 2])).max() < 2e-3
    assert posed.report["points"] == len(posed.points) == 4 * 1500
    seen = np.zeros(len(posed.points), bool)
    seen[posed.seen[inputs.views[0].name]] = True
    eye = posed.views[0].camera.centre
    facing = ((posed.points - CENTRE) * (eye - CENTRE)).sum(1) / RADIUS / np.linalg.norm(eye - CENTRE)
    on_ball = np.linalg.norm(posed.points - CENTRE, axis=1) < RADIUS + 1e-3
    before, behind = (seen[on_ball & side].mean() for side in (facing > 0.3, facing < -0.3))
    assert before > 0.9 and behind < 0.3


def test_a_single_picture_without_a_pose_is_its_own_frame() -> None:
    view = shots(1, depth=True)[0].views[0]
    bare = replace(view, K=None, viewmat=None)
    posed = single_view(bare, ViewsSettings(width_px=240), hfov_deg=60)
    assert np.allclose(posed.views[0].camera.viewmat, np.eye(4))
    assert posed.views[0].camera.K[0, 0] == pytest.approx(120 / np.tan(np.radians(30)))
