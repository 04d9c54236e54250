"""Silhouettes to closed solids that stand on the table (or hang above something)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.masks import Mask
from pw_core.scene import Mesh

GRID = 112
DEPTHS = 72


@dataclass(frozen=True)
class Solid:
    """Front and back depth [m] (H, W) along the optical axis, nan outside the mask; the mesh of what lies between.

    mid_m is the distance [m] of the vertical plane that the solid is inflated about.
    """

    mask: Mask
    front: F64
    back: F64
    mid_m: float
    mesh: Mesh

    def contains(self, camera: Camera, points: F64) -> NDArray[np.bool_]:
        """Which of `points` [m] (n, 3) are inside."""
        uv, depth = camera.project(points)
        height, width = self.mask.shape
        x = np.clip(np.floor(uv[:, 0]).astype(int), 0, width - 1)
        y = np.clip(np.floor(uv[:, 1]).astype(int), 0, height - 1)
        seen = (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height) & self.mask[y, x]
        return np.asarray(seen & (depth > self.front[y, x]) & (depth < self.back[y, x]) & (points[:, 2] >= 0))


def pixel_centres(height: int, width: int) -> F64:
    """(H, W, 2) px."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x + 0.5, y + 0.5], axis=-1).astype(np.float64)


def table_depth(camera: Camera) -> F64:
    """Depth [m] (H, W) at which each pixel's ray meets the table; inf where it does not."""
    rays = camera.rays(pixel_centres(camera.height, camera.width))
    with np.errstate(divide="ignore"):
        depth = np.where(rays[..., 2] < -1e-6, -camera.centre[2] / np.minimum(rays[..., 2], -1e-9), np.inf)
    return np.asarray(depth)


def make_solid(mask: Mask, entity: EntityConfig, camera: Camera, *, mid_m: float | None = None) -> Solid:
    """Inflate a silhouette.

    About a vertical plane facing the camera each row of the mask becomes an ellipse as wide as the row and
    `depth_ratio` as deep. A standing solid's plane is half its footprint's depth behind the point where the lowest
    pixels' rays meet the table, and it ends at the table. A hanging one's plane is given: `mid_m` [m].

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): the mask's foot lies above the horizon, or the solid does not close.
    """
    from scipy import ndimage

    height, width = mask.shape
    rays = camera.rays(pixel_centres(height, width))
    table = table_depth(camera) if mid_m is None else np.full(mask.shape, np.inf)
    runs = _runs(mask)
    if mid_m is None:
        mid_m = _standing_plane(mask, entity, camera, rays, table)
    mid = mid_m / rays[..., 0]
    focal = camera.K[0, 0]
    half = _revolved(mask, camera, mid_m) if entity.shape == "revolve" else None
    if half is None:
        half = entity.depth_ratio * np.sqrt(runs) * mid / focal
        weight = ndimage.gaussian_filter(mask.astype(np.float64), 2.0)
        half = np.sqrt(ndimage.gaussian_filter(np.where(mask, half**2, 0), 2.0) / np.maximum(weight, 1e-6))
    edge = np.asarray(ndimage.distance_transform_edt(mask)) * mid_m / focal
    # Rounded towards the outline, so that front and back meet there whatever the smoothing did.
    half = np.minimum(half, 2.5 * np.sqrt(edge * np.maximum(edge, 0.25 * mask.sum() ** 0.5 * mid_m / focal)))
    front = np.minimum(np.minimum(mid - half, table - 0.35 * edge), _contact(mask, table, mid))
    back = np.minimum(mid + half, table)
    front = np.minimum(front, back - 1e-4)
    front, back = (np.where(mask, d, np.nan) for d in (front, back))
    return Solid(mask, front, back, mid_m, _mesh(mask, front, back, camera, entity.name))


def _contact(mask: Mask, table: F64, mid: F64) -> F64:
    """The furthest [m] (H, W) that a standing solid's front can be: in each column a quarter of an ellipse from where
    the lowest pixel's ray meets the table up to the middle plane at the top. Without it the foot would creep along the
    table."""
    from scipy import ndimage

    height, width = mask.shape
    lowest = height - 1 - np.argmax(mask[::-1], axis=0)
    highest = np.argmax(mask, axis=0)
    foot = table[lowest, np.arange(width)]
    columns = np.flatnonzero(mask.any(axis=0))
    if not np.isfinite(foot[columns]).all():
        return np.full(mask.shape, np.inf)
    foot[columns] = ndimage.gaussian_filter1d(foot[columns], 2.0, mode="nearest")
    up = np.clip((lowest - np.arange(height)[:, None]) / np.maximum(lowest - highest, 1), 0, 1)
    return np.asarray(foot + np.maximum(mid - foot, 0) * (1 - np.sqrt(1 - up**2)))


