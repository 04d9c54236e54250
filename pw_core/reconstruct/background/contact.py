"""The shade at a thing's foot where no lamp is told: the table darkens towards the thing, the more the nearer.

It is looked for on each side by itself, as flour or a dark board may hide it on others. What does not darken steadily
up to the foot is the table's own and stays on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity


@dataclass(frozen=True, kw_only=True)
class ContactOptions:
    """Where a table's darkening is a thing's; sizes are shares of its largest horizontal one."""

    sides: int = 24
    """Round the thing."""
    bins: int = 14
    """Of distance from the foot."""
    reach: float = 0.35
    """The furthest of them."""
    least_pixels: int = 5
    """Fewer tell nothing of a bin."""
    least_bins: int = 4
    """Fewer tell nothing of a side."""
    least_dark: float = 0.1
    """By how much less bright the table is at the foot than where it is no longer in its shade."""
    steady: float = 0.03
    """By how much a bin may be darker than the one before it: grain."""
    lit: float = 0.97
    """Share of the brightness around that is no longer shade."""
    foot_height: float = 0.15
    """Share of the thing's height below which it is its foot."""


def contact_shade(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], *,
    options: ContactOptions = ContactOptions(),
) -> Mask:  # fmt: skip
    """Pixels (H, W) of the table in the contact shade of one of the entities that stand on it.

    hidden (H, W): what things cover; table (H, W): pixels of the table; rest: particles [m] (J, 3).
    """
    out = np.zeros(table.shape, bool)
    depth = np.where(table, table_depth(camera), 1.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)[..., :2]
    for e in entities:
        own = rest[e.particles].astype(np.float64)
        size = float(np.ptp(own[:, :2], axis=0).max())
        foot = own[own[:, 2] < options.foot_height * own[:, 2].max()][:, :2]
        if own[:, 2].min() < options.foot_height * size and len(foot):
            out |= _of(photo, table & ~hidden, points, foot, size, options)
    return out


def _of(photo: Rgb, free: Mask, points: F64, foot: F64, size: float, o: ContactOptions) -> Mask:
    """Of a thing whose foot's particles are at [m] (n, 2)."""
    from scipy.spatial import cKDTree

    near = free & (np.abs(points - foot.mean(0)).max(-1) < (1 + o.reach) * size)
    if not near.any():
        return np.zeros(free.shape, bool)
    grey = photo[near].mean(-1)
    away = cKDTree(foot).query(points[near], distance_upper_bound=o.reach * size)[0] / (o.reach * size) * o.bins
    x, y = (points[near] - (foot.min(0) + foot.max(0)) / 2).T
    side = ((np.arctan2(y, x) / (2 * np.pi) % 1.0) * o.sides).astype(int) % o.sides
    end = np.array([_end(_profile(grey[side == s], away[side == s], o), o) for s in range(o.sides)])
    # One side by itself is the table's pattern.
    end[(np.roll(end, 1) == 0) & (np.roll(end, -1) == 0)] = 0
    out = np.zeros(free.shape, bool)
    out[near] = away < end[side]
    return out


def _profile(grey: F64, away: F64, o: ContactOptions) -> F64:
    """Median brightness (bins,) by distance; nan where too little is seen."""
    found = np.full(o.bins, np.nan)
    for b in range(o.bins):
        here = grey[(away >= b) & (away < b + 1)]
        if len(here) >= o.least_pixels:
            found[b] = np.median(here)
    return found


def _end(profile: F64, o: ContactOptions) -> float:
    """Bins up to which a side is in shade; 0: it is not."""
    seen = np.flatnonzero(np.isfinite(profile))
    if len(seen) < o.least_bins:
        return 0.0
    values = profile[seen]
    level = float(values.max())
    lit = int(np.argmax(values >= o.lit * level))
    if lit == 0 or values[0] > (1 - o.least_dark) * level:
        return 0.0
    if (np.diff(values[: lit + 1]) < -o.steady * level).any():
        return 0.0
    return float(seen[lit])
