"""Standing things that are as good as round about a vertical axis: cups, bottles, pots, bowls.

The largest solid of revolution whose silhouette lies within the mask: at each height the widest circle about the axis
that the camera sees within it. The axis is at the column about which the mask is most symmetric, as far away as it can
be without the table cutting off what the lowest rows show. What sticks out of that silhouette, a handle, a spoon, is no
part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class RevolutionOptions:
    """How a solid of revolution is looked for in a mask."""

    heights: int = 96
    """At which circles are looked for."""
    radii: int = 96
    """That are tried at each."""
    coarse: int = 40
    """The same of both while the axis is looked for."""
    angles: int = 48
    """Points of a circle that must lie within the mask."""
    widest_ratio: float = 1.2
    """Of half the mask's widest row: no circle is wider."""
    most_height_share: float = 0.95
    """Of the camera's height, that circles are looked for at."""
    foot_slack_px: float = 1.5
    """By how much the solid may miss the mask's lowest row."""
    outline_slack_px: float = 0.5
    """By how much circles may stick out of the mask: masks are as exact as that."""
    search_ratio: float = 2.0
    """Of the nearest place: how far away the axis is looked for."""
    search_rounds: int = 14
    """In which that range is halved."""
    thin_ratio: float = 0.05
    """Of the square root of the mask's area: what is thinner than twice that sticks out of a round thing, as a handle
    does, and says nothing about whether it is round."""
    least_covered: float = 0.97
    """Share of the rest of the mask that the solid's silhouette must fill for the thing to count as round."""
    broad_foot_ratio: float = 0.85
    """Of the widest radius, from which the foot's is broad. What has a narrower one and is round at its top as well, as
    a ball is, touches the table where it cannot be seen: it would be put too far away and cut flat."""
    flat_top_ratio: float = 0.75
    """Of the widest radius, from which the one at nine tenths of the height is no round top."""
    neck_ratio: float = 0.85
    """Of that at nine tenths of the height, from which the radius near the top is a neck's: a ball's has half of it."""
    near_top: float = 0.97
    """Of the height, where that is looked at."""
    least_foot_ratio: float = 0.5
    """Of the widest radius: no foot is narrower."""
    depth_steps: int = 160
    """Along a line of sight, in which it is cut with the solid."""
    part_px: int = 2
    """Half of the width of what sticks out at the least; else the outline is uneven."""


@dataclass(frozen=True)
class Revolution:
    """Circles of `radii` [m] (n,), 0 where there is none, at `heights` [m] (n,) about the vertical at x and y [m]."""

    x: float
    y: float
    heights: F64
    radii: F64

    @property
    def volume_m3(self) -> float:
        """Of the solid between the heights."""
        return float(np.pi * np.trapezoid(self.radii**2, self.heights))


def find_revolution(
    mask: Mask, camera: Camera, *, options: RevolutionOptions = RevolutionOptions()
) -> Revolution | None:  # fmt: skip
    """The largest solid of revolution within a mask (H, W) of a thing that stands on z = 0; None where its lowest row
    shows no table."""
    rows = np.flatnonzero(mask.any(axis=1))
    column = symmetry_column(mask)
    ray = camera.rays(np.array([[column, rows[-1] + 1.0]]))[0]
    if ray[2] > -1e-6:
        return None
    near = float(-camera.centre[2] / ray[2] * ray[0])
    away = -np.asarray(ndimage.distance_transform_edt(~mask)) + options.outline_slack_px

    middle = camera.rays(np.array([[column, (rows[0] + rows[-1]) / 2]]))[0]

    def fit(x: float, *, fine: bool = False) -> Revolution:
        counts = (options.heights, options.radii) if fine else (options.coarse, options.coarse)
        return _within(mask, away, camera, x, float(middle[1] * x / middle[0]), counts, options)

    def lowest(r: Revolution) -> float:
        use = r.radii > 0
        if not use.any():
            return -np.inf
        return float(_circles(camera, r.x, r.y, r.heights[use], r.radii[use], options.angles)[..., 1].max())

    low, high = near, options.search_ratio * near
    for _ in range(options.search_rounds):
        x = (low + high) / 2
        low, high = (x, high) if lowest(fit(x)) >= rows[-1] + 1 - options.foot_slack_px else (low, x)
    return fit(low, fine=True)


def symmetry_column(mask: Mask) -> float:
    """The column [px] about which most of the mask mirrors onto itself."""
    columns = np.flatnonzero(mask.any(axis=0))
    part = mask[:, columns[0] : columns[-1] + 1].astype(np.float32)
    size = 2 * part.shape[1]
    f = np.fft.rfft(part, size, axis=1)
    overlap = np.fft.irfft((f * f).sum(0), size)  # of the mask and its mirror image about (shift + 1) / 2
    return float(columns[0] + (int(np.argmax(overlap)) + 1) / 2)


def _circles(camera: Camera, x: float, y: float, heights: F64, radii: F64, angles: int) -> F64:
    """Pixels (..., A, 2) of points on horizontal circles of radii [m] (...) at heights [m] (...)."""
    t = np.arange(angles) * 2 * np.pi / angles
    shape = (*np.broadcast_shapes(heights.shape, radii.shape), angles)
    points = np.stack([
        np.broadcast_to(x + radii[..., None] * np.cos(t), shape),
        np.broadcast_to(y + radii[..., None] * np.sin(t), shape), np.broadcast_to(heights[..., None], shape),
    ], -1)  # fmt: skip
    return np.asarray(camera.project(points)[0])


