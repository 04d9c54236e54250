"""Round things stand as what they are: a cup on its saucer keeps both, a handle stays thin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.surface.shapes.revolution import find_revolution, round_solid
from pw_core.reconstruct.types import Mask

CAMERA = Camera.above_table(height_m=0.26, pitch_deg=22, hfov_deg=40, width=400, height=220)
AXIS_M = 0.55


def lathed(profile: list[tuple[float, float]]) -> Mask:
    """Silhouette (H, W) of circles of (radius, height) [m] about the axis, joined by straight walls."""
    radii, heights = (np.array(a) for a in zip(*profile))
    along = np.linspace(0, len(profile) - 1, 400)
    t = np.linspace(0, 2 * np.pi, 90)
    mask = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    for r, z in zip(*(np.interp(along, np.arange(len(profile)), a) for a in (radii, heights))):
        ring: F64 = np.stack([AXIS_M + r * np.cos(t), r * np.sin(t), np.full(t.shape, z)], -1)
        cv2.fillPoly(mask, [np.round(CAMERA.project(ring)[0] - 0.5).astype(np.int32)], 1)
    return mask > 0


CUP = [(0.045, 0.0), (0.072, 0.014), (0.025, 0.015), (0.038, 0.070)]


def test_a_cup_is_found_with_its_saucer_where_it_stands() -> None:
    found = find_revolution(lathed(CUP), CAMERA)
    assert found is not None
    # A saucer's rim 14 mm above the table looks like a larger one on the table further away.
    assert AXIS_M - 0.005 < found.x < AXIS_M + 0.014 / np.tan(np.radians(22)) and abs(found.y) < 0.003
    scale = found.x / AXIS_M
    assert found.radii.max() == pytest.approx(0.072 * scale, rel=0.08)
    assert np.interp(0.055, found.heights, found.radii) == pytest.approx(0.037 * scale, rel=0.12)


def test_a_handle_stays_thin_and_the_rest_round() -> None:
    mask = lathed(CUP)
    handle = np.zeros(mask.shape, np.uint8)
    cv2.line(handle, (240, 90), (300, 90), 1, 5)
    mask |= handle > 0
    solid = round_solid(mask, CAMERA, CAMERA.rays(pixel_centres(*mask.shape)))
    assert solid is not None
    front, back, x = solid
    assert np.isfinite(front[mask]).all() and (front <= back)[mask].all()
    assert (back - front)[90, 290] < 1.1 * handle[:, 290].sum() * x / CAMERA.K[0, 0]
    assert (back - front)[100, 200] > 0.05  # the cup's


def test_a_vase_with_a_narrow_foot_and_a_neck_is_round() -> None:
    mask = lathed([(0.026, 0), (0.034, 0.03), (0.036, 0.055), (0.026, 0.085), (0.015, 0.105), (0.019, 0.132)])
    solid = round_solid(mask, CAMERA, CAMERA.rays(pixel_centres(*mask.shape)))
    assert solid is not None and solid[2] == pytest.approx(AXIS_M, rel=0.03)


@pytest.mark.parametrize("what", ["ball", "bar"])
def test_what_is_not_round_or_has_no_broad_foot_is_left_alone(what: str) -> None:
    mask = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    if what == "ball":
        cv2.circle(mask, (200, 120), 40, 1, -1)
    else:
        cv2.fillPoly(mask, [np.array([[150, 150], [170, 160], [260, 90], [240, 80]])], 1)
    assert round_solid(mask > 0, CAMERA, CAMERA.rays(pixel_centres(*mask.shape))) is None
