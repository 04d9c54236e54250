"""Outlines put where half of a pixel is the thing's.

GrabCut asks which of two mixtures of colours a pixel is likelier of. At an edge a pixel is a bit of both, and goes to
whichever side has the more colours: a plain table leaves a pixel's rim to the thing, grained wood takes one. On a thing
a hundred pixels wide one pixel all round is 6 % of its volume. Here the colours just inside and just outside tell what
share of a pixel near the outline is the thing's (alpha matting by local means).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F32
from pw_core.reconstruct.types import Mask, Rgb, View

RIM_PX = 4
"""How far from the outline colours are those of one side alone; nearer, up to one pixel less, it may move."""
AROUND_PX = 4.0
"""Standard deviation of the window that colours of either side are taken from."""
SHARE = 0.02
"""Least weight of either side in that window."""
APART, NOISE = 4.0, 2500.0
"""Least square of the colours' difference: so many times the variance of both, and that many squared grey levels."""


def outlined(
    views: Sequence[View], masks: Mapping[str, Mapping[str, Mask]], *, given: Mapping[str, Mapping[str, Mask]]
) -> dict[str, dict[str, Mask]]:
    """The masks, by entity and view, with their outlines at half coverage, but for those that were `given`."""
    out = {name: dict(of) for name, of in masks.items()}
    for v in views:
        for name, of in masks.items():
            if v.name not in given.get(name, {}) and of[v.name].any():
                others = np.any([np.zeros_like(of[v.name]), *(m[v.name] for n, m in out.items() if n != name)], axis=0)
                out[name][v.name] = at_half(v.image, of[v.name], others)
    return out


def at_half(image: Rgb, mask: Mask, others: Mask) -> Mask:
    """A mask (H, W) moved by up to three pixels to where half of the light is the thing's; it stays where its colours
    and those around it are alike, where it is thin, and at what other things cover."""
    picture = image.astype(np.float32)
    inner, outer = ndimage.binary_erosion(mask, iterations=RIM_PX), ~ndimage.binary_dilation(mask, iterations=RIM_PX)
    near = ndimage.binary_dilation(mask, iterations=RIM_PX - 1) & ~ndimage.binary_erosion(mask, iterations=RIM_PX - 1)
    front, own, spread = _colours(picture, inner)
    back, ground, wide = _colours(picture, outer & ~others)
    way = own - ground
    apart = (way * way).sum(-1)
    told = near & ~others & (front > SHARE) & (back > SHARE) & (apart > APART * (spread + wide) + NOISE)
    share = ((picture - ground) * way).sum(-1) / np.maximum(apart, 1e-6)
    moved = np.where(told, share > 0.5, mask)
    moved = ndimage.binary_opening(moved) | (moved & (inner | (mask & ~told)))
    parts, count = ndimage.label(moved)
    if count < 2:
        return np.asarray(moved)
    held = np.bincount(parts[mask & moved], minlength=count + 1)  # what hangs on nothing was a like-coloured speck
    sizes = np.bincount(parts.ravel())
    keep = (held > 0) & ((sizes > 0.01 * sizes[1:].max()) | (held == sizes))
    keep[0] = False
    return np.asarray(keep[parts])


def _colours(picture: F32, where: Mask) -> tuple[F32, F32, F32]:
    """Weight (H, W), mean (H, W, 3) and variance (H, W) of the colours round each pixel, of those `where` (H, W)."""
    weight = where.astype(np.float32)
    total = _blurred(weight)
    safe = np.maximum(total, np.float32(1e-6))
    mean = _blurred(picture * weight[..., None]) / safe[..., None]
    square = _blurred((picture * picture).sum(-1) * weight) / safe
    return total, mean, np.asarray(np.maximum(square - (mean * mean).sum(-1), 0), np.float32)


def _blurred(a: NDArray[np.float32]) -> F32:
    return np.asarray(cv2.GaussianBlur(a, (0, 0), AROUND_PX), np.float32)
