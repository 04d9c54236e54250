"""Things that touch or stand close: whose each pixel between two masks is, the one's, the other's, or neither's.

Masks are cut one thing at a time. Between two things the table is seen through a gap of a pixel or two, or its shadow
is. Colours are mixed there, and GrabCut, which knows neither the gap's nor the neighbour's, gives them to one of both:
the box that is fitted to that mask is askew, and the gap goes with the thing. Here a pixel between two masks is of the
thing whose colours it has by more than half (alpha matting, the other colour being what it turns into within an edge's
width), and the gap's where it is of neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32
from pw_core.reconstruct.segmentation.matting import local_colors
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class TouchingOptions:
    """Between which masks pixels are told apart, and how."""

    reach_px: int = 4
    """How far inside its outline a thing's colours are its own alone; so far inside and outside pixels are told
    apart."""
    window_px: float = 4.0
    """Standard deviation of the window that those colours are taken from."""
    min_weight: float = 0.02
    """Of a thing's own pixels in that window."""
    edge_px: int = 2
    """Within so many pixels a mixed colour turns into that of what is beside the thing."""
    least_share: float = 0.5
    """Of a pixel, for it to be a thing's."""
    min_contrast_ratio: float = 4.0
    """Least square of that step, in variances of the thing's own colours."""
    min_contrast: float = 900.0
    """And beyond that, in squared grey levels: a dark thing stands out of a dark gap by little more."""


def apart(photo: Rgb, masks: Sequence[Mask], *, options: TouchingOptions = TouchingOptions()) -> list[Mask]:
    """The masks (H, W) of the things in a photo (H, W, 3), the pixels between close ones told apart. Where a thing
    hardly differs from what is beside it, and away from other things, they stay."""
    out = list(masks)
    cores = [ndimage.binary_erosion(m, iterations=options.reach_px) for m in masks]
    picture = photo.astype(np.float32)
    for pair in combinations([k for k, core in enumerate(cores) if core.any()], 2):
        away = [np.asarray(ndimage.distance_transform_edt(~cores[k]), np.float32) for k in pair]
        between = (np.maximum(*away) < 2 * options.reach_px) & (np.minimum(*away) > 0)
        if not between.any():
            continue
        shares = [_share(picture, cores[k], far, options) for k, far in zip(pair, away)]
        for k, mine, other in zip(pair, shares, reversed(shares)):
            told = between & np.isfinite(mine)
            own = np.where(told, (mine > options.least_share) & ~(other > mine), out[k])  # nan is no more than mine
            smooth = cv2.medianBlur(own.astype(np.uint8), 3) > 0
            out[k] = _joined(out[k], np.where(told, smooth, out[k]))
    return out


def _share(picture: F32, core: Mask, away: F32, options: TouchingOptions) -> F32:
    """What share (H, W) of a pixel is a thing's, which has that core (H, W): how near the pixel is to the colours in
    there, on the way to the furthest from them that there is within an edge's width and not nearer to the core, of
    which pixels are so far `away` (H, W); nan where these hardly differ."""
    weight, own, spread = local_colors(picture, core, options.window_px)
    off = np.asarray(np.linalg.norm(picture - own, axis=-1), np.float32)
    size, furthest = options.edge_px, off.copy()
    padded = [np.pad(a, size, mode="edge") for a in (off, away)]
    height, width = off.shape
    for y, x in np.ndindex(2 * size + 1, 2 * size + 1):
        there, beyond = (a[y : y + height, x : x + width] for a in padded)
        np.maximum(furthest, there, out=furthest, where=beyond >= away)
    told = (weight > options.min_weight) & (furthest**2 > options.min_contrast_ratio * spread + options.min_contrast)
    return np.where(told, 1 - off / np.maximum(furthest, 1e-6), np.nan).astype(np.float32)


def _joined(before: Mask, after: Mask) -> Mask:
    """What a mask has less only where that comes from its outline, and more only where that hangs on it: what is
    unlike the rest further in is the thing's own pattern."""
    less, more = before & ~after, after & ~before
    from_outside = ndimage.binary_propagation(less & ndimage.binary_dilation(~before), mask=less)
    kept = before & ~from_outside
    return np.asarray(kept | ndimage.binary_propagation(more & ndimage.binary_dilation(kept), mask=more))
