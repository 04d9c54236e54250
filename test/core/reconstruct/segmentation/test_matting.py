"""Outlines are put where half of a pixel is the thing's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from pw_core.reconstruct.segmentation.matting import at_half, outlined, trimmed
from pw_core.reconstruct.types import View
from support.ball import camera

NOTHING = np.zeros((180, 240), bool)


def disc(*, radius: float = 50.0, fine: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A many-coloured disc on a plain ground, with edges as soft as a camera's; and how much of each pixel is its."""
    y, x = (np.mgrid[: 180 * fine, : 240 * fine] + 0.5) / fine
    share = (np.hypot(x - 120, y - 90) < radius).astype(np.float32)
    share = cv2.resize(share, (240, 180), interpolation=cv2.INTER_AREA)
    share = cv2.GaussianBlur(share, (0, 0), 0.8)
    skin = np.stack(
        [200 + 30 * np.sin(np.arange(240) / 9), np.full(240, 90.0), 120 + 40 * np.cos(np.arange(240) / 7)], -1
    )
    noise = np.random.default_rng(0).normal(size=(180, 240, 3)) * 2
    picture = share[..., None] * skin + (1 - share[..., None]) * [230, 190, 70] + noise
    return np.clip(picture, 0, 255).astype(np.uint8), share


@pytest.mark.parametrize("off", (-2, -1, 0, 1, 2))
def test_an_outline_that_is_off_by_a_pixel_or_two_comes_back(off: int) -> None:
    picture, share = disc()
    true = share > 0.5
    mask = ndimage.binary_dilation(true, iterations=off) if off > 0 else true
    mask = ndimage.binary_erosion(true, iterations=-off) if off < 0 else mask
    found = at_half(picture, mask, NOTHING)
    assert abs(found.sum() / true.sum() - 1) < 0.01, (off, mask.sum() / true.sum(), found.sum() / true.sum())
    assert (found ^ true).sum() < 0.015 * true.sum()


def test_what_cannot_be_told_stays() -> None:
    picture, share = disc()
    mask = ndimage.binary_dilation(share > 0.5, iterations=2)
    assert (at_half(np.full_like(picture, 128), mask, NOTHING) == mask).all()  # no colours
    thin = NOTHING.copy()
    thin[90:93, 20:220] = True
    assert (at_half(picture, thin, NOTHING) == thin).mean() > 0.999
    right = np.broadcast_to(np.arange(240) >= 120, NOTHING.shape)
    found = at_half(picture, mask, right & ~mask)  # another thing's
    assert not (found & right & ~mask).any()


def test_given_masks_and_empty_ones_are_left_alone() -> None:
    picture, share = disc()
    wide = ndimage.binary_dilation(share > 0.5, iterations=2)
    views = [View(n, picture, camera(0.0, name=n)) for n in ("a", "b", "c")]
    masks = {"disc": {"a": wide, "b": wide, "c": NOTHING}}
    out = outlined(views, masks, given={"disc": {"a": wide}})["disc"]
    assert out["a"] is wide and out["c"] is NOTHING and out["b"].sum() < 0.97 * wide.sum()
    assert masks["disc"]["b"] is wide


def legs() -> tuple[np.ndarray, np.ndarray]:
    """Two dark legs on a plain ground that draw near to each other from six pixels to two, and their mask."""
    fine, y = 8, (np.arange(180 * 8) + 0.5) / 8
    x = (np.arange(240 * fine) + 0.5) / fine
    half_gap = 1 + 2 * (y[:, None] - 30) / 120  # [px]
    share = (np.abs(x - 120) > half_gap) & (np.abs(x - 120) < 16) & (y[:, None] > 30) & (y[:, None] < 150)
    share = cv2.GaussianBlur(
        cv2.resize(share.astype(np.float32), (240, 180), interpolation=cv2.INTER_AREA), (0, 0), 0.5
    )
    picture = share[..., None] * [110, 60, 45] + (1 - share[..., None]) * [190, 180, 150]
    picture = picture + np.random.default_rng(0).normal(size=picture.shape) * 2
    return np.clip(picture, 0, 255).astype(np.uint8), share > 0.5


def test_what_is_seen_between_two_legs_does_not_go_with_them() -> None:
    picture, true = legs()
    mask = ndimage.binary_closing(true)  # as a cut leaves them that is smoothed afterwards
    assert (mask & ~true).sum() > 50
    found = trimmed(picture, mask)
    assert (mask & ~true & ~found).sum() > 0.6 * (mask & ~true).sum()
    assert (true & ~found).sum() < 0.005 * true.sum()


def test_a_right_mask_is_not_trimmed_nor_one_that_its_colours_do_not_tell() -> None:
    picture, share = disc()
    true = share > 0.5
    assert (trimmed(picture, true) == true).all()
    wide = ndimage.binary_dilation(true, iterations=2)
    assert (trimmed(picture, wide) & ~true).sum() < 0.5 * (wide & ~true).sum()
    assert (trimmed(np.full_like(picture, 128), wide) == wide).all()
