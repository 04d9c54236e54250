"""A shadow that a mask took for the thing is told from it by where it lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pw_core.reconstruct.segmentation.shadows import heights, without_ground
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.types import View
from support.ball import RADIUS, camera, iou, shot


def dense(cameras: list) -> tuple[list[View], dict[str, np.ndarray], object]:
    """Views, the ball's true masks, and opaque Gaussians on all that the views show."""
    views, masks, points = [], {}, []
    for cam in cameras:
        picture, depth, mask = shot(cam)
        views.append(View(cam.name, picture, cam))
        masks[cam.name] = mask
        y, x = (a.ravel() for a in np.mgrid[1 : cam.height : 2, 1 : cam.width : 2])
        points.append(cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64)))
    at = np.concatenate(points)
    gaussians = start(at, np.full((len(at), 3), 0.5), sh_degree=0)
    gaussians.opacities[:] = 4.0
    gaussians.log_scales[:] -= 0.7  # or the table would seem as high as they are thick
    return views, masks, gaussians


def test_heights_of_what_a_camera_sees() -> None:
    cam = camera(0.3)
    _, depth, mask = shot(cam)
    height = heights(cam, depth.astype(np.float64))
    assert np.abs(height[~mask]).max() < 1e-6 and height[mask].max() == pytest.approx(2 * RADIUS, rel=0.02)


def test_a_shadow_in_the_mask_is_cut_off_and_the_thing_stays() -> None:
    views, true, gaussians = dense([camera(2 * np.pi * k / 6, name=f"v{k}") for k in range(6)])
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
