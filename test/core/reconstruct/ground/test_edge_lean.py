"""A photo that was taken askew."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from pw_core.reconstruct.ground.edge_lean import edge_lean_doubts
from support.ball_photo import HEIGHT, WIDTH, ball_mask, ball_photo


def askew(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The drawn ball's photo and mask, turned to the left."""
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
    photo = cv2.warpAffine(ball_photo(), turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return photo, cv2.warpAffine(ball_mask().astype(np.uint8), turn, (WIDTH, HEIGHT)) > 0


def test_a_level_photo_is_not_doubted() -> None:
    assert edge_lean_doubts(ball_photo(), [ball_mask()]) == []


@pytest.mark.parametrize("degrees", [-10.0, -3.0, 5.0])
def test_a_leaning_edge_is_told_with_the_turn_that_levels_it(degrees: float) -> None:
    photo, mask = askew(degrees)
    (text,) = edge_lean_doubts(photo, [mask])
    found = re.search(r"leans by ([\d.]+) degrees.*turn the photo by that to the (left|right)", text)
    assert found is not None and abs(float(found[1]) - abs(degrees)) < 0.5
    assert found[2] == ("right" if degrees > 0 else "left")


def test_what_lies_leaning_on_the_table_is_not_its_end() -> None:
    photo = np.full((HEIGHT, WIDTH, 3), (120, 85, 50), np.uint8)
    mask = ball_mask()
    photo[mask] = (190, 40, 40)
    foot = int(np.nonzero(mask)[0].max())
    cv2.line(photo, (0, foot + 34), (WIDTH, foot + 14), (220, 210, 200), 9)  # a stick before the ball
    assert edge_lean_doubts(photo, [mask]) == []
