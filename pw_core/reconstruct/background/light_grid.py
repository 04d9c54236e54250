"""What one photo shows of a plane on the light's cells, and the robust fit of lamp and room to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.background.table import TableOptions, odd_cells, touching
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """The cells and the fit; sizes are shares of the things' own, levels 0 to 255."""

    reach: float = 1.6
    """How far round the things a plane is looked at."""
    foot_share: float = 0.35
    """Of the things' height: particles below are the foot."""
    known_share: float = 0.6
    """Of a cell's pixels that must show the plane."""
    flatness: float = 0.2
    """Of the table's cells, as the camera sees them: height over width."""
    most_share: float = 0.92
    """Of the brightness that lamp and room give together at the most."""
    outlier_levels: float = 6.0
    """Residuals beyond which a cell counts less (Cauchy)."""
    nearness: float = 0.9
    """Cells so far from the things [sizes] count e times less."""
    bend_cost: float = 0.3
    """Of the quadratic's second order, against as many cells: shadows are not to be taken for it."""
    rounds: int = 4
    """Of iteratively reweighted least squares."""


@dataclass(frozen=True)
class PlaneSeen:
    """A plane on the light's cells, the first of which is given: colours (R, C, 3), which are known, points [m]
    (R, C, 3), and how far each cell is from the things [sizes]."""

    first: F64
    colors: F32
    known: Mask
    points: F64
    away: F32

    @cached_property
    def quadratic(self) -> F32:
        """1, and place to first and second order (R, C, 6)."""
        rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in self.known.shape)
        v, u = np.meshgrid(rows, columns, indexing="ij")
        return np.stack([np.ones_like(v), v, u, v * v, u * u, v * u], -1)

    @cached_property
    def fitted(self) -> tuple[F64, F64]:
        """The quadratic (n, 6) and the colours (n, 3) of the cells that are known: a search fits hundreds of lamps."""
        return self.quadratic[self.known].astype(np.float64), self.colors[self.known].astype(np.float64)


@dataclass(frozen=True)
class PlaneFit:
    """Shares (3,) of lamp and room, the plane's brightness (R, C, 3) without the things, what is left unexplained, of
    how many cells, by their nearness, and by how many levels the half of them differs at the most."""

    key: F64
    ambient: F64
    base: F32
    cost: float
    cells: float
    typical: float


def foot_of(rest: F32, o: GridOptions) -> F32:
    """x and y [m] (n, 2) of the lower particles."""
    return rest[rest[:, 2] < o.foot_share * rest[:, 2].max() + 1e-6][:, :2] if len(rest) else rest[:, :2]


def foot_grid(
    rest: F32, size: float, step: float, *, options: GridOptions = GridOptions()
) -> tuple[F64, tuple[int, int]]:
    """The first cell, and rows and columns, of a grid round the things' feet."""
    foot = foot_of(rest, options)
    low = np.floor((foot.min(0) - options.reach * size) / step)
    rows, columns = (np.ceil((foot.max(0) + options.reach * size) / step) - low).astype(int) + 1
    return low, (int(rows), int(columns))


def table_seen(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, size: float, step: float, *,
    options: GridOptions = GridOptions(), table_options: TableOptions = TableOptions(),
) -> PlaneSeen:  # fmt: skip
    """The table round the things' feet."""
    low, (rows, columns) = foot_grid(rest, size, step, options=options)
    i, j = np.mgrid[0:rows, 0:columns]
    points = np.concatenate([(np.stack([i, j], -1) + low) * step, np.zeros((rows, columns, 1))], -1)
    return _seen(photo, hidden, table, camera, low, points, foot_of(rest, options) / step, size, step,
                 options.flatness, options, table_options)  # fmt: skip


def wall_seen(
    photo: Rgb, hidden: Mask, wall: Mask, wall_m: float, camera: Camera, rest: F32, size: float, step: float, *,
    options: GridOptions = GridOptions(), table_options: TableOptions = TableOptions(),
) -> PlaneSeen:  # fmt: skip
    """The wall at x = wall_m behind the things: rows go up (z), columns to the left (y)."""
    at = rest[:, [2, 1]]
    low = np.floor((at.min(0) - options.reach * size) / step)
    low[0] = 0  # the table hides what is below
    rows, columns = (np.ceil((at.max(0) + options.reach * size) / step) - low).astype(int) + 1
    i, j = np.mgrid[0:rows, 0:columns]
    up, left = (i + low[0]) * step, (j + low[1]) * step
    points = np.stack([np.full(up.shape, wall_m), left, up], -1)
    return _seen(photo, hidden, wall, camera, low, points, at / step, size, step, 1.0, options, table_options)


