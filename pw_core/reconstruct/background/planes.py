"""Pixels laid where their rays meet the table or the backdrop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.gaussians import F64, Camera


def backdrop_x(config: SceneConfig) -> float:
    """Where [m] the backdrop stands behind a table."""
    return config.table.edge_m + config.table.backdrop_m


def lay(
    centres: F64, size: float, config: SceneConfig, camera: Camera, *, wall_only: bool = False,
    wall_m: float | None = None,
) -> tuple[F64, F64, F64, NDArray[np.bool_]]:  # fmt: skip
    """Points [m] (k, 3) where the rays of cells `size` wide, centred at pixels (n, 2), meet table or backdrop; the
    steps [m] (k, 3) across and down them; and which (n,) of them meet either.

    wall_only: none meets the table; wall_m: x [m] of the backdrop where it is not the scene's.
    """
    edge = config.table.edge_m
    wall = backdrop_x(config) if wall_m is None else wall_m
    height = camera.centre[2]

    def meet(rays: F64, table: NDArray[np.bool_]) -> F64:
        with np.errstate(divide="ignore"):
            depth = np.where(table, -height / np.minimum(rays[:, 2], -1e-9), wall / rays[:, 0])
        return np.asarray(camera.centre + rays * depth[:, None])

    rays = camera.rays(centres)
    ahead = rays[:, 0] > 1e-3
    table = (rays[:, 2] < -1e-9) & (rays[:, 0] * height < -rays[:, 2] * edge) & (not wall_only)
    keep = ahead | table
    r, t = rays[keep], table[keep]
    right, below = camera.rays(np.eye(2) * (size / 2)) - camera.rays(np.zeros(2))  # as much for every pixel
    across = meet(r + right, t) - meet(r - right, t)
    down = meet(r + below, t) - meet(r - below, t)
    return meet(r, t), across, down, keep
