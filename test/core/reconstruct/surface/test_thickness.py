"""How thick a silhouette's thing is."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.gaussians import Camera
from pw_core.reconstruct.surface.thickness import (
    ThicknessOptions,
    back_depth,
    revolved_half_thickness,
    row_runs,
)

CAMERA = Camera("c", np.array([[200.0, 0, 60], [0, 200.0, 60], [0, 0, 1]]), np.eye(4), 120, 120)


def disc(radius: float = 40.0) -> np.ndarray:
    y, x = np.mgrid[:120, :120] + 0.5
    return np.hypot(x - 60, y - 60) < radius


def test_runs_are_the_product_of_what_lies_left_and_right() -> None:
    mask = np.zeros((2, 8), bool)
    mask[0, 1:4] = mask[0, 6:8] = True
    assert row_runs(mask)[0].tolist() == [0, 0.5 * 2.5, 1.5 * 1.5, 2.5 * 0.5, 0, 0, 0.5 * 1.5, 1.5 * 0.5]
    assert not row_runs(mask)[1].any()


@pytest.mark.parametrize("standing", [True, False])
def test_the_back_of_a_ball_is_as_far_as_the_ball_is_wide(standing: bool) -> None:
    mask = disc()
    front = np.where(mask, 1.0, np.nan)
    back = back_depth(front, mask, CAMERA, depth_ratio=0.5, standing=standing)
    assert back[60, 60] - 1 == pytest.approx(40 / 200, rel=0.05) and np.isnan(back[~mask]).all()
    sharp = back_depth(front, mask, CAMERA, depth_ratio=0.5, options=ThicknessOptions(outline_smoothing_px=0.01))
    assert sharp[60, 60] - 1 == pytest.approx(40 / 200, rel=0.02)


def test_a_solid_of_revolution_is_as_thick_as_its_outline_is_wide() -> None:
    y, x = np.mgrid[:120, :120]
    bar = (abs(x - y) < 14) & (abs(x + y - 120) < 80)
    looking_along_x = np.eye(4)
    looking_along_x[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    camera = CAMERA.moved(looking_along_x, name="along x")
    half = revolved_half_thickness(bar, camera, 0.5)
    assert half.max() == pytest.approx(14 / np.sqrt(2) * 0.5 / 200, rel=0.1) and not half[~bar].any()
