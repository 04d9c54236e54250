"""What else stands on a photo's table is found where that is plain, and nothing where it is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.reconstruct.background.table import on_table
from pw_core.reconstruct.segmentation.clutter import find_clutter
from support.ball_photo import ball_config, ball_mask, ball_photo, camera
from support.cluttered import jar_photo, polygon, upright

GREEN = (40, 110, 60)


def found(photo: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    return find_clutter(photo, on_table(ball_config(), camera()), [ball_mask()], camera())


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def lying(x: float, y: float, deep: float, wide: float) -> NDArray[np.floating]:
    """Corners [m] (4, 3) of a sheet on the table."""
    return np.array([[x, y, 0], [x + deep, y, 0], [x + deep, y - wide, 0], [x, y - wide, 0]], float)


def test_what_rises_over_the_tables_end_is_found_whole() -> None:
    photo, mask = jar_photo()
    (jar,) = found(photo)
    assert iou(jar, mask) > 0.93


def test_one_that_goes_on_above_the_photo_is_found() -> None:
    photo = ball_photo()
    mask = polygon(photo, upright(np.array([0.7, 0.16, 0.0]), 0.05, 0.3), GREEN)
    assert mask[0].any()
    (tall,) = found(photo)
    assert iou(tall, mask) > 0.93


def test_two_of_them_are_found_the_larger_first_and_none_is_part_of_another() -> None:
    photo, mask = jar_photo()
    other = polygon(photo, upright(np.array([0.75, -0.16, 0.0]), 0.04, 0.12), (50, 60, 140))
    jar, box = found(photo)
    assert iou(jar, mask) > 0.93 and iou(box, other) > 0.93 and not (jar & box).any()


def test_what_is_much_higher_than_a_sheet_would_be_is_found_below_the_end() -> None:
    photo = ball_photo()
    mask = polygon(photo, upright(np.array([0.5, 0.12, 0.0]), 0.05, 0.05), GREEN)
    (block,) = found(photo)
    assert iou(block, mask) > 0.93


def test_the_deep_shadow_at_a_round_foot_stays_on_the_table() -> None:
    photo = ball_photo()
    (x, y), radius = camera().project(np.array([[0.5, 0.12, 0.03]]))[0][0], 22
    ball, shadow = np.zeros(photo.shape[:2], np.uint8), np.zeros(photo.shape[:2], np.uint8)
    cv2.circle(ball, (int(x), int(y)), radius, 1, -1)
    cv2.ellipse(shadow, (int(x), int(y) + radius), (8, 4), 0, 0, 360, 1, -1)
    photo[shadow > 0] = (18, 13, 8)
    photo[ball > 0] = GREEN
    (found_ball,) = found(photo)
    assert iou(found_ball, ball > 0) > 0.95 and not found_ball[int(y) + radius + 3 :].any()


@pytest.mark.parametrize("what", ["nothing", "sheet", "pen", "shadow", "reflection", "border", "end"])
def test_what_may_as_well_lie_there_is_left(what: str) -> None:
    photo = ball_photo()
    if what == "sheet":
        assert polygon(photo, lying(0.5, 0.16, 0.1, 0.08), GREEN).sum() > 500
    elif what == "pen":  # it points at the camera
        assert polygon(photo, lying(0.45, 0.11, 0.25, 0.012), GREEN).sum() > 100
    elif what == "shadow":
        dark = polygon(photo.copy(), upright(np.array([0.5, 0.12, 0.0]), 0.05, 0.05), GREEN)
        photo[dark] = (ball_photo()[dark] * 0.5).astype(np.uint8)
    elif what == "reflection":  # under the ball
        rows, columns = np.nonzero(ball_mask())
        low, left, right = rows.max(), int(columns.mean()) - 20, int(columns.mean()) + 20
        photo[low + 1 : low + 36, left:right] = np.where(
            ball_mask()[low + 1 : low + 36, left:right, None], photo[low + 1 : low + 36, left:right], (150, 60, 50)
        )
    elif what == "border":
        assert polygon(photo, upright(np.array([0.7, 0.26, 0.0]), 0.12, 0.16), GREEN)[:, 0].any()
    elif what == "end":  # the table ends a little nearer than the scene says
        end = int(np.argmax(on_table(ball_config(), camera()).any(axis=1)))
        photo[end - 10 : end + 3] = photo[end - 12]
    assert found(photo) == []


def test_without_a_table_in_the_picture_there_is_nothing_to_find() -> None:
    photo, _ = jar_photo()
    assert find_clutter(photo, np.zeros(photo.shape[:2], bool), [ball_mask()], camera()) == []


@pytest.mark.parametrize("size", [(32, 18), (64, 35), (96, 53), (1600, 880)])
def test_photos_of_any_size_can_be_looked_at(size: tuple[int, int]) -> None:
    photo, mask = jar_photo()
    small, own, ball = (
        cv2.resize(np.asarray(a, np.uint8), size, interpolation=cv2.INTER_NEAREST) for a in (photo, mask, ball_mask())
    )
    plain = ball_config().camera
    seen_by = Camera.above_table(height_m=plain.height_m, pitch_deg=plain.pitch_deg, hfov_deg=plain.hfov_deg,
                                 width=size[0], height=size[1])  # fmt: skip
    jars = find_clutter(small, on_table(ball_config(), seen_by), [ball > 0], seen_by)
    assert all(iou(jar, own > 0) > 0.85 for jar in jars) and len(jars) == (size[0] > 32)
