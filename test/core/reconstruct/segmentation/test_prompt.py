"""The prompt's own view: what the sparse points know of the ground corrects what colours say."""

from __future__ import annotations

import cv2
import numpy as np

from pw_core.config import EntityConfig, Material, Prompt
from pw_core.reconstruct.segmentation.prompt import from_prompt
from pw_core.reconstruct.types import Posed, View
from support.ball import camera, iou, shot


def shaded() -> tuple[View, EntityConfig, np.ndarray, Posed]:
    """The ball with a shadow beside it that has the ball's own colours, its mask, and sparse points on both."""
    cam = camera(0.0, height=0.22, name="v.png", enlarged=2)
    picture, depth, mask = shot(cam)
    rows, columns = np.nonzero(mask)
    foot = int(columns.mean()), int(rows.max() - 6)
    dark = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(dark, foot, (int(0.6 * np.ptp(columns)), 16), 0, 0, 360, 1, -1)
    shadow = (dark > 0) & ~mask
    skin = picture[mask]
    picture[shadow] = np.median(skin, axis=0) + np.random.default_rng(0).normal(size=(int(shadow.sum()), 3)) * 4
    y, x = (a.ravel() for a in np.mgrid[2 : cam.height : 7, 2 : cam.width : 7])
    points = cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64))
    view = View(cam.name, picture, cam)
    posed = Posed((view,), points, np.full((len(points), 3), 0.5), {cam.name: np.arange(len(points))})
    box = [columns.min() - 40.0, rows.min() - 10.0, columns.max() + 40.0, rows.max() + 25.0]
    entity = EntityConfig(name="ball", material=Material(model="elastic"), prompt=Prompt(box=box))
    return view, entity, mask, posed


def test_a_shadow_is_told_apart_by_the_points_on_the_ground() -> None:
    view, entity, mask, posed = shaded()
    without = from_prompt(view, entity, original_width=view.camera.width)
    found = from_prompt(view, entity, original_width=view.camera.width, posed=posed)
    assert iou(without, mask) < 0.93
    assert iou(found, mask) > 0.96


def test_a_thing_as_flat_as_the_ground_stays() -> None:
    view, entity, _, posed = shaded()
    flat = Posed(posed.views, posed.points * [1, 1, 0.0], posed.colors, posed.seen)
    found = from_prompt(view, entity, original_width=view.camera.width, posed=flat)
    without = from_prompt(view, entity, original_width=view.camera.width)
    assert iou(found, without) == 1.0
