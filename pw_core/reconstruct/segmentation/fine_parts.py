"""What is finer than a mask: spines, hair, stalks. Each pixel beside the outline is told apart from what is behind it.

Difference matting (Smith and Blinn 1996) against a backdrop that is not known but smooth or straight: isophotes go on
from further out (Bertalmio et al. 2001) under the fringe, and what differs from them by a multiple of the noise,
towards the colour that the strongest of it has, is the thing's. Closed-form matting (Levin et al. 2008) finds the same
where it is given that, and without takes what lies between spines along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64
from pw_core.reconstruct.segmentation.checks.doubts import DoubtOptions, has_fine_parts
from pw_core.reconstruct.segmentation.outline.stalks import StalkOptions, find_stalks
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class FinePartOptions:
    """How far fine parts are looked for, and what counts. Lengths are shares of the square root of the mask's area;
    differences are in CIELAB."""

    ring: float = 0.05
    """Width of the rings round the outline in which fine detail is looked for, the one after the other."""
    most_fringe: float = 0.4
    """So far from the outline fine parts may reach."""
    plain_ratio: float = 1.5
    """Of the detail in a ring, over that further out: with less it has none of them."""
    beyond: float = 0.3
    """So much further out what is behind is looked at."""
    noise_window: float = 0.06
    """Standard deviation of the window that noise is measured in."""
    isophote_px: int = 3
    """Radius in which isophotes go on under the fringe."""
    noise_ratio: float = 3.0
    """Of what stands out from what is behind, over the noise there."""
    least_difference: float = 1.2
    """And at the least: eight bits are as coarse as 0.4."""
    strongest_percentile: float = 90.0
    """Of the differences: what has more tells the colour of the fine parts."""
    least_px: float = 3.0
    """So far from the outline they are not its blur."""
    least_cosine: float = 0.6
    """Between a difference and the way to that colour: planks' joints and shadows go another way."""
    least_contrast: float = 2.0
    """Where that colour is no further from what is behind, no share of it is told."""
    closing_px: int = 3
    """Gaps between fine parts, half as wide as they may be, that are tinted by what is too fine to be told."""
    least_alpha: float = 0.25
    """By which differences are divided at the most, for the colour that a fine part has without what is behind it."""
    doubts: DoubtOptions = DoubtOptions()
    """Whether there are any."""
    stalks: StalkOptions = StalkOptions()
    """What is a single one."""
    rim_px: int = 3
    """So far round a stalk pixels are mixed with it."""


@dataclass(frozen=True)
class FineParts:
    """Of one thing, beside its mask: alpha (H, W) in 0 ... 1, colours (H, W, 3) in 0 ... 255 without what is behind
    them, and the fringe (H, W) that has something of them, gaps too; whether they stand in its middle, as a stem does,
    rather than on its outline."""

    alpha: F32
    colors: F32
    fringe: Mask
    at_middle: bool = False


def fine_parts(
    photo: Rgb, masks: Sequence[Mask], *, boxes: Sequence[F64] = (), options: FinePartOptions = FinePartOptions()
) -> list[FineParts | None]:  # fmt: skip
    """Of each mask (H, W) of the photo (H, W, 3), None where it has none. With the boxes x0, y0, x1, y1 [px] that were
    drawn round the things, single stalks are found as well."""
    out: list[FineParts | None] = []
    for k, mask in enumerate(masks):
        others = np.any([np.zeros_like(mask), *(m for i, m in enumerate(masks) if i != k)], axis=0)
        if mask.any() and has_fine_parts(photo, mask, options=options.doubts):
            out.append(_of(photo, mask, others, options))
        elif mask.any() and boxes:
            stalks = find_stalks(photo, mask, others, boxes[k], options=options.stalks)
            out.append(_of_stalks(photo, mask, others, stalks, options) if stalks.any() else None)
        else:
            out.append(None)
    return out


def _of_stalks(photo: Rgb, mask: Mask, others: Mask, stalks: Mask, o: FinePartOptions) -> FineParts:
    """What `stalks` (H, W) and their rims have of their colour."""
    around = ndimage.binary_dilation(stalks, iterations=o.rim_px)
    fringe = around & ~mask & ~ndimage.binary_dilation(others, iterations=2)
    behind = _behind(photo, around | ndimage.binary_dilation(mask | others, iterations=2), o)
    lab, ground = (cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for p in (photo, behind))
    way = np.median(lab[stalks], axis=0) - ground
    off = lab - ground
    along, length = (off * way).sum(-1), np.linalg.norm(way, axis=-1)
    alike = fringe & (along > o.least_cosine * length * np.maximum(np.linalg.norm(off, axis=-1), 1e-6))
    alpha = np.where(alike, along / np.maximum(length, o.least_contrast) ** 2, 0).clip(0, 1).astype(np.float32)
    own = behind + (photo - behind) / np.maximum(alpha, o.least_alpha)[..., None]
    return FineParts(alpha, np.asarray(own.clip(0, 255), np.float32), fringe, at_middle=True)


