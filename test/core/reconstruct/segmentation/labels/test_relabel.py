"""Masks take what the fitted Gaussians say of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.reconstruct.segmentation.labels.relabel import cut_again, relabel
from pw_core.reconstruct.types import View
from support.ball import camera, iou, shot


def seen() -> tuple[list[View], np.ndarray, np.ndarray]:
    """Two views, the ball's mask in both, and probabilities (H, W, 2) that are as blurred as a rendering's."""
    cam = camera(0.0)
    picture, _, mask = shot(cam)
    ball = ndimage.gaussian_filter(mask.astype(np.float32), 2.0)
    return [View(n, picture, cam) for n in ("a", "b")], mask, np.stack([1 - ball, ball], -1)


def test_a_mask_that_the_gaussians_contradict_is_cut_anew_and_a_given_one_stays() -> None:
    views, true, p = seen()
    half = true & (np.arange(true.shape[1]) < np.median(np.nonzero(true)[1]))
    masks = {"ball": {"a": half, "b": half}}
    assert relabel(views, masks, {"a": p, "b": p}, given={"ball": {"b": half}})
    assert iou(masks["ball"]["a"], true) > 0.97 and masks["ball"]["b"] is half
    assert not relabel(views, masks, {"a": p, "b": p}, given={"ball": masks["ball"]})


def test_what_neither_has_is_left_alone() -> None:
    views, true, p = seen()
    nothing = np.zeros_like(true)
    masks = {"ball": {"a": nothing, "b": nothing}}
    assert not relabel(views, masks, {"a": 0 * p, "b": 0 * p}, given={}) and masks["ball"]["a"] is nothing


def test_where_nothing_is_certain_the_likely_is_the_answer() -> None:
    views, true, p = seen()
    found = cut_again(views[0].image, 0.6 * p[..., 1], 0 * p[..., 1])
    assert (found == (0.6 * p[..., 1] > 0.5)).all()
    rival = np.where(np.arange(true.shape[1]) < 120, 1.0, 0.0) * np.ones(true.shape)
    kept = cut_again(views[0].image, 0.98 * p[..., 1], rival.astype(np.float32))
    assert not kept[:, :115].any() and kept[:, 125:].any()
