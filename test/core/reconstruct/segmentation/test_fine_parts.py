"""Spines beside a mask are told from what is behind them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.reconstruct.segmentation.fine_parts import fine_parts
from support.ball_photo import ball_mask, ball_photo, spiny_photo


def test_spines_are_found_with_their_colour_and_what_lies_between_is_not() -> None:
    photo, plain, mask = spiny_photo(), ball_photo(), ball_mask()
    (found,) = fine_parts(photo, [mask])
    assert found is not None
    spines = (photo != plain).any(-1) & (ndimage.distance_transform_edt(~mask) > 2)
    assert (found.alpha > 0.5)[spines].mean() > 0.9
    beside = ~spines & ~mask & (ndimage.distance_transform_edt(~mask) > 2)
    assert (found.alpha > 0.5)[beside].mean() < 0.002
    assert np.abs(found.colors[spines & (found.alpha > 0.5)] - (245, 240, 225)).mean() < 8
    assert found.fringe[spines].mean() > 0.9 and not found.fringe[mask].any()


def test_a_smooth_outline_has_no_fine_parts() -> None:
    assert fine_parts(ball_photo(), [ball_mask()]) == [None]
    assert fine_parts(ball_photo(), [np.zeros_like(ball_mask())]) == [None]


def test_fine_parts_are_not_looked_for_on_another_thing() -> None:
    photo, mask = spiny_photo(), ball_mask()
    half = np.zeros_like(mask)
    half[:, : int(np.nonzero(mask)[1].mean())] = True
    mine, _ = fine_parts(photo, [mask, half & ~mask])
    assert mine is not None and not mine.alpha[half & ~mask].any() and mine.alpha[~half].any()
