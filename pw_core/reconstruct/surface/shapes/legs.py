"""Round things on legs: stools, tripods, small tables. The top is a solid of revolution that hangs in the air; each
leg's foot is as far away as where it meets the table, and the axis is as far from all feet.

Where legs lead to under the top is hidden by it. All are taken to lean alike: each ends at the top's underside, at the
same share of its foot's distance from the axis, which is the share that puts them where they are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.shapes.revolution import Revolution, RevolutionOptions, cut, opened, symmetry_column
from pw_core.reconstruct.surface.shapes.silhouette import Silhouette
from pw_core.reconstruct.surface.thickness import row_runs
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class LegOptions:
    """What counts as legs, and how they are put."""

    wide_ratio: float = 0.35
    """Of the mask's longest row: below the last row that has so long a piece, there are legs alone."""
    long_ratio: float = 0.2
    """Of the mask's height, from which what is seen of a leg tells its direction."""
    least_rows: float = 0.5
    """Of a leg's width, that is seen of it at the least before it meets another."""
    least_width: float = 0.5
    """Of the widest leg, for something to be one."""
    most_low_ratio: float = 0.4
    """Of the mask's height: feet are no higher above the lowest than this."""
    least_legs: int = 2
    """That are seen. Of one the axis is not known."""
    least_iou: float = 0.95
    """Of the top with a disc's silhouette, for it to count as one."""
    thickness: float = 0.3
    """Of a disc's radius, that its thickness is looked for from."""
    angles: int = 48
    """Points of its rims."""
    evaluations: int = 250
    """Of silhouettes."""
    most_width: float = 1.5
    """Of a leg's median width: where it is wider it touches something."""
    foot_rows: float = 1.0
    """Of a leg's width: so near to its end it is rounded, and says nothing of where its middle is."""
    search_ratio: float = 0.5
    """Of the top's width: so far beyond the furthest foot the axis may be."""
    places: int = 401
    """That are tried for it."""
    rim_weight: float = 0.1
    """Of how far feet are from under the top's rim, beside how unlike their distances from the axis are."""
    shares: int = 81
    """From `share_range`, that are tried for where legs end."""
    share_range: tuple[float, float] = (-0.5, 1.5)
    """Of a foot's distance from the axis."""
    revolution: RevolutionOptions = RevolutionOptions()
    """The top."""


@dataclass(frozen=True)
class Leg:
    """A leg's rows [px] from its foot up, its middle's columns there and its width [px]; its foot's middle [m] (3,);
    whether its rows tell its direction."""

    rows: F64
    columns: F64
    width: float
    foot: F64
    long: bool


def legged_solid(
    mask: Mask, camera: Camera, *, options: LegOptions = LegOptions()
) -> tuple[F64, F64, float] | None:  # fmt: skip
    """Front and back depth [m] (H, W), nan outside the mask, of a round thing on legs, and its axis' x [m]; None for
    one that is none."""
    longest = 2 * np.sqrt(row_runs(mask).max(axis=1))
    top = mask.copy()
    top[np.flatnonzero(longest > options.wide_ratio * longest.max())[-1] + 1 :] = False
    legs = find_legs(mask, top, camera, options=options)
    if len(legs) < options.least_legs or not any(leg.long for leg in legs):
        return None
    x, y = _axis(legs, top, camera, options)
    found = _slab(top, x, y, camera, options)
    if found is None:
        return None
    front, back = cut(found, mask, camera, options=options.revolution)
    top = np.asarray(ndimage.distance_transform_edt(~np.isfinite(front)) <= options.revolution.part_px)
    nearest = ndimage.distance_transform_edt(~np.isfinite(front), return_distances=False, return_indices=True)
    front, back = (np.where(mask, d[tuple(nearest)], np.nan) for d in (front, back))
    share = _share(legs, found, camera, options)
    put = top.copy()
    for leg in legs:
        put |= _put(leg, _end(leg, found, share), mask, top, front, back, camera)
    nearest = ndimage.distance_transform_edt(~(put & mask), return_distances=False, return_indices=True)
    front, back = (np.where(mask, d[tuple(nearest)], np.nan) for d in (front, back))
    return front, back, x