def _within(
    mask: Mask, away: F64, camera: Camera, x: float, y: float, counts: tuple[int, int], o: RevolutionOptions
) -> Revolution:  # fmt: skip
    """The widest circles about the vertical at x, y [m] that stay within the mask; away (H, W): how far inside of it
    each pixel is, 0 at what still counts as inside. counts: of heights and radii that are tried."""
    height, width = mask.shape
    top = camera.rays(np.array([[width / 2, float(np.argmax(mask.any(axis=1)))]]))[0]
    most = o.most_height_share * camera.centre[2]
    # Nothing is higher than where the highest line of sight passes the far side of the widest circle that could be.
    widest = o.widest_ratio * mask.sum(axis=1).max() / 2 * x / camera.K[0, 0]
    z_top = camera.centre[2] + top[2] / top[0] * (x + widest if top[2] > 0 else x - widest)
    heights = np.linspace(0, max(z_top, 1e-4), counts[0])
    heights = heights[heights < most] if top[2] < 0 else heights
    radii = np.linspace(0, widest, counts[1] + 1)[1:]
    uv = _circles(camera, x, y, heights[:, None], radii[None, :], o.angles) - 0.5
    at = np.round(uv).astype(int)
    inside = (at[..., 0] >= 0) & (at[..., 0] < width) & (at[..., 1] >= 0) & (at[..., 1] < height)
    inside &= away[at[..., 1].clip(0, height - 1), at[..., 0].clip(0, width - 1)] >= 0
    fits = inside.all(axis=2)
    largest = np.where(fits.any(axis=1), radii[fits.shape[1] - 1 - np.argmax(fits[:, ::-1], axis=1)], 0.0)
    return Revolution(x, y, heights, largest)


def cut(
    r: Revolution, mask: Mask, camera: Camera, *, options: RevolutionOptions = RevolutionOptions()
) -> tuple[F64, F64]:
    """Depths [m] (H, W) at which lines of sight through the mask enter and leave the solid; nan where they miss it."""
    front, back = np.full(mask.shape, np.nan), np.full(mask.shape, np.nan)
    v, u = np.nonzero(mask)
    rays = camera.rays(np.stack([u, v], 1).astype(np.float64) + 0.5)
    widest = float(r.radii.max())
    # Between the planes that touch the widest circle before and behind.
    low, high = ((r.x + s * widest) / rays[:, 0] for s in (-1.02, 1.02))
    first, last = np.full(len(u), np.nan), np.full(len(u), np.nan)
    before = np.full(len(u), -1.0)
    t_before = low
    ways = np.ascontiguousarray(rays.T)
    for k in range(options.depth_steps + 1):
        t = low + (high - low) * k / options.depth_steps
        x, y, z = (c + way * t for c, way in zip(camera.centre, ways))
        gap = np.interp(z, r.heights, r.radii, left=-1.0, right=-1.0) - np.hypot(x - r.x, y - r.y)
        share = np.clip(before / np.where(before == gap, 1, before - gap), 0, 1)
        crossing = t_before + share * (t - t_before)
        first = np.where(np.isnan(first) & (gap > 0), crossing, first)
        last = np.where((before > 0) & (gap <= 0), crossing, last)
        before, t_before = gap, t
    front[v, u], back[v, u] = first, np.where(np.isnan(last) & ~np.isnan(first), t_before, last)
    return front, back


def round_solid(
    mask: Mask, camera: Camera, rays: F64, *, options: RevolutionOptions = RevolutionOptions()
) -> tuple[F64, F64, float] | None:
    """Front and back depth [m] (H, W), nan outside the mask, of a thing that is round but for thin parts, and its
    axis' x [m]; None for one that is not round, has no broad foot, or whose lowest row shows no table. rays (H, W, 3):
    those of the pixels.

    Thin parts that stick out are as deep as they are wide, in the plane through the axis that faces the camera.
    """
    found = find_revolution(mask, camera, options=options)
    if found is None or not _has_foot(found, options):
        return None
    front, back = cut(found, mask, camera, options=options)
    hit = np.isfinite(front)
    thin = max(options.part_px, round(options.thin_ratio * float(np.sqrt(mask.sum()))))
    bulk = opened(mask, thin)
    missed, near = ndimage.distance_transform_edt(~hit, return_indices=True)
    if not bulk.any() or (missed[bulk] <= options.part_px).mean() < options.least_covered:
        return None
    part = opened(np.asarray(mask & ~hit), options.part_px)
    front, back = (np.where(part, found.x / rays[..., 0], d[tuple(near)]) for d in (front, back))
    inner = np.asarray(ndimage.distance_transform_edt(part)) - 0.5  # to the outline, not to the next pixel's middle
    widest = ndimage.maximum_filter(inner, 2 * thin + 1)
    half = np.sqrt(np.clip(inner * (2 * widest - inner), 0, None)) * found.x / camera.K[0, 0]
    front, back = np.where(part, front - half, front), np.where(part, back + half, back)
    return np.where(mask, front, np.nan), np.where(mask, back, np.nan), found.x


def _has_foot(r: Revolution, o: RevolutionOptions) -> bool:
    widest = float(r.radii.max())
    if not r.radii[0] > o.least_foot_ratio * widest:
        return False
    height = float(r.heights[r.radii > 0].max())
    shoulder, top = np.interp([0.9 * height, o.near_top * height], r.heights, r.radii)
    round_above = shoulder < o.flat_top_ratio * widest and top < o.neck_ratio * shoulder
    return bool(r.radii[0] > o.broad_foot_ratio * widest or not round_above)


def opened(mask: Mask, radius: int) -> Mask:
    """Without what is thinner than twice the radius [px]."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0)
