"""Stalks that a mask lacks: a pear's stem, a wire, an aerial.

What is thin and of another colour is lost when a mask is opened and smoothed. Where a person's box stands off from the
mask on one side, and something thin begins at the mask there, leads out of the mask's bounding box and ends before the
box does, the box was drawn round it. A plank's joint goes on past the box; a tap behind the thing ends within the
mask's bounding box; a shadow lies at its foot.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class StalkOptions:
    """What counts as a stalk. Lengths are shares of the square root of the mask's area; differences are in CIELAB."""

    most_width: float = 0.1
    """Of a stalk."""
    least_length: float = 0.1
    """How far it leads away from the mask."""
    slimness: float = 2.0
    """So many times as long as wide it is at the least."""
    least_difference: float = 12.0
    """From what is behind: fainter are planks' grain and shades."""
    noise_ratio: float = 3.0
    """And over the same in the surroundings of the box."""
    around: float = 0.3
    """So far round the box its surroundings reach."""
    mixed_px: float = 1.5
    """So near to the mask pixels are mixed with it."""
    joined_px: float = 3.5
    """So near to the mask it begins."""
    least_px: int = 6
    """Fewer pixels are a speck."""
    most_low: float = 0.67
    """Of the mask's height, from its top: further down, what begins there may be a shadow."""
    least_beyond: float = 0.5
    """Of its length it is beyond the mask's bounding box."""
    least_of_gap: float = 0.4
    """Of what the box stands off from the mask there: the box was drawn round it."""
    isophote_px: int = 3
    """Radius in which isophotes go on under the mask."""


def find_stalks(
    photo: Rgb, mask: Mask, others: Mask, box: F64, *, options: StalkOptions = StalkOptions()
) -> Mask:  # fmt: skip
    """Pixels (H, W) of the stalks beside a mask (H, W) whose box is x0, y0, x1, y1 [px]; `others` (H, W) are other
    things'. They are a pixel or two off the mask, and their own rims are missing."""
    size = float(np.sqrt(mask.sum()))
    out = np.zeros_like(mask)
    pad = options.around * size
    low, high = np.floor(np.clip(box[:2] - pad, 0, None)).astype(int), np.ceil(box[2:] + pad).astype(int)
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    if not mask[window].any():
        return out
    inner = box - np.concatenate([low, low])
    out[window] = _found(photo[window], mask[window], others[window], inner, size, options)
    return out


def _found(photo: Rgb, mask: Mask, others: Mask, box: F64, size: float, o: StalkOptions) -> Mask:
    """In a window round the box."""
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    stands_off = columns[0] - box[0], rows[0] - box[1], box[2] - columns[-1]
    if max(stands_off) < o.least_beyond * o.least_length * size:
        return np.zeros_like(mask)
    inside = np.zeros_like(mask)
    x0, y0, x1, y1 = (max(round(float(v)), 0) for v in box)
    inside[y0:y1, x0:x1] = True
    off = _thin(photo, mask | others, max(3, round(o.most_width * size)), o)
    around = ~inside & ~mask & ~others
    noise = float(np.sqrt((off[around] ** 2).mean())) if around.any() else 0.0
    away = np.asarray(ndimage.distance_transform_edt(~mask))
    strange = (off > max(o.least_difference, o.noise_ratio * noise)) & (away > o.mixed_px) & ~others
    parts, _ = ndimage.label(strange, np.ones((3, 3)))
    out = np.zeros_like(mask)
    for k, where in enumerate(ndimage.find_objects(parts), 1):
        part = parts[where] == k
        v, u = np.nonzero(part)
        v, u = v + where[0].start, u + where[1].start
        far = away[v, u]
        length = float(np.ptp(far)) + 1
        width = len(v) / length
        begins = (v[far < far.min() + 2].mean() - rows[0]) / max(rows[-1] - rows[0], 1)
        is_stalk = len(v) >= o.least_px and far.min() <= o.joined_px and inside[v, u].all()
        is_stalk &= far.max() > o.least_length * size and width <= max(o.most_width * size, 1.0)
        is_stalk &= length > o.slimness * width and begins < o.most_low
        beyond = columns[0] - u.min(), rows[0] - v.min(), u.max() - columns[-1]
        least = (max(o.least_beyond * length, o.least_of_gap * gap) for gap in stands_off)
        if is_stalk and any(b > at_least for b, at_least in zip(beyond, least)):
            out[v, u] = True
    return out


def _thin(photo: Rgb, hidden: Mask, width: int, o: StalkOptions) -> F32:
    """How much (H, W) differs from its surroundings what is thinner than `width` [px], but for what is hidden (H, W),
    under which isophotes go on."""
    wide = ndimage.binary_dilation(hidden, iterations=2).astype(np.uint8)
    behind = cv2.inpaint(np.ascontiguousarray(photo), wide, o.isophote_px, cv2.INPAINT_NS)
    plain = cv2.medianBlur(behind, 2 * width + 1)
    lab, ground = (cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for p in (behind, plain))
    return np.asarray(np.linalg.norm(lab - ground, axis=-1), np.float32)
