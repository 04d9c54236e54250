"""How far a camera looks down, from a drawn room and table; photos that tell little say so."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.reconstruct.ground.pitch import estimate_pitch
from support.ball_photo import ball_config, ball_photo
from support.ball_photo import camera as ball_camera


def room(pitch_deg: float, *, turn_deg: float = 0.0) -> tuple[NDArray[np.uint8], Camera]:
    """A table with a chequered cloth before a wall with cupboards, turned by an angle."""
    camera = Camera.above_table(height_m=0.4, pitch_deg=pitch_deg, hfov_deg=55, width=960, height=640)
    picture = np.full((640, 960, 3), 200, np.uint8)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))

    def fill(corners: list[tuple[float, float, float]], color: tuple[int, int, int]) -> None:
        points = np.array(corners) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        pixels, depth = camera.project(points)
        if depth.min() > 0.05:
            cv2.fillPoly(picture, [np.rint(pixels * 8).astype(np.int32)], color, cv2.LINE_AA, 3)

    for y in np.arange(-1.5, 1.5, 0.5):  # cupboards of the wall behind
        fill([(2, y, -0.5), (2, y + 0.4, -0.5), (2, y + 0.4, 0.9), (2, y, 0.9)], (150, 120, 100))
    for i in range(12):
        for j in range(-8, 8):
            x, y = 0.4 + 0.1 * i, 0.1 * j
            color = (90, 60, 40) if (i + j) % 2 else (220, 210, 190)
            fill([(x, y, 0), (x + 0.1, y, 0), (x + 0.1, y + 0.1, 0), (x, y + 0.1, 0)], color)
    return picture, camera


@pytest.mark.parametrize(("pitch", "turn"), [(12.0, 0.0), (25.0, 20.0), (40.0, -15.0)])
def test_a_room_tells_the_pitch(pitch: float, turn: float) -> None:
    picture, camera = room(pitch, turn_deg=turn)
    found = estimate_pitch(picture, [], focal_px=float(camera.K[0, 0]))
    assert abs(found.pitch_deg - pitch) < 1.5
    assert abs(found.pitch_deg - pitch) < 3 * found.sd_deg and found.sd_deg < 3


def test_a_picture_without_lines_is_a_guess_and_says_so() -> None:
    found = estimate_pitch(np.full((200, 300, 3), 90, np.uint8), [], focal_px=300)
    assert found.sd_deg > 10 and found.edge_row == 0 and found.seen == "0 straight lines"


def test_the_tables_edge_alone_tells_it_roughly() -> None:
    box = ball_config().entities[0].prompt.box
    found = estimate_pitch(ball_photo(), [box], focal_px=float(ball_camera().K[0, 0]))
    row = float(ball_camera().project(np.array([[1.2, 0, 0]]))[0][0, 1])
    assert found.edge_row == pytest.approx(row, abs=2) and abs(found.pitch_deg - 15) < 2 * found.sd_deg
