"""One photo's masks from several seeds, without what is doubtful of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.reconstruct.segmentation.second_look import best_mask, photo_masks
from pw_core.reconstruct.types import Mask, Rgb
from support.ball_photo import ball_config, ball_mask, ball_photo


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def loose(gap: int) -> list[float]:
    rows, columns = np.nonzero(ball_mask())
    return [float(v) for v in (columns.min() - gap, rows.min() - gap, columns.max() + gap, rows.max() + gap)]


def beside_a_cushion() -> Rgb:
    """The ball before a cushion of a like colour that goes on outside of the ball's box."""
    photo, mask = ball_photo(), ball_mask()
    rows, columns = np.nonzero(mask)
    cushion = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(cushion, (int(columns.max()) + 14, int(rows.min()) + 4), (34, 22), 0, 0, 360, 1, -1)
    behind = (cushion > 0) & ~mask
    photo[behind] = np.clip(np.random.default_rng(1).normal((205, 105, 105), 2, (int(behind.sum()), 3)), 0, 255)
    return photo


def test_a_cushion_beside_the_thing_is_left_where_it_is() -> None:
    photo = beside_a_cushion()
    rows, columns = np.nonzero(ball_mask())
    entity = ball_config(prompt={"box": loose(14), "points": [[columns.mean(), rows.mean()]]}).entities[0]
    assert iou(best_mask(photo, entity, scale=1.0), ball_mask()) > 0.95


def test_a_good_mask_stays_as_it_is() -> None:
    entity = ball_config().entities[0]
    photo = ball_photo()
    (mask,) = photo_masks(photo, [entity], ViewsSettings(), scale=1.0)
    assert iou(mask, segment(photo, entity, scale=1.0)) > 0.98 and iou(mask, ball_mask()) > 0.97


def test_the_same_photo_gives_the_same_mask() -> None:
    photo = beside_a_cushion()
    entity = ball_config(prompt={"box": loose(14)}).entities[0]
    assert (best_mask(photo, entity, scale=1.0) == best_mask(photo, entity, scale=1.0)).all()


def test_what_is_wrong_with_prompts_is_said_in_pixels_of_the_photo() -> None:
    rows, columns = np.nonzero(ball_mask())
    beside = [float(columns.max()) + 8, float(rows.min())]
    entity = ball_config(prompt={"box": loose(14), "points": [[columns.mean(), rows.mean()], beside]}).entities[0]
    with pytest.raises(ReconstructError, match=rf"point 2 \({beside[0]:g}, {beside[1]:g}\)") as caught:
        best_mask(ball_photo(), entity, scale=1.0)
    assert caught.value.code == ErrorCode.INVALID_PROMPT


def test_negative_points_hold_in_the_window_round_the_box() -> None:
    photo = beside_a_cushion()
    rows, columns = np.nonzero(ball_mask())
    against = [[float(columns.max()) + 8, float(rows.min()) + 4], [2.0, 2.0]]  # the second is far outside
    prompt = {"box": loose(14), "points": [[columns.mean(), rows.mean()]], "negative_points": against}
    mask = best_mask(photo, ball_config(prompt=prompt).entities[0], scale=1.0)
    assert not mask[int(against[0][1]), int(against[0][0])] and iou(mask, ball_mask()) > 0.95
