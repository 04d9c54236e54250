"""Particles inside solids, and Gaussians bound to them (visual-physical aligned particles)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, I64, Camera, Gaussians
from pw_core.reconstruct.surface.inflate import Solid

RIGID_PARTICLES = 800
REACH = 0.9
"""No Gaussian is further from its particle than this share of the particle's size: tanh must be invertible."""
BLEND = 4


@dataclass(frozen=True)
class Filled:
    """positions [m] (J, 3) and the spacing [m] they were laid with."""

    positions: F64
    spacing_m: float


def sample_inside(solid: Solid, camera: Camera, *, volume_m3: float, count: int, name: str) -> Filled:
    """About `count` particles on a regular lattice inside a solid of that volume [m³].

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): fewer than 30 fit in.
    """
    spacing = (volume_m3 / count) ** (1 / 3)
    low, high = solid.mesh.vertices.min(0), solid.mesh.vertices.max(0)
    axes = [np.arange(a + spacing / 2, b, spacing) for a, b in zip(low, high)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = lattice[solid.contains(camera, lattice)]
    if len(inside) < 30:
        raise ReconstructError(
            f"entity '{name}': only {len(inside)} particles fit inside it; its mask is too thin or small",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )
    return Filled(inside, spacing)


def cover(filled: Filled, means: F64) -> F64:
    """Particles (J', 3) [m]: those given, and as many on the surface as the Gaussians out of reach need."""
    from scipy.spatial import cKDTree

    positions = filled.positions
    reach = REACH * filled.spacing_m
    cell = filled.spacing_m / 1.6  # the diagonal of a cell is then about the reach
    for _ in range(6):
        distance, _ = cKDTree(positions).query(means)
        far = means[distance > reach]
        if len(far) == 0:
            return positions
        keys = np.floor(far / cell).astype(np.int64)
        _, group = np.unique(keys, axis=0, return_inverse=True)
        group = group.reshape(-1)
        sums = np.zeros((group.max() + 1, 3))
        np.add.at(sums, group, far)
        positions = np.vstack([positions, sums / np.bincount(group)[:, None]])
    distance, _ = cKDTree(positions).query(means)
    return np.vstack([positions, means[distance > reach]])


def bind(positions: F64, spacing_m: float, gaussians: Gaussians, entity: EntityConfig) -> tuple[I64, F64, F64]:
    """index (N, 4), weights (N, 4) and raw (N, 3) of the Gaussians on particles [m] (J, 3).

    Solids blend four particles, so that nothing tears; liquids and rigid bodies hang on one.
    """
    from scipy.spatial import cKDTree

    blend = BLEND if entity.material.model in ("elastic", "plastic") else 1
    distance, index = cKDTree(positions).query(gaussians.means, k=BLEND)
    weights = np.zeros((len(index), BLEND))
    if blend == 1:
        weights[:, 0] = 1
    else:
        weights = np.exp(-0.5 * (distance / (0.7 * spacing_m)) ** 2) + 1e-9
        weights /= weights.sum(axis=1, keepdims=True)
    offset = (gaussians.means - positions[index[:, 0]]) / spacing_m
    return index, weights, np.arctanh(np.clip(offset, -0.95, 0.95))