def find_legs(mask: Mask, top: Mask, camera: Camera, *, options: LegOptions = LegOptions()) -> list[Leg]:
    """Parts of a mask (H, W) below its `top` (H, W) that end on the table, the nearest last."""
    rows = np.flatnonzero(mask.any(axis=1))
    lowest = rows[-1] - options.most_low_ratio * len(rows)
    strands = [s for s in _strands(opened(mask & ~top, options.revolution.part_px)) if s[0, 0] >= lowest]
    widest = max((float(np.median(s[:, 2])) for s in strands), default=0.0)
    legs = []
    for s in strands:
        width = float(np.median(s[:, 2]))
        ray = camera.rays(np.array([[s[0, 1], s[0, 0] + 1.0]]))[0]
        if width < options.least_width * widest or len(s) < options.least_rows * width or ray[2] > -1e-6:
            continue
        plain = s[(s[:, 0] < s[0, 0] - options.foot_rows * width) & (s[:, 2] < options.most_width * width)]
        long = len(plain) >= options.long_ratio * len(rows)
        columns: F64 = s[:, 1]
        if long:
            columns = np.asarray(np.polyval(np.polyfit(plain[:, 0], plain[:, 1], 1), s[:, 0]), np.float64)
        depth = -camera.centre[2] / ray[2]
        foot = camera.centre + camera.rays(np.array([[columns[0], s[0, 0] + 1.0]]))[0] * depth
        foot[0] += width / 2 * depth / camera.K[0, 0]  # its middle, behind its near edge
        legs.append(Leg(s[:, 0], columns, width, foot, long))
    return sorted(legs, key=lambda leg: -float(leg.foot[0]))


def _strands(thin: Mask) -> list[F64]:
    """Rows, middles and widths (n, 3) [px] of what is thin (H, W), each followed from its lowest row up until it meets
    another or ends."""
    growing: list[list[tuple[float, float, float]]] = []
    done: list[list[tuple[float, float, float]]] = []
    met: list[list[tuple[float, float, float]]] = []  # what goes on where some met is none of them
    for v in np.flatnonzero(thin.any(axis=1))[::-1]:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], thin[v].astype(int), [0]])))
        still = []
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist()):
            below = [s for s in growing if s[-1][0] == v + 1 and a - 1 <= s[-1][1] <= b + 1]
            strand = below[0] if len(below) == 1 else []
            strand.append((float(v), (a + b) / 2, float(b - a)))
            still.append(strand)
            if len(below) > 1:
                met.append(strand)
        done += [s for s in growing if not any(s is t for t in still)]
        growing = still
    return [np.array(s) for s in (*done, *growing) if not any(s is m for m in met)]


def _axis(legs: list[Leg], top: Mask, camera: Camera, o: LegOptions) -> tuple[float, float]:
    """x and y [m] in the plane of the top's symmetry, as far from all feet; where that leaves a choice, so far that the
    feet are about under the top's rim."""
    rows, columns = (np.flatnonzero(top.any(axis=a)) for a in (1, 0))
    ray = camera.rays(np.array([[symmetry_column(top), rows.mean()]]))[0]
    feet = np.array([leg.foot[:2] for leg in legs])
    reach = o.search_ratio * len(columns) * feet[:, 0].min() / camera.K[0, 0]
    tried = np.linspace(feet[:, 0].min(), feet[:, 0].max() + reach, o.places)
    apart = np.hypot(feet[:, 0] - tried[:, None], feet[:, 1] - (ray[1] / ray[0] * tried)[:, None])
    rim = len(columns) / 2 * tried / camera.K[0, 0]
    x = float(tried[np.argmin(apart.std(axis=1) + o.rim_weight * np.abs(apart.mean(axis=1) - rim))])
    return x, float(ray[1] / ray[0] * x)


