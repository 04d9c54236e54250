"""The prompt's own view: what the sparse points know of the ground corrects what colours say."""

from __future__ import annotations

import cv2
import numpy as np

from pw_core.config import EntityConfig, Material, Prompt
from pw_core.reconstruct.segmentation.prompt import filled
from pw_core.reconstruct.segmentation.propagate import from_prompt
from pw_core.reconstruct.segmentation.voting import agree
from pw_core.reconstruct.types import Posed, View
from support.ball import camera, iou, shot, shots


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


def wrong(mask: np.ndarray, k: int) -> np.ndarray:
    """Of four one is eaten into from the left by a third, one has grown to the right; two are right."""
    columns = np.flatnonzero(mask.any(0))
    width = len(columns) // 3
    out = mask.copy()
    if k % 4 == 1:
        out[:, : columns[0] + width] = False
    if k % 4 == 3:
        out |= np.roll(mask, width, axis=1)
    return out


def test_views_with_depth_outvote_the_masks_that_are_wrong() -> None:
    inputs, true = shots(12, depth=True)
    views = [View(v.name, v.image, v.camera, v.depth) for v in inputs.views if v.camera is not None]
    drawn = {v.name: wrong(true[v.name], k) for k, v in enumerate(views)}
    assert min(iou(drawn[n], true[n]) for n in true) < 0.75
    kept = views[1].name
    found = agree(views, {"ball": drawn}, fixed={"ball": {kept: drawn[kept]}})["ball"]
    assert min(iou(found[n], true[n]) for n in true if n != kept) > 0.97
    assert (found[kept] == drawn[kept]).all()


def test_two_entities_share_what_they_are_outvoted_of() -> None:
    inputs, true = shots(12, depth=True)
    views = [View(v.name, v.image, v.camera, v.depth) for v in inputs.views if v.camera is not None]
    left = {n: m & (np.arange(m.shape[1]) < m.shape[1] // 2) for n, m in true.items()}
    # One view calls all of the ball its other half's; the rest have it all as the ball.
    first = views[0].name
    ball = {n: m if n != first else m & ~left[n] for n, m in true.items()}
    half = {n: np.zeros_like(m) if n != first else left[n] for n, m in true.items()}
    found = agree(views, {"ball": ball, "half": half}, fixed={})
    assert iou(found["ball"][first], true[first]) > 0.97 and found["half"][first].sum() < 0.02 * true[first].sum()


def test_a_gap_stays_open_where_something_speaks_for_it() -> None:
    mask = np.ones((60, 80), bool)
    mask[[0, -1]] = mask[:, [0, -1]] = False
    mask[10:20, 10:30] = mask[30:40, 10:30] = mask[30:32, 50:53] = False  # two gaps and a speck
    against = np.zeros_like(mask)
    against[15, 20] = against[31, 51] = True
    found = filled(mask, against, least=10)
    assert not found[10:20, 10:30].any()
    assert found[30:40, 10:30].all() and found[30:32, 50:53].all()
    assert not filled(mask, against)[30:32, 50:53].any()
