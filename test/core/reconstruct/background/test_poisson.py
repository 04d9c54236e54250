"""Pictures from gradients."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.background.poisson import join_copies, known_at, smooth


def test_a_plain_slope_goes_on_over_a_hole() -> None:
    y, x = np.mgrid[0:20, 0:30]
    picture = (2 * x + 3 * y).astype(np.float32)[..., None]
    hole = np.zeros((20, 30), bool)
    hole[6:14, 8:22] = True
    spoilt = np.where(hole[..., None], 999, picture).astype(np.float32)
    assert np.abs(smooth(spoilt, hole, ~hole) - picture).max() < 1e-2


def test_copies_from_a_darker_place_take_the_brightness_of_where_they_go() -> None:
    rng = np.random.default_rng(0)
    grain = rng.normal(size=(20, 12))
    grain = np.concatenate([grain, grain], 1)
    picture = np.repeat((100 + grain - 40 * (np.arange(24) >= 12))[..., None], 3, 2).astype(np.float32)
    hole = np.zeros((20, 24), bool)
    hole[5:15, 3:9] = True
    shift = np.array([[0, 12]])
    taken = np.where(hole, 0, -1)
    found = join_copies(np.where(hole[..., None], 0, picture).astype(np.float32), hole, ~hole, ~hole, taken, shift,
                        copy_weight=1e-6)  # fmt: skip
    assert np.abs(found - picture).max() < 0.1


def test_what_is_beside_the_picture_is_not_known() -> None:
    known = np.array([[True, False], [True, True]])
    assert known_at(known, np.array([[0, 0], [0, 1], [-1, 0], [2, 1]])).tolist() == [True, False, False, False]
