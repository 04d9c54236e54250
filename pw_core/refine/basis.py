"""The displacement field of one entity: an affine part for what is far off, control nodes for what is not affine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, F64


@dataclass(frozen=True, kw_only=True)
class BasisOptions:
    """How a body is given control nodes."""

    particles_per_node: int = 8
    """A body gets no more nodes than its particles over this: a bump of fewer is noise."""
    fewest_nodes: int = 4
    """With less, the affine part alone stays."""
    bump_width: float = 0.8
    """Standard deviation of a bump, in the nodes' spacing: neighbours overlap, and the field is smooth."""


@dataclass(frozen=True)
class Basis:
    """`u = values @ c` displaces J particles, c [m] (K, 3).

    values (J, K): for a deformable the columns 1, x, y, z (about the centroid, over the body's radius), then M smooth
    bumps that sum to one; for a rigid body the column of ones alone (its turn is kept apart). affine: how many columns
    are the affine part. stiffness (K, K): quadratic form that measures how far the bumps are from moving together.
    """

    values: F32
    affine: int
    stiffness: F64
    spacing_m: float

    @property
    def size(self) -> int:
        """K."""
        return self.values.shape[1]

    @classmethod
    def spread(cls, positions: F32, *, nodes: int, options: BasisOptions = BasisOptions()) -> Basis:
        """Nodes farthest from each other among `positions` [m] (J, 3), where the round begins.

        The bumps are Gaussians of the nodes' spacing, normalised: the field is smooth everywhere, so that what is seen
        on the surface moves the inside along and nothing folds.
        """
        x = positions.astype(np.float64)
        centre, radius = x.mean(0), max(float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())), 1e-6)
        linear = np.concatenate([np.ones((len(x), 1)), (x - centre) / radius], axis=1)
        count = min(nodes, len(x) // options.particles_per_node)
        if count < options.fewest_nodes:
            return cls(linear.astype(np.float32), 4, np.zeros((4, 4)), radius)
        at = x[_farthest(x, count)]
        gaps = np.linalg.norm(at[:, None] - at[None], axis=-1)
        spacing = float(np.median((gaps + 1e9 * np.eye(count)).min(1)))
        squares = ((x[:, None] - at[None]) ** 2).sum(-1) / (2 * (options.bump_width * spacing) ** 2)
        bumps = np.exp(-(squares - squares.min(1, keepdims=True)))
        bumps /= bumps.sum(1, keepdims=True)
        near = np.exp(-((gaps / spacing) ** 2) / 2) * (1 - np.eye(count))
        stiffness = np.zeros((4 + count, 4 + count))
        stiffness[4:, 4:] = np.diag(near.sum(1)) - near
        return cls(np.concatenate([linear, bumps], axis=1).astype(np.float32), 4, stiffness, spacing)


def _farthest(x: F64, count: int) -> np.ndarray:
    """Indices of `count` points, each farthest from those before; the first is farthest from the centroid."""
    picked = [int(((x - x.mean(0)) ** 2).sum(1).argmax())]
    gap = ((x - x[picked[0]]) ** 2).sum(1)
    while len(picked) < count:
        picked.append(int(gap.argmax()))
        gap = np.minimum(gap, ((x - x[picked[-1]]) ** 2).sum(1))
    return np.array(picked)
