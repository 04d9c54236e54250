"""Boxes round points and silhouettes."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.surface.bounds import BoundsOptions, bounds_of, visual_hull_bounds
from support.ball import CENTRE, RADIUS, camera, shot


def test_strays_do_not_widen_a_box_and_it_stands_on_the_plane() -> None:
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 3], (1000, 3))
    points[5] = [50, 0, 0]
    low, high = bounds_of(points, grow=0.1)
    assert (high < 1.3 + np.array([0, 0, 2])).all() and (low[:2] > -1.3).all() and low[2] == 0
    wide = bounds_of(points, grow=0.1, options=BoundsOptions(percentiles=(0.0, 100.0)))
    assert wide[1, 0] > 50


def test_the_box_of_a_visual_hull_is_a_little_wider_than_the_ball() -> None:
    cams = {f"v{k}": camera(2 * np.pi * k / 12, height=0.1 + 0.2 * (k % 3)) for k in range(12)}
    masks = {n: shot(c)[2] for n, c in cams.items()}
    around = np.array([[-0.09, -0.09, 0.0], [0.09, 0.09, 0.15]])
    low, high = visual_hull_bounds(masks, cams, around)
    assert (low <= CENTRE - RADIUS + 1e-3).all() and (high >= CENTRE + RADIUS - 1e-3).all()
    assert (high - low < 3.2 * RADIUS).all()
    nothing = {n: np.zeros_like(m) for n, m in masks.items()}
    assert visual_hull_bounds(nothing, cams, around) is around
