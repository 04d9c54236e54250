"""Pixels on surfaces to Gaussians: one a pixel, as wide as the pixel's footprint on the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64, SH_C0, Gaussians


@dataclass(frozen=True, kw_only=True)
class SplatOptions:
    """Gaussians that stand for samples of a surface."""

    sigma_per_sample: float = 0.5
    """Standard deviation, in steps between samples: no gaps, little overlap."""
    thinness: float = 0.15
    """Across the surface, in the same unit."""
    opacity_logit: float = 4.0
    """0.982: opaque, but for the fit's sake not quite."""


def surface_gaussians(
    points: F64, across: F64, down: F64, colors: NDArray[np.floating], *, max_stretch: float = 12.0,
    options: SplatOptions = SplatOptions(),
) -> Gaussians:
    """Flat Gaussians at `points` [m] (N, 3).

    `across` and `down` [m] (N, 3) are the steps on the surface to the next sample right and below: seen from where they
    were measured, each Gaussian is half a sample wide, and turned views find no gaps; neither step counts for more than
    `max_stretch` times the other. `colors` (N, 3) in 0 ... 1.
    """
    reach = max_stretch * np.minimum(np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1))[:, None]
    steps = []
    for step in (across, down):
        length = np.linalg.norm(step, axis=1, keepdims=True)
        steps.append(step * np.minimum(1.0, reach / np.maximum(length, 1e-12)))
    a, d = steps
    normal = np.cross(a, d)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    thin = options.thinness * np.sqrt(np.linalg.norm(a, axis=1) * np.linalg.norm(d, axis=1))[:, None] * normal
    shape = options.sigma_per_sample * np.stack([a, d, thin], axis=-1)
    values, vectors = np.linalg.eigh(shape @ shape.transpose(0, 2, 1))
    vectors[:, :, 0] *= np.sign(np.linalg.det(vectors))[:, None]
    return Gaussians(
        means=points.astype(np.float32),
        quats=rotations_to_quats(vectors).astype(np.float32),
        log_scales=(0.5 * np.log(np.maximum(values, 1e-12))).astype(np.float32),
        opacities=np.full(len(points), options.opacity_logit, np.float32),
        sh=((np.asarray(colors)[:, None, :] - 0.5) / SH_C0).astype(np.float32),
    )


def rotations_to_quats(rotations: F64) -> F64:
    """Quaternions wxyz (N, 4) of rotation matrices (N, 3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotations).as_quat()[:, [3, 0, 1, 2]])


def steps_of(grid: F64) -> tuple[F64, F64]:
    """Steps across and down (H, W, 3) of a grid of points (H, W, 3), nan where it has holes: the shorter of the steps
    to either side, so that outlines do not smear into what lies behind."""

    def shorter(axis: int) -> F64:
        forward = np.diff(grid, axis=axis, append=np.nan)
        backward = np.diff(grid, axis=axis, prepend=np.nan)
        f, b = (np.nan_to_num(np.linalg.norm(s, axis=-1), nan=np.inf) for s in (forward, backward))
        return np.where((f <= b)[..., None], forward, backward)

    return shorter(1), shorter(0)