def _of(photo: Rgb, mask: Mask, others: Mask, o: FinePartOptions) -> FineParts | None:
    """In the window that matters."""
    size = float(np.sqrt(mask.sum()))
    wide = round(2 * (o.most_fringe + o.beyond) * size)
    window = tuple(
        slice(max(int(at.min()) - wide, 0), int(at.max()) + wide + 1)
        for at in (np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0)))
    )
    found = _matte(photo[window], mask[window], others[window], size, o)
    if found is None:
        return None
    alpha, colors = np.zeros(mask.shape, np.float32), np.zeros((*mask.shape, 3), np.float32)
    fringe = np.zeros_like(mask)
    alpha[window], colors[window], fringe[window] = found
    return FineParts(alpha, colors, fringe)


def _matte(
    photo: Rgb, mask: Mask, others: Mask, size: float, o: FinePartOptions
) -> tuple[F32, F32, Mask] | None:  # fmt: skip
    lab: F32 = np.asarray(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    away: F32 = np.asarray(ndimage.distance_transform_edt(~mask), np.float32)
    fringe = _reach(lab, away, size, o)
    near = away <= fringe
    behind = _behind(photo, near | ndimage.binary_dilation(others, iterations=2), o)
    ground = cv2.cvtColor(behind / 255, cv2.COLOR_RGB2LAB)
    off = lab - ground
    much = np.linalg.norm(off, axis=-1)
    low = np.maximum(o.least_difference, o.noise_ratio * _noise(lab, np.asarray(away - fringe, np.float32), size, o))
    free = ~ndimage.binary_dilation(others, iterations=2)
    stands_out = (much > low) & near & (away > 0) & free
    apart = stands_out & (away > o.least_px)
    if not apart.any():
        return None
    strongest = apart & (much >= np.percentile(much[apart], o.strongest_percentile))
    way = np.median(lab[strongest], axis=0) - ground
    along = (off * way).sum(-1)
    length = np.linalg.norm(way, axis=-1)
    alike = stands_out & (along > o.least_cosine * length * np.maximum(much, 1e-6))
    parts, _ = ndimage.label(alike | mask, np.ones((3, 3)))
    alike &= np.isin(parts, np.unique(parts[mask]))
    alpha = np.where(alike, along / np.maximum(length, o.least_contrast) ** 2, 0).clip(0, 1).astype(np.float32)
    own = behind + (photo - behind) / np.maximum(alpha, o.least_alpha)[..., None]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * o.closing_px + 1,) * 2)
    tinted = cv2.morphologyEx((alike | mask).astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
    return alpha, np.asarray(own.clip(0, 255), np.float32), np.asarray(tinted & ~mask & free)


def _reach(lab: F32, away: F32, size: float, o: FinePartOptions) -> float:
    """How far [px] from the outline fine detail is found."""
    detail = np.linalg.norm(lab - cv2.medianBlur(lab, 5), axis=-1)
    edges = np.arange(o.ring, o.most_fringe, o.ring) * size
    further = (away > edges[-1]) & (away < edges[-1] + o.beyond * size)
    for near, far in pairwise(edges):
        ring = (away > near) & (away <= far)
        if not ring.any() or not further.any() or detail[ring].mean() < o.plain_ratio * detail[further].mean():
            return float(near)
    return float(edges[-1])


def _behind(photo: Rgb, hidden: Mask, o: FinePartOptions) -> F32:
    """What is behind (H, W, 3), under `hidden` (H, W) as its isophotes go on."""
    out = cv2.inpaint(np.ascontiguousarray(photo), hidden.astype(np.uint8), o.isophote_px, cv2.INPAINT_NS)
    return np.asarray(out, np.float32)


def _noise(lab: F32, away: F32, size: float, o: FinePartOptions) -> F32:
    """How uneven (H, W) what is behind is: root of the mean square of its difference from its median, beyond the
    fringe, which ends where `away` (H, W) is 0; nearer, as at the nearest place there."""
    uneven = ((lab - cv2.medianBlur(lab, 5)) ** 2).sum(-1)
    beyond = (away > 0) & (away < o.beyond * size)
    weight = beyond.astype(np.float32)
    sums, total = (cv2.GaussianBlur(a, (0, 0), o.noise_window * size) for a in (uneven * weight, weight))
    there = np.sqrt(sums / np.maximum(total, 1e-6))
    nearest = ndimage.distance_transform_edt(~beyond, return_distances=False, return_indices=True)
    return np.asarray(there[tuple(nearest)], np.float32)
