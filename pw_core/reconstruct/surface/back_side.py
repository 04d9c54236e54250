"""What no view sees of an entity that is seen from one side only: as thick as its silhouette is wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.surface.thickness import ThicknessOptions, back_depth
from pw_core.reconstruct.surface.tsdf import DepthView
from pw_core.reconstruct.types import Mask
from pw_core.render.cameras import orbit


@dataclass(frozen=True, kw_only=True)
class BackSideOptions:
    """How an entity's unseen side is guessed."""

    max_arc_deg: float = 110.0
    """Views that lie within this angle about the entity leave its far side to their outlines, which a cone of sight
    draws out to nearly twice its depth."""
    min_known_share: float = 0.5
    """Of the silhouette: where less has a depth, that view knows too little."""
    outline_px: int = 3
    """Width of the outline in which a front lies no deeper than the middle of the thing."""
    median_px: int = 5
    """Width of the window of the median that a common front is smoothed by."""
    point_reach: float = 0.1
    """How far a point says how deep its surroundings lie, in the square root of the silhouette's area."""
    point_prior: float = 0.1
    """Of what a single point weighs at its own place: how firmly the front stays where no point speaks."""
    max_stray_ratio: float = 5.0
    """Points further off than so many times the median are of something else."""
    gap_px: int = 2
    """Gaps up to twice as wide between a back's points are filled."""
    outline_gap_px: int = 3
    """The same of its outline."""
    plane_rounds: int = 20
    """In which the plane of the thing's middle is fitted."""
    min_plane_error_m: float = 1e-4
    """Errors smaller than this count in full there."""
    thickness: ThicknessOptions = ThicknessOptions()


def seen_from_one_side(
    cameras: Sequence[Camera], centre: F64, *, options: BackSideOptions = BackSideOptions()
) -> bool:
    """Whether all cameras lie within `max_arc_deg` about the vertical axis through `centre` [m] (3,)."""
    towards = np.array([c.centre[:2] - centre[:2] for c in cameras])
    angles = np.sort(np.degrees(np.arctan2(towards[:, 1], towards[:, 0])))
    widest_gap = float(np.max(np.diff([*angles, angles[0] + 360])))
    return 360 - widest_gap < options.max_arc_deg


def nearby(depth: F32, mask: Mask, camera: Camera) -> F32:
    """The depth [m] (H, W) of one view without what is farther from its median than the silhouette is long: beside a
    thing, a fit lets what lies far behind shine through, and no view from another side contradicts."""
    known = depth > 0
    if not known.any():
        return depth
    middle = float(np.median(depth[known]))
    longest = max(np.ptp(np.flatnonzero(mask.any(k))) + 1 for k in (0, 1)) * middle / camera.K[0, 0]
    return np.asarray(np.where(np.abs(depth - middle) < longest, depth, 0), np.float32)


def front_and_back(
    camera: Camera, depth: F32, mask: Mask, *, depth_ratio: float, options: BackSideOptions = BackSideOptions()
) -> tuple[F64, F64] | None:
    """Front and guessed back [m] (H, W), nan outside the mask, of a thing, from the depth [m] (H, W), 0 where unknown,
    of one view; None where that view knows too little."""
    known = mask & (depth > 0)
    if known.sum() < options.min_known_share * mask.sum() or not known.any():
        return None
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    front = np.where(mask, depth[tuple(nearest)], np.nan).astype(np.float64)
    opposite = back_depth(front, mask, camera, depth_ratio=depth_ratio, options=options.thickness)
    half = (opposite - front) / 2
    # A fitted front is a fog here and there, and what shines through beside it lies far behind: where the middle of the
    # thing is, all pixels say together. No pixel's alone makes the guess.
    middle = _plane(front + half, known, options)
    # Along the outline front and back meet; what shines through there would draw it out.
    outline = mask & ~ndimage.binary_erosion(mask, iterations=options.outline_px)
    front = np.where(outline, np.minimum(front, middle), front)
    return front, np.minimum(np.maximum(middle, front) + half, table_depth(camera))


