"""Particles inside solids, and Gaussians bound to them (visual-physical aligned particles)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, I64, Camera, Gaussians
from pw_core.reconstruct.surface.inflate import Solid


@dataclass(frozen=True, kw_only=True)
class ParticleOptions:
    """Where particles are, and how Gaussians hang on them."""

    min_particles: int = 30
    """In a solid: fewer are no body."""
    reach: float = 0.9
    """No Gaussian is further from its particle than this share of the particle's size: tanh must be invertible."""
    cell_ratio: float = 1.6
    """The particle's size, in cells that share a new surface particle: the diagonal of a cell is then about the
    reach."""
    cover_rounds: int = 6
    """In which particles are added where Gaussians are out of reach."""
    max_offset: float = 0.95
    """A Gaussian's offset along an axis, in particle sizes: larger ones are clamped."""
    neighbours: int = 4
    """Particles that a solid's Gaussian blends."""
    blend_width: float = 0.7
    """Standard deviation of its weights over distance, in particle sizes."""


@dataclass(frozen=True)
class Filled:
    """positions [m] (J, 3) and the spacing [m] they were laid with."""

    positions: F64
    spacing_m: float


def sample_inside(
    solid: Solid, camera: Camera, *, volume_m3: float, count: int, name: str,
    options: ParticleOptions = ParticleOptions(),
) -> Filled:  # fmt: skip
    """About `count` particles on a regular lattice inside a solid of that volume [m³].

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): hardly any fit in.
    """
    spacing = (volume_m3 / count) ** (1 / 3)
    low, high = solid.mesh.vertices.min(0), solid.mesh.vertices.max(0)
    axes = [np.arange(a + spacing / 2, b, spacing) for a, b in zip(low, high)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = lattice[solid.contains(camera, lattice)]
    if len(inside) < options.min_particles:
        raise ReconstructError(
            f"entity '{name}': only {len(inside)} particles fit inside it; its mask is too thin or small",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )
    return Filled(inside, spacing)


def cover(filled: Filled, means: F64, *, options: ParticleOptions = ParticleOptions()) -> F64:
    """Particles (J', 3) [m]: those given, and as many on the surface as the Gaussians out of reach need."""
    from scipy.spatial import cKDTree

    positions = filled.positions
    reach = options.reach * filled.spacing_m
    cell = filled.spacing_m / options.cell_ratio
    for _ in range(options.cover_rounds):
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


def bind(
    positions: F64, spacing_m: float | F64, gaussians: Gaussians, entity: EntityConfig, *,
    options: ParticleOptions = ParticleOptions(),
) -> tuple[I64, F64, F64]:  # fmt: skip
    """index (N, B), weights (N, B) and raw (N, 3) of the Gaussians on particles [m] (J, 3), B neighbours; spacing_m:
    the particles', or how far each Gaussian (N,) may be from its own.

    Solids blend them, so that nothing tears; liquids and rigid bodies hang on one.
    """
    from scipy.spatial import cKDTree

    distance, index = cKDTree(positions).query(gaussians.means, k=options.neighbours)
    weights = np.zeros((len(index), options.neighbours))
    reach = np.broadcast_to(spacing_m, len(index))[:, None]
    if entity.material.model in ("elastic", "plastic"):
        weights = np.exp(-0.5 * (distance / (options.blend_width * reach)) ** 2) + 1e-9
        weights /= weights.sum(axis=1, keepdims=True)
    else:
        weights[:, 0] = 1
    offset = (gaussians.means - positions[index[:, 0]]) / reach
    return index, weights, np.arctanh(np.clip(offset, -options.max_offset, options.max_offset))