def _seen(
    photo: Rgb, hidden: Mask, plane: Mask, camera: Camera, low: F64, points: F64, things: F32, size: float, step: float,
    flatness: float, o: GridOptions, table_options: TableOptions,
) -> PlaneSeen:  # fmt: skip
    """At points [m] (R, C, 3); things (n, 2): their cells, from the world's origin."""
    import cv2

    rows, columns = points.shape[:2]
    uv, depth = camera.project(points)
    inside = camera.contains(uv, depth)
    # A cell is wider than a pixel and flatter: pixels of the plane alone are averaged over its width.
    pixel_m = float(np.median(depth[inside])) / camera.K[0, 0] if inside.any() else step
    wide = max(0.5 * step / pixel_m, 1e-3)
    free = (plane & ~hidden).astype(np.float32)
    share, sums = (
        cv2.GaussianBlur(a, (0, 0), sigmaX=wide, sigmaY=max(flatness * wide, 1e-3))
        for a in (free, photo * free[..., None])
    )
    picture = sums / np.maximum(share, 1e-3)[..., None]
    at = np.where(inside[..., None], uv - 0.5, -10).astype(np.float32)
    colors = np.asarray(
        cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    known = inside & (cv2.remap(free, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0) > o.known_share)
    covered = inside & (cv2.remap(hidden.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR) > 0)
    odd = odd_cells(colors, known, table_options)
    known &= ~(odd & ~touching(odd, covered))
    near = np.zeros((rows, columns), bool)
    cells = np.floor(things - low + 0.5).astype(int)
    near[cells[:, 0].clip(0, rows - 1), cells[:, 1].clip(0, columns - 1)] = True
    away = np.asarray(ndimage.distance_transform_edt(~near) * step / size, np.float32)
    return PlaneSeen(low, colors, known, points, away)


def fit_plane(seen: PlaneSeen, lamp: F32, room: F32, *, lit: bool, options: GridOptions = GridOptions()) -> PlaneFit:
    """Lamp and room, of which things keep shares (R, C) off, and the plane's own brightness: a quadratic in place.
    Unless `lit` there is neither."""
    o, known = options, seen.known
    quadratic, y = seen.fitted
    x = np.column_stack([quadratic, -lamp[known], -room[known]])
    nearness = np.exp(-seen.away[known] / o.nearness)
    ridge = np.diag([0, 0, 0, *3 * [o.bend_cost * nearness.sum() / 50], 1e-6, 1e-6])
    weight, use = nearness, np.arange(8) < (8 if lit else 6)
    for _ in range(o.rounds):
        used = x if use.all() else x[:, use]
        weighed = used * weight[:, None]
        solved = np.linalg.solve(weighed.T @ used + ridge[np.ix_(use, use)], weighed.T @ y)
        found = np.zeros((8, 3))
        found[use] = solved
        bad = found[6:].mean(1) < 0
        if lit and bad.any():  # no lamp takes light away
            use[6:] &= ~bad
            found[6:][bad] = 0
        off = np.abs(y - x @ found)
        gap = (off[:, 0] + off[:, 1] + off[:, 2]) / 3  # NumPy's mean over a short axis takes several times as long
        weight = nearness / (1 + (gap / o.outlier_levels) ** 2)
    cost = float((nearness * np.log1p((gap / o.outlier_levels) ** 2)).sum() / nearness.sum())
    base = (seen.quadratic @ found[:6]).astype(np.float32)
    mean = np.maximum(base[seen.away == 0].mean(0), 1.0)
    key, ambient = (np.clip(found[i] / mean, 0, o.most_share) for i in (6, 7))
    shrink = np.minimum(1, o.most_share / np.maximum(key + ambient, 1e-6))
    return PlaneFit(key * shrink, ambient * shrink, np.maximum(base, 1), cost, float(nearness.sum()),
                    float(np.median(gap)))  # fmt: skip


def on_cells(seen: PlaneSeen, first: np.ndarray, values: F32) -> F32:
    """A map's values (R, C, 3), whose first cell is given, on the cells of `seen`; 0 beside it."""
    out = np.zeros((*seen.known.shape, 3), np.float32)
    shift = (first - seen.first).astype(int)
    to = [slice(max(s, 0), max(min(s + n, m), 0)) for s, n, m in zip(shift, values.shape, out.shape)]
    of = [slice(t.start - s, t.stop - s) for t, s in zip(to, shift)]
    if all(t.stop > t.start for t in to):
        out[tuple(to)] = values[tuple(of)]
    return out


def averaged(values: F32, where: Mask, sigma: float) -> F32:
    """Values (R, C, 3) blurred over the cells `where` (R, C) they are known."""
    import cv2

    weight = where.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    sums = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    out = sums / np.maximum(total, 1e-4)[..., None]
    return np.asarray(np.where((total > 1e-4)[..., None], out, 0), np.float32)


def spread(values: F32, known: Mask) -> F32:
    """Values (R, C, 3) with what is unknown filled smoothly from what is known, the further off the smoother."""
    out, have = values.copy(), known.copy()
    sigma = 1.5
    while not have.all() and have.any() and sigma < 4 * max(known.shape):
        near = ndimage.binary_dilation(have, iterations=max(1, int(1.5 * sigma))) & ~have
        out[near] = averaged(values, known, sigma)[near] if sigma < 3 else averaged(out, have, sigma)[near]
        have |= near
        sigma *= 1.6
    soft = np.stack([ndimage.gaussian_filter(out[..., i], 1.5) for i in range(3)], -1)
    return np.where(ndimage.binary_erosion(known, iterations=2)[..., None], out, soft)
