"""What one sees through a thing is not the thing's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.reconstruct.segmentation.outline.openings import without_openings
from pw_core.reconstruct.types import Mask, Rgb

TABLE, WHITE, DARK = (150, 110, 75), (205, 195, 175), (90, 40, 40)


def cup(seen_through: tuple[int, int, int], *, at: tuple[int, int] = (160, 100)) -> tuple[Rgb, Mask, Mask]:
    """A photo of a cup with a disc of another colour `at` a pixel, its handle's hole; the cup's filled mask; the disc's
    pixels."""
    photo = np.full((200, 240, 3), TABLE, np.uint8)
    filled, hole = np.zeros((200, 240), np.uint8), np.zeros((200, 240), np.uint8)
    cv2.rectangle(filled, (50, 60), (140, 150), 1, -1)
    cv2.circle(filled, (158, 100), 26, 1, -1)
    cv2.circle(hole, at, 15, 1, -1)
    photo[filled > 0] = WHITE
    photo[hole > 0] = seen_through
    noise = np.random.default_rng(0).normal(0, 2, photo.shape)
    return (photo + noise).clip(0, 255).astype(np.uint8), filled > 0, hole > 0


def test_the_table_seen_through_a_handle_is_left_out() -> None:
    photo, filled, hole = cup(TABLE)
    found = without_openings(photo, filled)
    assert (found & hole).sum() < 0.05 * hole.sum()
    assert (filled & ~hole & ~found).sum() < 0.16 * hole.sum()  # a pixel all round


@pytest.mark.parametrize(("color", "at"), [(DARK, (160, 100)), (TABLE, (95, 105))])
def test_prints_of_other_colours_or_in_the_midst_of_a_thing_stay(
    color: tuple[int, int, int], at: tuple[int, int]
) -> None:
    photo, filled, _ = cup(color, at=at)
    assert np.array_equal(without_openings(photo, filled), filled)
