"""Boxes round what is to be meshed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class BoundsOptions:
    """How boxes are found."""

    percentiles: tuple[float, float] = (1.0, 99.0)
    """Of the points' coordinates: what lies beyond is strays."""
    cells: int = 64
    """Voxels along each side of the box that the visual hull is looked for in."""
    min_cells: int = 8
    """Of the visual hull: fewer say nothing."""


def bounds_of(
    points: F64, *, grow: float = 0.1, floor: bool = True, options: BoundsOptions = BoundsOptions()
) -> F64:  # fmt: skip
    """Box [m] (2, 3) round points (n, 3) without their outermost per cent, on the plane if there is a `floor`; `grow`:
    by this share of its longest side on all sides."""
    low, high = np.percentile(points, options.percentiles, axis=0)
    margin = grow * float((high - low).max())
    low, high = low - margin, high + margin
    if floor:
        low[2] = 0.0
    return np.stack([low, high])


def visual_hull_bounds(
    masks: Mapping[str, Mask], cameras: Mapping[str, Camera], around: F64, *, options: BoundsOptions = BoundsOptions()
) -> F64:
    """Box [m] (2, 3) of the visual hull: voxels of `around` (2, 3) that fall into every mask, by view, that sees
    them."""
    axes = [np.linspace(a, b, options.cells) for a, b in zip(*around)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    keep = np.ones(len(grid), bool)
    for name in cameras.keys() & masks.keys():
        cells, _, inside = cameras[name].pixels(grid)
        keep[inside] &= masks[name][cells[inside, 1], cells[inside, 0]]
    if keep.sum() < options.min_cells:
        return around
    size = (around[1] - around[0]) / (options.cells - 1)
    return np.stack([grid[keep].min(0) - size, grid[keep].max(0) + size])
