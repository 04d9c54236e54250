"""Outlines put where half of a pixel is the thing's.

GrabCut asks which of two mixtures of colours a pixel is likelier of. At an edge a pixel is a bit of both, and goes to
whichever side has the more colours: at a plain table the thing gains a pixel, at grained wood it
loses one. On a thing
a hundred pixels wide one pixel all round is 6 % of its volume. Here the colours just inside and just outside tell what
share of a pixel near the outline is the thing's (alpha matting by local means).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F32
from pw_core.reconstruct.types import Mask, Masks, Rgb, View


@dataclass(frozen=True, kw_only=True)
class MattingOptions:
    """Where outlines may move, and when."""

    reach_px: int = 4
    """How far from the outline colours are those of one side alone; nearer, up to one pixel less, it may move."""
    window_px: float = 4.0
    """Standard deviation of the window that colours of either side are taken from."""
    min_weight: float = 0.02
    """Of either side in that window."""
    min_contrast_ratio: float = 4.0
    """Least square of the colours' difference, in variances of both sides."""
    min_contrast: float = 2500.0
    """And beyond that, in squared grey levels."""
    min_part_share: float = 0.01
    """Of the largest part: a smaller one that is not wholly of the old mask was a like-coloured speck."""


@dataclass(frozen=True, kw_only=True)
class TrimOptions:
    """What along a mask's outline is not the thing's."""

    most_share: float = 0.3
    """Of the way from the colours beside a thing to its own: a pixel that is no further on it shows what is beside. At
    half of it round things would lose their rims, which mirror what is beside them."""
    depth_px: int = 3
    """How far inside the outline, from where on a thing's colours are its own."""
    mixed_px: int = 2
    """How far outside of it pixels are mixed."""
    own_window_px: float = 4.0
    """Standard deviation of the window that a thing's own colours are taken from."""
    ground_window_px: float = 8.0
    """And of that for those beside it: what is seen between two legs is like what is beside both."""
    min_weight: tuple[float, float] = (0.02, 0.005)
    """Of either in its window."""
    min_contrast_ratio: float = 4.0
    """Least square of the colours' difference, in variances of both sides."""
    min_contrast: float = 2500.0
    """And beyond that, in squared grey levels."""
    most_gone_share: float = 0.1
    """Of a mask: where more would go, the thing has such colours itself."""


def trimmed(image: Rgb, mask: Mask, *, options: TrimOptions = TrimOptions()) -> Mask:
    """A mask (H, W) without what, from its outline inwards, has the colours that are beside the thing there: a narrow
    gap between two legs, a contact shadow, a rim of the table. It stays where those and its own are alike."""
    picture, o = image.astype(np.float32), options
    inner = ndimage.binary_erosion(mask, iterations=o.depth_px)
    front, own, spread = local_colors(picture, inner, o.own_window_px)
    outer = ~ndimage.binary_dilation(mask, iterations=o.mixed_px)
    back, ground, wide = local_colors(picture, outer, o.ground_window_px)
    apart = ((own - ground) ** 2).sum(-1)
    known = (front > o.min_weight[0]) & (back > o.min_weight[1])
    contrast = apart > o.min_contrast_ratio * (spread + wide) + o.min_contrast
    alike = ((picture - ground) ** 2).sum(-1) < o.most_share**2 * apart
    strange = mask & known & contrast & alike
    gone = ndimage.binary_propagation(strange & ndimage.binary_dilation(~mask), mask=strange)
    return np.asarray(mask & ~gone) if gone.sum() < o.most_gone_share * mask.sum() else mask


def outlined(
    views: Sequence[View], masks: Mapping[str, Mapping[str, Mask]], *, given: Mapping[str, Mapping[str, Mask]],
    options: MattingOptions = MattingOptions(),
) -> Masks:  # fmt: skip
    """The masks, by entity and view, with their outlines at half coverage, but for those that were `given`."""
    out = {name: dict(of) for name, of in masks.items()}
    for v in views:
        for name, of in masks.items():
            if v.name not in given.get(name, {}) and of[v.name].any():
                others = np.any([np.zeros_like(of[v.name]), *(m[v.name] for n, m in out.items() if n != name)], axis=0)
                out[name][v.name] = at_half(v.image, of[v.name], others, options=options)
    return out


def at_half(image: Rgb, mask: Mask, others: Mask, *, options: MattingOptions = MattingOptions()) -> Mask:
    """A mask (H, W) moved by less than `reach_px` to where half of the light is the thing's; it stays where its colours
    and those around it are alike, where it is thin, and at what other things cover."""
    picture = image.astype(np.float32)
    reach = options.reach_px
    inner, outer = ndimage.binary_erosion(mask, iterations=reach), ~ndimage.binary_dilation(mask, iterations=reach)
    near = ndimage.binary_dilation(mask, iterations=reach - 1) & ~ndimage.binary_erosion(mask, iterations=reach - 1)
    front, own, spread = local_colors(picture, inner, options.window_px)
    back, ground, wide = local_colors(picture, outer & ~others, options.window_px)
    way = own - ground
    apart = (way * way).sum(-1)
    known = (front > options.min_weight) & (back > options.min_weight)
    contrast = apart > options.min_contrast_ratio * (spread + wide) + options.min_contrast
    observable = near & ~others & known & contrast
    share = ((picture - ground) * way).sum(-1) / np.maximum(apart, 1e-6)
    moved = np.where(observable, share > 0.5, mask)
    moved = ndimage.binary_opening(moved) | (moved & (inner | (mask & ~observable)))
    parts, count = ndimage.label(moved)
    if count < 2:
        return np.asarray(moved)
    held = np.bincount(parts[mask & moved], minlength=count + 1)  # what hangs on nothing was a like-coloured speck
    sizes = np.bincount(parts.ravel())
    keep = (held > 0) & ((sizes > options.min_part_share * sizes[1:].max()) | (held == sizes))
    keep[0] = False
    return np.asarray(keep[parts])


def local_colors(picture: F32, where: Mask, window_px: float) -> tuple[F32, F32, F32]:
    """Weight (H, W), mean (H, W, 3) and variance (H, W) of the colours round each pixel, of those `where` (H, W)."""
    weight = where.astype(np.float32)
    total = _blurred(weight, window_px)
    safe = np.maximum(total, np.float32(1e-6))
    mean = _blurred(picture * weight[..., None], window_px) / safe[..., None]
    square = _blurred((picture * picture).sum(-1) * weight, window_px) / safe
    return total, mean, np.asarray(np.maximum(square - (mean * mean).sum(-1), 0), np.float32)


def _blurred(a: NDArray[np.float32], window_px: float) -> F32:
    return np.asarray(cv2.GaussianBlur(a, (0, 0), window_px), np.float32)
