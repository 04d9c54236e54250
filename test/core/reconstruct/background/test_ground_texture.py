"""The ground orthophoto, and how holes in it are filled."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.background.ground_texture import fill_texture, ground_orthophoto, seen_beside
from support.ball import CENTRE, RADIUS
from support.ball_floor import UNSEEN, floor, floor_color, views


def test_the_plane_is_put_together_from_the_photos() -> None:
    seen_by, masks = views(6)
    found = ground_orthophoto(np.zeros(2), 0.3, seen_by, masks, floor())
    true = 255 * floor_color(found.points.reshape(-1, 3)).reshape(found.picture.shape)
    under = np.hypot(found.points[..., 0], found.points[..., 1]) < UNSEEN * RADIUS
    assert not found.known[under].any() and found.known.mean() > 0.9
    assert np.abs(found.picture - true)[found.known].mean() < 3
    row, column, inside = found.index(np.array([[0.1, 0.05, 0.0], [0.0, 0.4, 0.0]]))
    assert inside.tolist() == [True, False]
    assert np.abs(found.points[row[0], column[0]] - [0.1, 0.05, 0]).max() <= 0.5 * found.step


def test_what_every_view_has_within_its_outlines_is_not_seen() -> None:
    seen_by, masks = views(4)
    beside, shown = seen_beside(np.array([CENTRE, [0.15, 0, 0], [9.0, 9, 9]]), seen_by, masks)
    assert (beside > 0).tolist() == [False, True, False]
    assert (shown > 0).tolist() == [True, True, False]


def test_light_and_grain_go_on_over_a_hole() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:160, 0:200]
    light = 60 + 0.6 * x + 0.3 * y
    grain = rng.normal(size=(160, 200)) * 14
    true = np.repeat((light + grain)[..., None], 3, axis=2).clip(0, 255).astype(np.float32)
    hole = np.hypot(x - 90, y - 80) < 24
    known = ~hole & (y > 10)
    spoilt = np.where(hole[..., None], [250, 0, 250], true).astype(np.float32)
    found = fill_texture(spoilt, hole, known)
    assert (found[~hole] == spoilt[~hole]).all()
    apart = (found - np.repeat(light[..., None], 3, 2))[hole]
    assert abs(apart.mean()) < 5  # as bright as what lies round it, on both sides
    for side in (hole & (x < 80), hole & (x > 100)):
        assert abs((found - np.repeat(light[..., None], 3, 2))[side].mean()) < 8
    assert 0.7 < apart.std() / grain.std() < 1.3  # not smooth, and not louder


def test_where_nothing_is_known_nothing_is_invented() -> None:
    picture = np.full((40, 50, 3), 7, np.float32)
    hole = np.ones((40, 50), bool)
    assert (fill_texture(picture, hole, ~hole) == picture).all()
