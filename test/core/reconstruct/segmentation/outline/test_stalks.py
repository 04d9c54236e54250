"""Stalks are found where a box was drawn round them."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.gaussians import F64
from pw_core.reconstruct.segmentation.fine_parts import fine_parts
from pw_core.reconstruct.segmentation.outline.stalks import find_stalks
from support.ball_photo import STEM_PX, ball_mask, ball_photo, stem_photo

DARK = (60, 50, 40)
NOTHING = np.zeros_like(ball_mask())


def box() -> F64:
    """Round ball and stem, a little loose."""
    y, x = np.nonzero(ball_mask())
    return np.array([x.min() - 5, y.min() - STEM_PX - 5, x.max() + 6, y.max() + 6], np.float64)


def test_a_stem_goes_with_its_thing_in_its_own_colour() -> None:
    photo, stem = stem_photo()
    (found,) = fine_parts(photo, [ball_mask()], boxes=[box()])
    assert found is not None
    solid = found.alpha > 0.5
    assert (solid & stem).sum() > 0.8 * stem.sum() and (solid & ~stem).sum() < 0.3 * stem.sum()
    assert np.abs(found.colors[solid & stem] - DARK).mean() < 15
    assert (found.fringe & stem).sum() == stem.sum()  # what is behind it is filled
    assert fine_parts(photo, [ball_mask()]) == [None]  # nobody drew a box round it


@pytest.mark.parametrize("what", ["nothing", "joint", "tap", "patch"])
def test_what_is_behind_is_no_stalk(what: str) -> None:
    mask = ball_mask()
    y, x = np.nonzero(mask)
    photo, middle, top = ball_photo(), int(x.mean()), int(y.min())
    if what == "joint":  # goes on past the box
        photo[: top + 2, middle - 1 : middle + 2] = DARK
    if what == "tap":  # ends within the ball's bounding box
        photo[top + 2 : top + 14, x.max() - 6 : x.max() - 4] = DARK
    if what == "patch":  # is no thin thing
        photo[top - STEM_PX : top + 2, middle - 10 : middle + 10] = DARK
    assert not find_stalks(photo, mask, NOTHING, box()).any()
