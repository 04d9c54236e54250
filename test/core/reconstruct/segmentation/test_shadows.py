"""A shadow that a mask took for the thing is told from it by where it lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pw_core.reconstruct.segmentation.shadows import heights, without_ground
from support.ball import RADIUS, camera, iou, shot
from support.dense_ball import dense_ball


def test_heights_of_what_a_camera_sees() -> None:
    cam = camera(0.3)
    _, depth, mask = shot(cam)
    height = heights(cam, depth.astype(np.float64))
    assert np.abs(height[~mask]).max() < 1e-6 and height[mask].max() == pytest.approx(2 * RADIUS, rel=0.02)


def test_a_shadow_in_the_mask_is_cut_off_and_the_thing_stays() -> None:
    views, true, gaussians = dense_ball([camera(2 * np.pi * k / 6, name=f"v{k}") for k in range(6)])
    wrong = {}
    for name, mask in true.items():
        shadow = np.roll(ndimage.binary_dilation(mask, iterations=4), (8, 14), (0, 1))
        wrong[name] = mask | shadow
    masks = {"ball": dict(wrong)}
    given = {"ball": {"v0": wrong["v0"]}}
    before = [iou(wrong[n], true[n]) for n in true if n != "v0"]
    assert without_ground(views, masks, gaussians, given=given)
    after = [iou(masks["ball"][n], true[n]) for n in true if n != "v0"]
    assert max(before) < 0.8 and min(after) > 0.93, (before, after)
    assert masks["ball"]["v0"] is wrong["v0"]
    # A good mask stays as it is, and so does a flat thing's.
    good = {"ball": dict(true)}
    without_ground(views, good, gaussians, given={})
    assert min(iou(good["ball"][n], true[n]) for n in true) > 0.97
    sheet = {n: ndimage.binary_dilation(m, iterations=30) & ~m for n, m in true.items()}
    flat = {"sheet": dict(sheet)}
    assert not without_ground(views, flat, gaussians, given={}) and all(flat["sheet"][n] is sheet[n] for n in true)
