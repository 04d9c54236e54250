"""Scans of vessels and boxes: flat Gaussians on their walls, as another tool leaves them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Gaussians

Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions [m] and outward normals, both (n, 3)."""


def flat_gaussians(points: Points, size: float) -> Gaussians:
    """Discs of standard deviation `size` [m] that lie in the surface."""
    at, normals = points
    axis = np.cross([0, 0, 1.0], normals)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    axis = np.where(sine > 1e-9, axis / np.maximum(sine, 1e-12), [1, 0, 0])
    quats = Rotation.from_rotvec(axis * np.arctan2(sine, normals[:, 2:])).as_quat()[:, [3, 0, 1, 2]]
    n = len(at)
    return Gaussians(
        at.astype(np.float32), quats.astype(np.float32),
        np.tile(np.log([size, size, size / 10]), (n, 1)).astype(np.float32), np.full(n, 3.0, np.float32),
        np.full((n, 4, 3), 0.1, np.float32),
    )  # fmt: skip


def jar(
    *, radius: float = 0.04, height: float = 0.1, wall: float = 0.005, mouth: float = 0.008, inside: bool = True,
    at: tuple[float, float] = (0.6, 0.25), count: int = 9000, seed: int = 0,
) -> Gaussians:  # fmt: skip
    """A round jar [m] on z = 0, a hole of radius `mouth` in its lid; inside: the walls' inner sides were scanned."""
    rng = np.random.default_rng(seed)

    def side(r: float, low: float, high: float, sign: int) -> Points:
        turn, z = rng.uniform(0, 2 * np.pi, count), rng.uniform(low, high, count)
        way = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        return way * r + np.stack([0 * z, 0 * z, z], axis=1), sign * way

    def ring(inner: float, outer: float, z: float, sign: int) -> Points:
        n = count // 3
        r, turn = np.sqrt(rng.uniform(inner**2, outer**2, n)), rng.uniform(0, 2 * np.pi, n)
        return np.stack([r * np.cos(turn), r * np.sin(turn), 0 * r + z], axis=1), np.tile([0, 0, float(sign)], (n, 1))

    parts = [side(radius, 0, height, 1), ring(mouth, radius, height, 1)]
    if inside:
        within = radius - wall
        low, high = wall, height - wall
        parts += [side(within, low, high, -1), ring(0, within, low, 1), ring(mouth, within, high, -1)]
    points, normals = (np.concatenate(each) for each in zip(*parts))
    return flat_gaussians((points + np.array([*at, 0]), normals), 0.9 * np.sqrt(2 * np.pi * radius * height / count))


def box(*, half: tuple[float, float, float] = (0.04, 0.03, 0.02), at: tuple[float, float] = (0.6, 0.25),
        count: int = 9000, seed: int = 0) -> Gaussians:  # fmt: skip
    """A box [m] that stood on z = 0: its underside was not seen."""
    rng = np.random.default_rng(seed)
    points, axes = rng.uniform(-1, 1, (count, 3)), rng.integers(0, 3, count)
    signs = np.where(axes == 2, 1, rng.choice([-1, 1], count))
    points[np.arange(count), axes] = signs
    normals = np.zeros((count, 3))
    normals[np.arange(count), axes] = signs
    area = 8 * (half[0] * half[1] / 2 + half[0] * half[2] + half[1] * half[2])
    return flat_gaussians((points * half + np.array([*at, half[2]]), normals), 0.9 * np.sqrt(area / count))
