"""How thick a thing is that is seen from one side: what its silhouette says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class ThicknessOptions:
    """How silhouettes are taken for thickness."""

    outline_smoothing_px: float = 2.0
    """Standard deviation of the blur of squared thickness. Rows of a rough outline differ by pixels; their solid does
    not."""


def row_runs(mask: Mask) -> F64:
    """For each masked pixel (distance to the left end of its run) * (to the right end) [px²]."""
    out = np.zeros(mask.shape)
    for y in np.flatnonzero(mask.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[y].astype(int), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            x = np.arange(a, b) + 0.5
            out[y, a:b] = (x - a) * (b - x)
    return out


def revolved_half_thickness(mask: Mask, camera: Camera, mid_m: float) -> F64:
    """Half thickness [m] (H, W) of the solid of revolution about the mask's long axis, its middle at x = mid_m [m]."""
    y, x = np.nonzero(mask)
    points = np.stack([x, y], axis=1) + 0.5
    centre = points.mean(0)
    axis = np.linalg.svd(points - centre, full_matrices=False)[2][0]
    along = (points - centre) @ axis
    across = (points - centre) @ np.array([-axis[1], axis[0]])
    bins = np.clip((along - along.min()).astype(int), 0, None)
    widest, narrowest = np.full(bins.max() + 1, -np.inf), np.full(bins.max() + 1, np.inf)
    np.maximum.at(widest, bins, across + 0.5)
    np.minimum.at(narrowest, bins, across - 0.5)
    radius = np.nan_to_num((widest - narrowest) / 2, neginf=0.0)
    middle = (widest + narrowest) / 2
    out = np.zeros(mask.shape)
    scale = mid_m / (camera.rays(centre)[0] * camera.K[0, 0])
    out[y, x] = np.sqrt(np.maximum(radius[bins] ** 2 - (across - middle[bins]) ** 2, 0)) * scale
    return out


def back_depth(
    front: F64, mask: Mask, camera: Camera, *, depth_ratio: float, standing: bool = True,
    options: ThicknessOptions = ThicknessOptions(),
) -> F64:  # fmt: skip
    """Depth [m] (H, W) of the unseen side: behind each pixel of the front, a solid `depth_ratio` times as thick as one
    that is as deep as its silhouette is wide there (exact for a ball).

    A standing one is as thick as its rows are long, down to the table, which cuts it off; another one gets thinner
    towards its whole outline.
    """
    if standing:
        square = row_runs(mask)
        weight = ndimage.gaussian_filter(mask.astype(np.float64), options.outline_smoothing_px)
        square = ndimage.gaussian_filter(square, options.outline_smoothing_px) / np.maximum(weight, 1e-6)
    else:
        inner = ndimage.distance_transform_edt(mask)
        square = np.maximum(inner * (2 * inner.max() - inner), 0)
    half = np.sqrt(square) * front / camera.K[0, 0]
    return np.asarray(np.where(mask, front + 2 * depth_ratio * half, np.nan))
