"""A part that a mask leaves out."""

from __future__ import annotations

import re

import numpy as np

from pw_core.reconstruct.segmentation.checks.missing import missing_doubts
from support.ball_photo import ball_config, ball_mask, ball_photo


def without_its_top() -> np.ndarray:
    mask = ball_mask().copy()
    rows, _ = np.nonzero(mask)
    mask[: int(rows.min() + 0.35 * np.ptp(rows))] = False
    return mask


def test_a_part_of_its_hue_is_told_with_a_point_on_it() -> None:
    (text,) = missing_doubts(ball_photo(), [without_its_top()], ball_config().entities, scale=1.0)
    point = re.search(r"add the point \((\d+), (\d+)\)", text)
    assert point is not None
    assert (ball_mask() & ~without_its_top())[int(point[2]), int(point[1])]


def test_a_whole_mask_is_not_doubted_nor_what_is_another_things() -> None:
    known = ball_config().entities[0]
    assert missing_doubts(ball_photo(), [ball_mask()], [known], scale=1.0) == []
    top = ball_mask() & ~without_its_top()
    pair = [known, known.model_copy(update={"name": "lid"})]
    assert not any("'ball'" in t for t in missing_doubts(ball_photo(), [without_its_top(), top], pair, scale=1.0))


def test_what_goes_on_outside_of_the_box_is_not_the_things() -> None:
    """A wall or a neighbour of the thing's own colour."""
    photo, (y, _) = ball_photo(), np.nonzero(ball_mask())
    photo[y.min() - 12 : y.min() + 6, :] = (190, 40, 40)
    assert missing_doubts(photo, [without_its_top()], ball_config().entities, scale=1.0) == []