def _runs(mask: Mask) -> F64:
    """For each masked pixel (distance to the left end of its run) * (to the right end) [px²]."""
    out = np.zeros(mask.shape)
    for y in np.flatnonzero(mask.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[y].astype(int), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            x = np.arange(a, b) + 0.5
            out[y, a:b] = (x - a) * (b - x)
    return out


def _standing_plane(mask: Mask, entity: EntityConfig, camera: Camera, rays: F64, table: F64) -> float:
    rows = np.flatnonzero(mask.any(axis=1))
    foot = rows[-max(1, len(rows) // 60) :]
    hit = table[foot][mask[foot]] * rays[foot][mask[foot]][:, 0]
    if not np.isfinite(hit).all():
        raise ReconstructError(
            f"entity '{entity.name}': its foot lies above the table's horizon; check camera.pitch_deg and height_m, or "
            "say what it hangs above (above: <entity>)",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )
    near = float(np.median(hit))
    widths = mask[rows].sum(axis=1) / 2
    plane = near
    for _ in range(40):  # damped fixed point of plane = near + depth_ratio * half width of the foot
        depth = plane / rays[rows, camera.width // 2, 0]
        z = camera.centre[2] + depth * rays[rows, camera.width // 2, 2]
        metres = widths * depth / camera.K[0, 0]
        top = max(float(z.max()), 1e-3)
        low = metres[np.abs(z) < 0.12 * top]
        footprint = float(low.mean()) if len(low) else float(metres[-1])
        plane += 0.5 * (near + entity.depth_ratio * footprint - plane)
    return plane


def _revolved(mask: Mask, camera: Camera, mid_m: float) -> F64:
    """Half thickness [m] (H, W) of the solid of revolution about the mask's long axis."""
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


def _mesh(mask: Mask, front: F64, back: F64, camera: Camera, name: str) -> Mesh:
    """Marching cubes of what lies between the sheets, on a grid of (row, column, depth); closed by construction."""
    import trimesh
    from scipy import ndimage
    from skimage.measure import marching_cubes

    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    y0, y1, x0, x1 = rows[0] - 2, rows[-1] + 3, columns[0] - 2, columns[-1] + 3
    step = max((y1 - y0) / GRID, (x1 - x0) / GRID, 1.0)
    v, u = np.arange(y0, y1 + step, step), np.arange(x0, x1 + step, step)
    signed = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    grid = np.meshgrid(v, u, indexing="ij")

    def sample(field: F64) -> F64:
        return np.asarray(ndimage.map_coordinates(field, grid, order=1, mode="nearest"))

    f, b = (sample(d[tuple(nearest)]) for d in (front, back))
    metre = float(np.nanmedian(front)) / camera.K[0, 0]
    e = (sample(signed) - 0.0) * metre
    low, high = float(np.nanmin(front)), float(np.nanmax(back))
    depth = np.linspace(low - 0.04 * (high - low), high + 0.04 * (high - low), DEPTHS)
    inside = np.minimum(np.minimum(depth - f[..., None], b[..., None] - depth), e[..., None])
    inside = np.pad(inside, 1, constant_values=-metre)
    vertices, faces, _, _ = marching_cubes(inside, 0.0)
    vertices = vertices - 1
    pixels = np.stack([u[0] + vertices[:, 1] * step + 0.5, v[0] + vertices[:, 0] * step + 0.5], axis=1)
    world = camera.unproject(pixels, np.interp(vertices[:, 2], np.arange(DEPTHS), depth))
    mesh = trimesh.Trimesh(world, faces, process=True)
    parts = mesh.split(only_watertight=True)
    if len(parts) == 0:
        raise ReconstructError(
            f"entity '{name}': its outline gives no closed solid; check its mask", code=ErrorCode.RECONSTRUCT_FAILED
        )
    mesh = max(parts, key=lambda m: abs(m.volume))
    if mesh.volume < 0:
        mesh.invert()
    return Mesh(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64))