def common_front(
    views: Sequence[DepthView], camera: Camera, mask: Mask, points: F64, *, options: BackSideOptions = BackSideOptions()
) -> F32:
    """The depth [m] (H, W), 0 where unknown, at which most of the views have a thing that `camera` sees inside `mask`,
    drawn to the points (n, 3) known to be on it.

    A fit from one side only lets what lies behind shine through, and no other side contradicts; each view does so at
    other places. What is common to all of them still lies too far behind, for it is a fog: structure from motion's
    points do not.
    """
    at, depth = [], []
    for view in views:
        y, x = np.nonzero(view.depth > 0)
        seen = view.camera.unproject(np.stack([x, y], 1).astype(np.float64) + 0.5, view.depth[y, x].astype(np.float64))
        cells, z, inside = camera.pixels(seen)
        at.append(cells[inside])
        depth.append(z[inside])
    pixel, z = np.concatenate(at), np.concatenate(depth)
    index = pixel[:, 1] * camera.width + pixel[:, 0]
    order = np.lexsort((z, index))
    which, first, count = np.unique(index[order], return_index=True, return_counts=True)
    out = np.zeros(camera.width * camera.height)
    out[which] = z[order][first + count // 2]
    out = np.where(mask, out.reshape(mask.shape), 0)
    known = out > 0
    if not known.any():
        return out.astype(np.float32)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    smooth = ndimage.median_filter(out[tuple(nearest)], size=options.median_px)
    return np.where(mask, smooth + _towards(smooth, camera, mask, points, options), 0).astype(np.float32)


def _towards(depth: F64, camera: Camera, mask: Mask, points: F64, options: BackSideOptions) -> F64:
    """By how much [m] (H, W) a depth [m] (H, W) is to change to meet the points (n, 3), smoothly between them."""
    cells, z, inside = camera.pixels(points)
    inside[inside] &= mask[cells[inside, 1], cells[inside, 0]]
    wide = options.point_reach * float(np.sqrt(mask.sum()))
    gap, weight = np.zeros(mask.shape), np.zeros(mask.shape)
    x, y = cells[inside].T
    off = z[inside] - depth[y, x]
    if len(off) == 0:
        return gap
    # Points on something else, or on a highlight, are far from what most say.
    middle = np.median(off)
    fit = np.abs(off - middle) < options.max_stray_ratio * np.median(np.abs(off - middle)) + 1e-9
    np.add.at(gap, (y[fit], x[fit]), off[fit])
    np.add.at(weight, (y[fit], x[fit]), 1.0)
    gap, weight = (ndimage.gaussian_filter(a, wide) for a in (gap, weight))
    one = 1 / (2 * np.pi * wide**2)  # what a single point weighs at its own place
    return np.asarray(gap / (weight + options.point_prior * one))


def far_side(
    camera: Camera, depth: F32, mask: Mask, centre: F64, *, depth_ratio: float,
    options: BackSideOptions = BackSideOptions(),
) -> DepthView | None:  # fmt: skip
    """A view from the other side of a guessed back, from the depth [m] (H, W), 0 where unknown, of one view; None where
    that view knows too little."""
    found = front_and_back(camera, depth, mask, depth_ratio=depth_ratio, options=options)
    if found is None:
        return None
    front, back = found
    y, x = np.nonzero(mask)
    # At half the size, so that every pixel on the back is met by a point.
    small = camera.resized(camera.width // 2, camera.height // 2)
    other = small.moved(orbit(camera.viewmat, centre, [np.pi])[0], name="far side")

    def drawn(surface: F64) -> F64:
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        at, z, inside = other.pixels(camera.unproject(pixel, np.asarray(surface[y, x], np.float64)))
        seen = np.full((other.height, other.width), np.inf)
        np.minimum.at(seen, (at[inside, 1], at[inside, 0]), z[inside])
        return seen

    seen_back, seen_front = drawn(back), drawn(front)
    hit = np.isfinite(seen_back)
    nearest = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    filled = ndimage.binary_closing(hit, iterations=options.gap_px)
    either = ndimage.binary_closing(hit | np.isfinite(seen_front), iterations=options.outline_gap_px)
    far_depth = np.where(filled, seen_back[tuple(nearest)], 0).astype(np.float32)
    return DepthView(other, far_depth, np.asarray(ndimage.binary_fill_holes(either)), guessed=True)


def _plane(depth: F64, known: Mask, options: BackSideOptions) -> F64:
    """The depths [m] (H, W) of a plane through most of those `known` (Cauchy's loss, its knee at their median)."""
    y, x = np.nonzero(known)
    A = np.stack([np.ones(len(x)), x / known.shape[1] - 0.5, y / known.shape[1] - 0.5], 1)
    b = depth[y, x]
    c = np.array([np.median(b), 0.0, 0.0])
    for _ in range(options.plane_rounds):
        gap = np.abs(b - A @ c)
        weight = 1 / (1 + (gap / max(float(np.median(gap)), options.min_plane_error_m)) ** 2)
        c = np.linalg.solve((A * weight[:, None]).T @ A + 1e-9 * np.eye(3), (A * weight[:, None]).T @ b)
    rows, columns = np.mgrid[: known.shape[0], : known.shape[1]]
    return np.asarray(c[0] + c[1] * (columns / known.shape[1] - 0.5) + c[2] * (rows / known.shape[1] - 0.5))
