"""Balls are found by their silhouettes, foot and all."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.surface.shapes.ball import find_ball
from support.ball_photo import CENTRE, RADIUS, ball_mask, camera


def test_a_ball_is_found_with_its_size_and_place() -> None:
    found = find_ball(ball_mask(), camera())
    assert found is not None and found.iou > 0.98
    assert (found.across, found.upright) == pytest.approx((RADIUS, RADIUS), rel=0.04)
    assert np.linalg.norm(CENTRE[:2] - [found.x, found.y]) < 0.1 * RADIUS
