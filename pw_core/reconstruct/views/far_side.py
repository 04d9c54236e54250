"""What no view sees of an entity that is seen from one side only: as thick as its silhouette is wide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.masks import Mask
from pw_core.reconstruct.solid import table_depth
from pw_core.reconstruct.views.fuse import Look
from pw_core.reconstruct.views.rgbd import behind
from pw_core.render.cameras import orbit

WIDE_DEG = 110.0
"""Views that lie within this angle about the entity leave its far side to their outlines, which a cone of sight draws
out to nearly twice its depth."""


def seen_from_one_side(cameras: Sequence[Camera], centre: F64) -> bool:
    """Whether all cameras lie within `WIDE_DEG` of the vertical axis through `centre` [m] (3,)."""
    towards = np.array([c.centre[:2] - centre[:2] for c in cameras])
    angles = np.sort(np.degrees(np.arctan2(towards[:, 1], towards[:, 0])))
    widest_gap = float(np.max(np.diff([*angles, angles[0] + 360])))
    return 360 - widest_gap < WIDE_DEG


def nearby(depth: F32, mask: Mask, camera: Camera) -> F32:
    """The depth [m] (H, W) of one view without what is farther from its median than the silhouette is long: beside a
    thing, a fit lets what lies far behind shine through, and no view from another side contradicts."""
    known = depth > 0
    if not known.any():
        return depth
    middle = float(np.median(depth[known]))
    longest = max(np.ptp(np.flatnonzero(mask.any(k))) + 1 for k in (0, 1)) * middle / camera.K[0, 0]
    return np.asarray(np.where(np.abs(depth - middle) < longest, depth, 0), np.float32)


def far_side(camera: Camera, depth: F32, mask: Mask, centre: F64, *, depth_ratio: float) -> Look | None:
    """A look from the other side at a guessed back, from the depth [m] (H, W), 0 where unknown, of one view; None where
    that view knows too little."""
    known = mask & (depth > 0)
    if known.sum() < 0.5 * mask.sum() or not known.any():
        return None
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    front = np.where(mask, depth[tuple(nearest)], np.nan).astype(np.float64)
    half = (behind(front, mask, camera, depth_ratio=depth_ratio) - front) / 2
    # A fitted front is a fog here and there, and what shines through beside it lies far behind: where the middle of the
    # thing is, all pixels say together. The guess must not be told by each alone.
    middle = _plane(front + half, known)
    back = np.minimum(np.maximum(middle, front) + half, table_depth(camera))
    y, x = np.nonzero(mask)
    # At half the size, so that every pixel on the back is met by a point.
    small = camera.resized(camera.width // 2, camera.height // 2)
    other = small.moved(orbit(camera.viewmat, centre, [np.pi])[0], name="far side")

    def drawn(surface: F64) -> F64:
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        uv, z = other.project(camera.unproject(pixel, np.asarray(surface[y, x], np.float64)))
        at = np.floor(uv).astype(int)
        inside = (z > 0) & (at >= 0).all(1) & (at[:, 0] < other.width) & (at[:, 1] < other.height)
        seen = np.full((other.height, other.width), np.inf)
        np.minimum.at(seen, (at[inside, 1], at[inside, 0]), z[inside])
        return seen

    behind_it, before = drawn(back), drawn(front)
    hit = np.isfinite(behind_it)
    nearest = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    filled = ndimage.binary_closing(hit, iterations=2)
    outline = ndimage.binary_fill_holes(ndimage.binary_closing(hit | np.isfinite(before), iterations=3))
    depth_behind = np.where(filled, behind_it[tuple(nearest)], 0).astype(np.float32)
    return Look(other, depth_behind, np.asarray(outline), guessed=True)


def _plane(depth: F64, known: Mask) -> F64:
    """The depths [m] (H, W) of a plane through most of those `known` (Cauchy's loss, its knee at their median)."""
    y, x = np.nonzero(known)
    A = np.stack([np.ones(len(x)), x / known.shape[1] - 0.5, y / known.shape[1] - 0.5], 1)
    b = depth[y, x]
    c = np.array([np.median(b), 0.0, 0.0])
    for _ in range(20):
        gap = np.abs(b - A @ c)
        weight = 1 / (1 + (gap / max(float(np.median(gap)), 1e-4)) ** 2)
        c = np.linalg.solve((A * weight[:, None]).T @ A + 1e-9 * np.eye(3), (A * weight[:, None]).T @ b)
    rows, columns = np.mgrid[: known.shape[0], : known.shape[1]]
    return np.asarray(c[0] + c[1] * (columns / known.shape[1] - 0.5) + c[2] * (rows / known.shape[1] - 0.5))
