"""Openings in a thing through which one sees what is behind it, as in a cup's handle.

A mask's holes are filled, since highlights and prints are taken for the background as well. What is an opening shows
the colours that are beside the thing there, which the thing itself has not, and is set off from outside by no more than
a thin part.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class OpeningOptions:
    """What counts as an opening."""

    wall_ratio: float = 0.1
    """Of the square root of the mask's area: what sets it off from outside is no thicker, as handles are."""
    least_share: float = 0.003
    """Of a mask: smaller openings are not worth their outline."""
    most_share: float = 0.15
    """And larger ones are the thing's own."""
    alike_lab: float = 8.0
    """CIELAB distance up to which it has the colours beside the thing."""
    unlike_ratio: float = 2.5
    """So many times further it is from the thing's own colours round it."""
    rim_px: int = 2
    """So near to the outline, colours are mixed and count neither as the thing's nor as those beside it."""
    least_filled: float = 0.7
    """Of what it has once its holes are filled: an opening shows what is behind it all over."""


def without_openings(photo: Rgb, mask: Mask, *, options: OpeningOptions = OpeningOptions()) -> Mask:
    """The mask (H, W) of a thing in the photo (H, W, 3) without its openings."""
    area = int(mask.sum())
    wall = options.wall_ratio * float(np.sqrt(area))
    lab = np.asarray(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    inside, outside = (np.asarray(ndimage.distance_transform_edt(m)) for m in (mask, ~mask))
    beside = _local(lab, (outside > options.rim_px) & (outside < 2 * wall), wall)
    alike = np.linalg.norm(lab - beside, axis=-1) < options.alike_lab
    found = ndimage.binary_opening(mask & (inside > options.rim_px) & alike, iterations=options.rim_px)
    parts, count = ndimage.label(found)
    out = mask
    for k in range(1, count + 1):
        part = parts == k
        whole = ndimage.binary_fill_holes(part)
        if not options.least_share * area < part.sum() < options.most_share * area:
            continue
        if inside[part].min() > wall or part.sum() < options.least_filled * whole.sum():
            continue
        away = np.asarray(ndimage.distance_transform_edt(~whole))
        around = mask & (away > options.rim_px) & (away < options.rim_px + wall / 2) & ~found
        if not around.any():
            continue
        other = np.linalg.norm(np.median(lab[around], axis=0) - np.median(lab[part], axis=0))
        own = np.linalg.norm(np.median(beside[part], axis=0) - np.median(lab[part], axis=0))
        if other > options.unlike_ratio * max(float(own), options.alike_lab / 2):
            # Its own rim is mixed: half of it is seen through.
            out = out & ~ndimage.binary_dilation(whole)
    return np.asarray(out)


def _local(lab: F32, where: Mask, sigma: float) -> F32:
    """Mean colours (H, W, 3) of the pixels `where` (H, W) near each; infinite where there are none."""
    weight = cv2.GaussianBlur(where.astype(np.float32), (0, 0), sigma)
    sums = cv2.GaussianBlur(lab * where[..., None].astype(np.float32), (0, 0), sigma)
    known = (weight > 1e-3)[..., None]
    return np.asarray(np.where(known, sums / np.maximum(weight, 1e-3)[..., None], np.inf), np.float32)
