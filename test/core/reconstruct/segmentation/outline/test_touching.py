"""Masks of things that touch or stand close."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.segmentation.outline.touching import apart
from pw_core.reconstruct.segmentation.second_look import photo_masks
from pw_core.reconstruct.surface.shapes.box import Box
from pw_core.reconstruct.types import Mask, Rgb

GAP_M = 0.0016
"""Two pixels and a half."""
LEFT = Box(0.58, 0.03 + GAP_M / 2, np.full(3, 0.06), 0.0, 1.0)
RIGHT = Box(0.585, -0.03 - GAP_M / 2, np.array([0.06, 0.06, 0.045]), 0.0, 1.0)
RED, BLUE = (124, 41, 32), (40, 46, 72)
FINE = 8
"""Samples along a pixel's side."""


@pytest.fixture
def view() -> Camera:
    return Camera.above_table(height_m=0.22, pitch_deg=14.0, hfov_deg=40.0, width=640, height=352, name="photo")


def drawn(view: Camera, corners: F64) -> F64:
    """(H, W): how much of each pixel the hull of those corners [m] (n, 3) covers."""
    canvas = np.zeros((view.height * FINE, view.width * FINE), np.float32)
    outline = cv2.convexHull((view.project(corners)[0] * FINE - 0.5).astype(np.float32))
    cv2.fillConvexPoly(canvas, outline.round().astype(np.int32), 1.0)
    return canvas.reshape(view.height, FINE, view.width, FINE).mean(axis=(1, 3))


def two_blocks(view: Camera) -> tuple[Rgb, list[Mask]]:
    """A red and a blue block side by side; through the gap between them the table is seen, and lower down their shade.
    And their masks."""
    rng = np.random.default_rng(0)
    picture = np.full((view.height, view.width, 3), (176, 141, 104), np.float64)
    picture += 4 * rng.normal(size=(view.height, 1, 1))
    deep = Box(0.58, 0.0, np.array([0.06, GAP_M, 0.035]), 0.0, 1.0)
    covers = []
    for box, color in ((deep, (15, 12, 12)), (RIGHT, BLUE), (LEFT, RED)):
        for height, shade in ((1.0, 1.4), (0.0, 1.0)):  # tops are lighter than sides
            corners = box.corners()
            face = corners if height else corners[corners[:, 0] < box.x]
            share = drawn(view, face)
            picture = picture * (1 - share[..., None]) + shade * np.array(color) * share[..., None]
        covers.append(drawn(view, box.corners()))
    picture += rng.normal(size=picture.shape)
    return picture.clip(0, 255).astype(np.uint8), [covers[2] > 0.5, covers[1] > 0.5]


def scene(masks: list[Mask]) -> SceneConfig:
    """Their prompts are loose boxes and a point each."""
    entities = []
    for name, mask in zip(("left", "right"), masks):
        y, x = np.nonzero(mask)
        box = [float(v) for v in (x.min() - 6, y.min() - 6, x.max() + 7, y.max() + 7)]
        prompt = {"box": box, "points": [[float(x.mean()), float(y.mean())]]}
        entities.append({"name": name, "material": {"model": "rigid"}, "prompt": prompt})
    return SceneConfig.parse({
        "name": "blocks", "camera": {"height_m": 0.22, "pitch_deg": 14, "hfov_deg": 40}, "table": {"edge_m": 1.2},
        "entities": entities,
    })  # fmt: skip


def test_the_gap_between_two_blocks_goes_with_neither(view: Camera) -> None:
    photo, true = two_blocks(view)
    gap = np.zeros_like(true[0])
    rows = true[1].any(axis=1)
    gap[rows, np.nonzero(true[0])[1].max() + 1 : np.nonzero(true[1])[1].min()] = True
    left, right = photo_masks(photo, scene(true).entities, ViewsSettings(), scale=1.0)
    assert gap.sum() > 150 and (gap & (left | right)).sum() < 0.1 * gap.sum()
    for found, own in ((left, true[0]), (right, true[1])):
        assert (found & own).sum() / (found | own).sum() > 0.97


def test_pixels_away_from_other_things_and_patterns_stay(view: Camera) -> None:
    photo, (left, right) = two_blocks(view)
    y, x = np.nonzero(left)
    photo[y.min() + 30 : y.min() + 33, x.max() - 4 : x.max() - 1] = (240, 240, 240)  # a spot near the gap, not at it
    rough = left.copy()
    rough[:, : x.min() + 2] = False  # something is missing on the other side
    (alone,) = apart(photo, [rough])
    assert (alone == rough).all()
    found, _ = apart(photo, [rough, right])
    assert (found == rough)[:, : x.max() - 12].all()
    assert found[y.min() + 30 : y.min() + 33, x.max() - 4 : x.max() - 1].all()


def test_where_a_thing_hardly_differs_from_its_neighbour_masks_stay(view: Camera) -> None:
    photo, (left, right) = two_blocks(view)
    grey = np.full_like(photo, 128)
    assert all((a == b).all() for a, b in zip(apart(grey, [left, right]), (left, right)))
