"""Which sparse points are in a mask, and which are the entity's."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.segmentation.points import (
    PointOptions,
    add_votes,
    floor_height,
    in_mask,
    main_cluster,
    most_say_own,
    pixels_within,
)
from pw_core.reconstruct.types import Posed, View
from support.ball import CENTRE, RADIUS, camera, shot


def scene(count: int = 4) -> tuple[Posed, dict[str, np.ndarray]]:
    """Points on the ball's top, on the floor beside it, and behind the first camera; all seen by all."""
    cams = [camera(2 * np.pi * k / count, name=f"v{k}") for k in range(count)]
    top = CENTRE + RADIUS * np.array([[0, 0, 1], [0.3, 0, 0.95], [0, -0.3, 0.95]])
    points = np.concatenate([top, [[0.12, 0.1, 0], [-0.12, 0.1, 0]], [2 * cams[0].centre - CENTRE]])
    shots = [shot(c) for c in cams]
    views = tuple(View(c.name, s[0], c) for c, s in zip(cams, shots))
    posed = Posed(views, points, np.full(points.shape, 0.5), {c.name: np.arange(len(points)) for c in cams})
    return posed, {c.name: s[2] for c, s in zip(cams, shots)}


def test_points_behind_the_camera_are_in_no_mask() -> None:
    posed, masks = scene()
    view = posed.views[0]
    assert in_mask(masks[view.name], view, posed.points).tolist() == [True] * 3 + [False] * 3
    assert len(pixels_within(view, posed.points)) == 5


def test_masks_vote_on_whose_a_point_is() -> None:
    posed, masks = scene()
    assert (most_say_own(posed, masks) == posed.points[:3]).all()
    half = {n: m if n in ("v0", "v1") else np.zeros_like(m) for n, m in masks.items()}
    assert len(most_say_own(posed, half)) == 0  # as many say no
    yes, no = (np.zeros(len(posed.points), np.int64) for _ in range(2))
    add_votes(posed, posed.views[0], masks["v0"], yes, no)
    assert yes.tolist() == [1, 1, 1, 0, 0, 0] and (yes + no == 1).all()


def test_strays_are_named_by_the_median() -> None:
    points = np.random.default_rng(0).normal(size=(40, 3)) * 0.01
    points[3] += 1.0
    assert np.flatnonzero(~main_cluster(points)).tolist() == [3]
    assert main_cluster(points, options=PointOptions(max_stray_ratio=1000.0)).all()


def test_the_floor_goes_by_the_lowest_camera() -> None:
    posed, _ = scene()
    assert floor_height(posed, PointOptions()) == pytest.approx(0.003)