def _slab(top: Mask, x: float, y: float, camera: Camera, o: LegOptions) -> Revolution | None:
    """The disc about the vertical at x, y [m] whose silhouette is nearest to the top's; None if that is not near."""
    seen = Silhouette.of(top, camera)
    if seen is None:
        return None
    rows, columns = (np.flatnonzero(top.any(axis=a)) for a in (1, 0))
    radius = len(columns) / 2 * x / camera.K[0, 0]
    ray = camera.rays(np.array([[columns.mean() + 0.5, rows.mean() + 0.5]]))[0]
    middle = float(camera.centre[2] + ray[2] / ray[0] * x)
    t = np.linspace(0, 2 * np.pi, o.angles, endpoint=False)
    ring = np.stack([np.cos(t), np.sin(t)], 1)

    def iou(p: F64) -> float:
        around = np.array([x, y]) + p[0] * ring
        ends = (p[1] - abs(p[2]) / 2, p[1] + abs(p[2]) / 2)
        return seen.iou(np.concatenate([np.insert(around, 2, z, axis=1) for z in ends]))

    start = np.array([radius, middle, o.thickness * radius])
    found, cost = seen.best(lambda p: 1 - iou(p), start, np.array([0.1, 0.1, 0.1]) * radius, o.evaluations)
    if 1 - cost < o.least_iou:
        return None
    low, high = found[1] - abs(found[2]) / 2, found[1] + abs(found[2]) / 2
    heights = np.array([low - 1e-6, low, high, high + 1e-6])
    return Revolution(x, y, heights, np.array([0.0, found[0], found[0], 0.0]))


def _end(leg: Leg, top: Revolution, share: float) -> F64:
    """Where (3,) [m] a leg meets the top's underside."""
    axis = np.array([top.x, top.y])
    return np.append(axis + share * (leg.foot[:2] - axis), top.heights[0])


def _share(legs: list[Leg], top: Revolution, camera: Camera, o: LegOptions) -> float:
    """Of their feet's distances from the axis, the share at which legs end that puts them where they are seen."""

    def off(share: float) -> float:
        total = 0.0
        for leg in (leg for leg in legs if leg.long):
            uv, _ = _line(leg, _end(leg, top, share), camera)
            total += float(((np.interp(leg.rows, uv[::-1, 1], uv[::-1, 0]) - leg.columns) ** 2).sum())
        return total

    tried = np.linspace(*o.share_range, o.shares)
    return float(tried[np.argmin([off(float(s)) for s in tried])])


def _line(leg: Leg, end: F64, camera: Camera) -> tuple[F64, F64]:
    """Pixels (n, 2) and depths [m] (n,) along a leg, from its foot up."""
    t = np.linspace(0, 1, 64)[:, None]
    uv, depth = camera.project(leg.foot + t * (end - leg.foot))
    return np.asarray(uv), np.asarray(depth)


def _put(leg: Leg, end: F64, mask: Mask, top: Mask, front: F64, back: F64, camera: Camera) -> Mask:
    """A round leg into front and back [m] (H, W), and on to where it meets the top: the solid hangs together. Returns
    where (H, W) it is."""
    uv, depth = _line(leg, end, camera)
    v = np.arange(mask.shape[0])[:, None] + 0.5
    along = (v > uv[-1, 1]) & (v < leg.rows[0] + 1.5)
    middle = np.interp(v[:, 0], np.sort(uv[:, 1]), uv[np.argsort(uv[:, 1]), 0])[:, None]
    middle = np.where(v >= leg.rows[-1], np.interp(v[:, 0], leg.rows[::-1] + 0.5, leg.columns[::-1])[:, None], middle)
    away = np.interp(v[:, 0], np.sort(uv[:, 1]), depth[np.argsort(uv[:, 1])])[:, None]
    beside = np.abs(np.arange(mask.shape[1])[None] + 0.5 - middle)
    use = mask & along & (beside <= leg.width / 2 + 1)
    half = np.sqrt(np.maximum((leg.width / 2) ** 2 - beside**2, 0.25)) * away / camera.K[0, 0]
    alone = use & ~top
    front[alone], back[alone] = (away - half)[alone], (away + half)[alone]
    hidden = use & top
    front[hidden] = np.minimum(front, away - half)[hidden]
    back[hidden] = np.maximum(back, away + half)[hidden]
    return np.asarray(use)
