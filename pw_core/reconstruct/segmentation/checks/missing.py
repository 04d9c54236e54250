"""Parts of a thing that its mask leaves out: within its box, of its own hues, of none that is seen round the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class MissingOptions:
    """What is taken for a part that is left out."""

    around_ratio: float = 0.25
    """Of the box's longer side: so much round it is what stands behind and beside the thing."""
    bin_lab: float = 4.0
    """Side of the cells of chroma (CIELAB's a and b) in which hues are counted: shadows change lightness alone."""
    least_around_share: float = 0.002
    """Of what is round the box, in a cell: a hue that is seen there."""
    least_own_share: float = 0.01
    """Of the mask, in a cell: one of its hues."""
    around_bins: int = 2
    """How many cells hues round the box reach ..."""
    own_bins: int = 2
    """... and the mask's."""
    outline_px: int = 2
    """Beside a mask pixels are mixed."""
    touching_px: int = 6
    """So near to the mask a part begins."""
    least_share: float = 0.06
    """Of the mask: smaller parts are not told of."""


def missing_doubts(
    photo: Rgb, masks: Sequence[Mask], entities: Sequence[EntityConfig], *, scale: float,
    options: MissingOptions = MissingOptions(),
) -> list[str]:  # fmt: skip
    """A sentence for each mask (H, W) of the working photo (H, W, 3) that seems to leave out a part, with a point on
    it; prompts are in pixels of the original, 1 / scale times as many."""
    out = []
    for k, (mask, entity) in enumerate(zip(masks, entities)):
        if not mask.any():
            continue
        others = [m for i, m in enumerate(masks) if i != k]
        part = _part(photo, mask, np.any([np.zeros_like(mask), *others], axis=0), entity, scale, options)
        share = part.sum() / mask.sum()
        if share >= options.least_share:
            v, u = np.unravel_index(int(np.argmax(ndimage.distance_transform_edt(part))), part.shape)
            out.append(
                f"entity '{entity.name}': something of its hues in its box is not in its mask, {share:.0%} of that: if "
                f"it belongs to it, add the point ({(u + 0.5) / scale:.0f}, {(v + 0.5) / scale:.0f})"
            )
    return out


def _part(photo: Rgb, mask: Mask, others: Mask, entity: EntityConfig, scale: float, o: MissingOptions) -> Mask:
    """The largest of what seems to be left out (H, W)."""
    import cv2

    height, width = mask.shape
    x0, y0, x1, y1 = (round(v * scale) for v in entity.prompt.box)
    inside, near = np.zeros((height, width), bool), np.zeros((height, width), bool)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    gap = round(o.around_ratio * max(x1 - x0, y1 - y0))
    near[max(y0 - gap, 0) : y1 + gap, max(x0 - gap, 0) : x1 + gap] = True
    around = near & ~inside & ~mask
    if not around.any():
        return np.zeros_like(mask)
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), 1.0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    cells = np.floor((lab[..., 1:] + 128) / o.bin_lab).astype(int)
    seen = _hues(cells[around], o.least_around_share, o.around_bins, o)
    own = _hues(cells[mask], o.least_own_share, o.own_bins, o)
    strange = inside & ~ndimage.binary_dilation(mask, iterations=o.outline_px) & ~others
    strange &= own[cells[..., 0], cells[..., 1]] & ~seen[cells[..., 0], cells[..., 1]]
    parts, count = ndimage.label(ndimage.binary_opening(strange, iterations=2))
    beside = ndimage.binary_dilation(mask, iterations=o.touching_px)
    sizes = ndimage.sum_labels(strange, parts, np.arange(count + 1))
    sizes[0] = 0
    sizes[~np.isin(np.arange(count + 1), parts[beside])] = 0
    return np.asarray(parts == int(np.argmax(sizes))) if sizes.max() > 0 else np.zeros_like(mask)


def _hues(cells: NDArray[np.int_], least: float, reach: int, o: MissingOptions) -> NDArray[np.bool_]:
    """Which cells of chroma hold so much of those pixels (n, 2), and those beside them."""
    counts = np.zeros((round(256 / o.bin_lab) + 1,) * 2)
    np.add.at(counts, (cells[:, 0], cells[:, 1]), 1)
    return np.asarray(ndimage.binary_dilation(counts >= max(least * len(cells), 1), iterations=reach))
