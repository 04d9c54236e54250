"""What views from above see past the table's far edge: the photo's camera looks over it, so it shows nothing of that.

The room goes on below the backdrop, folded forward to the table's edge, so that no view from before and above the edge
looks into nothing. Under the table, cells close what is open between its Gaussians where a view is nearer than the
photo's was; else what is behind would be seen through it, and count in its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera, Gaussians
from pw_core.reconstruct.background.outpaint import Outpainted
from pw_core.reconstruct.background.planes import backdrop_x, lay
from pw_core.reconstruct.splatting.splats import surface_gaussians
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class FarEdgeOptions:
    """Gaussians below and behind the table's far edge."""

    cells_px: tuple[int, int] = (8, 16)
    """Size of what goes on below the backdrop, inside the finer rings beside the photo and outside them [px of the
    photo, where the backdrop stands]: it is out of focus."""
    overlap: float = 1.5
    """How wide the Gaussian of such a cell is, in cells."""
    most_cells: int = 40_000
    """Of it; larger ones where there would be more."""
    blur_px: float = 32.0
    """Standard deviation of its blur at the table's edge."""
    drop_px: float = 2.0
    """How far under the table it stays with all that its Gaussians reach: seen from where the photo was taken it is all
    hidden."""
    reach_sigmas: float = 3.0
    """How far that is."""
    cover_px: int = 4
    """Width of the cells under the table. They are one pixel deep, between the rows of the table's own: deeper ones
    would reach over its end, and before what is to hide them where a view grazes it."""
    under_ratio: float = 2.0
    """How much further away a cell under the table is than the table, in its own depth: it is to be sorted behind."""


def under_table(
    filled: Rgb, table: Mask, config: SceneConfig, camera: Camera, *, options: FarEdgeOptions = FarEdgeOptions()
) -> Gaussians:  # fmt: skip
    """A cover (N) just under the table that a filled photo (H, W, 3) shows; table (H, W): where."""
    wide = options.cover_px
    height, width = table.shape
    columns = width // wide * wide
    both = table[:-1, :columns] & table[1:, :columns]
    row, cell = np.nonzero(both.reshape(height - 1, -1, wide).all(axis=2))
    pairs = np.float32(0.5 / 255) * (filled[:-1, :columns].astype(np.float32) + filled[1:, :columns])
    colors = pairs.reshape(height - 1, -1, wide, 3).mean(axis=2)[row, cell]
    centres = np.stack([(cell + 0.5) * wide, row + 1.0], axis=1)
    points, across, down, keep = lay(centres, 1.0, config, camera)
    on = np.abs(points[:, 2]) < 1e-6
    points, across, down, colors = points[on], across[on], down[on], colors[keep][on]
    away = points - camera.centre
    further = options.under_ratio * np.linalg.norm(down, axis=1) / np.linalg.norm(away, axis=1)
    under = camera.centre + (1 + further[:, None]) * away
    return surface_gaussians(under, wide * across, down, colors)


def below_far_edge(
    beyond: Outpainted, end_rows: tuple[int, int], aside_px: tuple[int, int], config: SceneConfig, camera: Camera, *,
    options: FarEdgeOptions = FarEdgeOptions(),
) -> Gaussians:  # fmt: skip
    """What the backdrop goes on as: forward to the table's edge, (N), with the colours of its lowest part.

    end_rows: of the photo, where the table ends and where the backdrop does; aside_px: how far past the photo's borders
    it is finer, and how far it goes on.
    """
    wall, edge = backdrop_x(config), config.table.edge_m
    top_row, foot_row = end_rows
    rays = camera.rays(np.array([[0.0, foot_row], [camera.width, foot_row]]))
    foot = camera.centre + rays * (wall / np.maximum(rays[:, :1], 1e-3))
    pixel = (foot[0, 1] - foot[1, 1]) / camera.width
    if (rays[:, 0] < 1e-3).any() or config.table.backdrop_m < options.cells_px[0] * pixel:
        none = np.zeros((0, 3))  # no gap, or all of it is behind the camera
        return surface_gaussians(none, none, none, none)
    span = float(np.hypot(config.table.backdrop_m, foot[0, 2]))
    sizes = [
        max(float(least), float(np.sqrt((camera.width + 2 * high) * (span / pixel) / options.most_cells)))
        for least, high in zip(options.cells_px, aside_px)
    ]
    # A plane that falls from the edge would, a little before it, stand out of the table: it begins that much lower.
    reach = 0.5 * options.reach_sigmas * options.overlap * max(sizes) * pixel / config.table.backdrop_m
    drop = (options.drop_px * edge / camera.K[0, 0] - foot[0, 2] * reach) / (1 + reach)
    way = np.array([edge - wall, -drop - foot[0, 2]])
    parts = []
    for size, low, high in zip(sizes, (0, aside_px[0]), aside_px):
        rows = max(int(np.ceil(float(np.linalg.norm(way)) / (size * pixel))), 1)
        u, v = np.meshgrid(np.arange(-high, camera.width + high, size) + size / 2, (np.arange(rows) + 0.5) / rows)
        use = (u < -low + size) | (u > camera.width + low - size) if low else np.ones(u.shape, bool)
        u, v = u[use], v[use]
        x, z = wall + v * way[0], foot[0, 2] + v * way[1]
        points = np.stack([x, foot[0, 1] - u * pixel, z], axis=1)
        across = np.tile([0.0, -size * pixel, 0.0], (len(u), 1))
        down = np.tile([way[0] / rows, 0.0, way[1] / rows], (len(u), 1))
        at = np.stack([u, foot_row - v * (foot_row - top_row)], axis=1)
        colors = beyond.colors(at, wall_only=True, blur_px=options.blur_px * v)
        parts.append(surface_gaussians(points, options.overlap * across, options.overlap * down, colors))
    return Gaussians.concatenate(parts)
