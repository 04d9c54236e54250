"""The drawn photo of a ball, with other things beside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64
from support.ball_photo import ball_photo, camera

JAR = (np.array([0.7, 0.16, 0.0]), 0.05, 0.12)
"""A green jar: where it stands [m], its width and height."""


def _pixels(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.asarray(camera().project(np.asarray(points, np.float64))[0].round(), np.int32)


def polygon(photo: NDArray[np.uint8], points: NDArray[np.floating], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Draw what has those corners [m] (n, 3) into a photo; its pixels (H, W)."""
    drawn = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(drawn, [_pixels(points)], 1)
    photo[drawn > 0] = color
    return drawn > 0


def upright(foot: F64, wide: float, high: float) -> F64:
    """Corners [m] (4, 3) of what stands at `foot` and faces the camera."""
    across = np.array([0, wide / 2, 0])
    up = np.array([0, 0, high])
    return np.array([foot - across, foot + across, foot + across + up, foot - across + up])


def jar_photo() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """With the jar, which rises over the table's end, left of the ball; and its pixels (H, W)."""
    photo = ball_photo()
    mask = polygon(photo, upright(*JAR), (40, 110, 60))
    shade = np.linspace(-12, 12, photo.shape[1])[None, :, None]
    photo[mask] = (photo + shade).clip(0, 255).astype(np.uint8)[mask]
    return photo, mask
