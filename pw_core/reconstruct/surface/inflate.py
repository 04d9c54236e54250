"""Silhouettes to closed solids that stand on the table (or hang above something)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.closing import largest_closed_part
from pw_core.reconstruct.surface.shapes.ball import BallOptions, ball_solid
from pw_core.reconstruct.surface.shapes.box import BoxOptions, box_solid
from pw_core.reconstruct.surface.shapes.legs import LegOptions, legged_solid
from pw_core.reconstruct.surface.shapes.revolution import RevolutionOptions, round_solid
from pw_core.reconstruct.surface.thickness import revolved_half_thickness, row_runs
from pw_core.reconstruct.types import Mask
from pw_core.scene import Mesh


@dataclass(frozen=True, kw_only=True)
class InflateOptions:
    """How a silhouette becomes a solid, and the solid a mesh."""

    least_ahead: float = 1e-3
    """How far ahead the lowest line of sight goes at the least, for a metre along the optical axis: a thing straight
    below the camera tells nothing of its height."""
    grid_cells: int = 112
    """Of the mesh's grid, along the longer side of the silhouette; no finer than pixels."""
    depth_layers: int = 72
    """Of that grid, along the line of sight."""
    least_closed_share: float = 0.5
    """Of the volume, that a closed part must have to be the solid: less is a crumb beside it."""
    depth_margin: float = 0.04
    """Of the solid's depth: how far the grid reaches beyond it."""
    foot_slack: float = 0.01
    """Share of the half depth by which a foot may seem too far away: masks are as exact as that."""
    column_smoothing: float = 0.03
    """How far foot and top are smoothed along the outline [share of its width]."""
    thickness_smoothing_px: float = 2.0
    """Standard deviation of the blur of squared thickness: rows of a rough outline differ by pixels, their solid does
    not."""
    outline_roundness: float = 2.5
    """Half thickness near the outline is at most so many times the square root of (distance from it, times that or a
    least radius): front and back meet there whatever the smoothing did."""
    min_outline_radius: float = 0.25
    """That least radius, of the square root of the silhouette's area."""
    table_gap: float = 0.35
    """How far before the table a front stays, of the distance from the outline."""
    min_thickness_m: float = 1e-4
    """Between front and back [m]."""
    widest_share: float = 0.95
    """Of the widest row: rows as wide as this count as widest."""
    max_height_share: float = 0.98
    """Of the camera's height: higher rows throw no shadow on the table."""
    search_ratio: float = 4.0
    """Of the nearest place: how far away the middle is looked for."""
    search_rounds: int = 50
    """In which that range is halved."""
    revolution: RevolutionOptions = RevolutionOptions()
    """Standing things that are round."""
    ball: BallOptions = BallOptions()
    """And round at their foot as well."""
    box: BoxOptions = BoxOptions()
    """And those that are boxes."""
    legs: LegOptions = LegOptions()
    """And discs on legs."""


@dataclass(frozen=True)
class Solid:
    """Front and back depth [m] (H, W) along the optical axis, nan outside the mask; the mesh of what lies between.

    mid_m is the distance [m] of the vertical plane that the solid is inflated about; floor: whether it ends at z = 0.
    """

    mask: Mask
    front: F64
    back: F64
    mid_m: float
    mesh: Mesh
    floor: bool = True

    def contains(self, camera: Camera, points: F64) -> NDArray[np.bool_]:
        """Which of `points` [m] (n, 3) are inside."""
        cells, depth, seen = camera.pixels(points)
        x, y = cells.T
        between = self.mask[y, x] & (depth > self.front[y, x]) & (depth < self.back[y, x])
        return np.asarray(seen & between & ((points[:, 2] >= 0) | (not self.floor)))


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


def make_solid(
    mask: Mask, entity: EntityConfig, camera: Camera, *, mid_m: float | None = None,
    options: InflateOptions = InflateOptions(),
) -> Solid:  # fmt: skip
    """Inflate a silhouette.

    About a plane that faces the camera each row of the mask becomes an ellipse as wide as the row and `depth_ratio` as
    deep. A standing solid's plane is where its foot touches the table (`_stand`); it leans with the line of sight, as
    the outline of a round thing does, and the solid ends at the table. A hanging one's is given, and vertical:
    `mid_m` [m].

    A standing solid that is as good as round about a vertical axis becomes that (`round_solid`), one that is as good
    as a ball, a box or a disc on legs one of those (`ball_solid`, `box_solid`, `legged_solid`); one that lies there, as
    a banana does, is as deep as it is thick (`_depth_ratio`).

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): the mask's foot lies above the horizon or below the camera, or
            the solid does not close.
    """
    height, width = mask.shape
    if mid_m is None:
        _check_foot(mask, entity, camera, options)
    rays = camera.rays(pixel_centres(height, width))
    table = table_depth(camera) if mid_m is None else np.full(mask.shape, np.inf)
    if mid_m is None and entity.shape == "inflate" and entity.depth_ratio == 1:
        found = (
            round_solid(mask, camera, rays, options=options.revolution)
            or ball_solid(mask, camera, rays, options=options.ball)
            or box_solid(mask, camera, rays, options=options.box)
            or legged_solid(mask, camera, options=options.legs)
        )
        if found is not None:
            return _closed(mask, found[0], np.minimum(found[1], table), found[2], camera, entity, options)
        entity = entity.model_copy(update={"depth_ratio": _depth_ratio(mask, rays)})
    runs = row_runs(mask)
    if mid_m is None:
        mid_m, waist = _stand(mask, entity, camera, options)
        towards = np.array([mid_m, 0.0, waist - camera.centre[2]])
        normal = towards / np.linalg.norm(towards)
        mid = (normal @ towards) / np.maximum(rays @ normal, 1e-9)
    else:
        mid = mid_m / rays[..., 0]
    focal = camera.K[0, 0]
    half = revolved_half_thickness(mask, camera, mid_m) if entity.shape == "revolve" else None
    if half is None:
        half = entity.depth_ratio * np.sqrt(runs) * mid / focal
        blur = options.thickness_smoothing_px
        weight = ndimage.gaussian_filter(mask.astype(np.float64), blur)
        half = np.sqrt(ndimage.gaussian_filter(np.where(mask, half**2, 0), blur) / np.maximum(weight, 1e-6))
    edge = np.asarray(ndimage.distance_transform_edt(mask)) * mid_m / focal
    radius = np.maximum(edge, options.min_outline_radius * mask.sum() ** 0.5 * mid_m / focal)
    half = np.minimum(half, options.outline_roundness * np.sqrt(edge * radius))
    contact = _contact(mask, table, mid, options.column_smoothing)
    front = np.minimum(np.minimum(mid - half, table - options.table_gap * edge), contact)
    return _closed(mask, front, np.minimum(mid + half, table), mid_m, camera, entity, options)


def _depth_ratio(mask: Mask, rays: F64) -> float:
    """How deep a standing thing is, over how wide: 1, but for a long one that lies across the line of sight.

    A line of sight that falls at an angle p sees a disc of any width sin p times as high as wide, and whatever stands
    on it higher: what is lower cannot be as deep as it is wide. It is taken to be as deep as its silhouette is thick.
    """
    row, column = np.argwhere(mask).mean(0).round().astype(int)
    down = -rays[row, column, 2] / np.linalg.norm(rays[row, column])
    thick = 2 * float(np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1))).max())
    wide = 2 * float(np.sqrt(row_runs(mask).max()))
    return thick / wide if thick < down * wide else 1.0


def _closed(
    mask: Mask, front: F64, back: F64, mid_m: float, camera: Camera, entity: EntityConfig, options: InflateOptions
) -> Solid:
    front = np.minimum(front, back - options.min_thickness_m)
    front, back = (np.where(mask, d, np.nan) for d in (front, back))
    return Solid(mask, front, back, mid_m, mesh_between(mask, front, back, camera, entity.name, options=options))


def _contact(mask: Mask, table: F64, mid: F64, smoothing: float) -> F64:
    """The furthest [m] (H, W) that a standing solid's front can be: in each column a quarter of an ellipse from where
    the lowest pixel's ray meets the table up to the middle plane at the top. Without it the foot would creep along the
    table.

    Lowest and highest pixels are smoothed along the outline: where it overhangs, the top of the column jumps, and the
    surface would tear there.
    """
    height, width = mask.shape
    columns = np.flatnonzero(mask.any(axis=0))
    spread = smoothing * len(columns)

    def smooth(rows: F64) -> F64:
        out = np.zeros(width)
        out[columns] = ndimage.gaussian_filter1d(rows[columns].astype(np.float64), spread, mode="nearest")
        return out

    lowest = height - 1 - np.argmax(mask[::-1], axis=0)
    foot = table[lowest, np.arange(width)]
    if not np.isfinite(foot[columns]).all():
        return np.full(mask.shape, np.inf)
    foot, low, high = smooth(foot), smooth(lowest), smooth(np.argmax(mask, axis=0))
    up = np.clip((low - np.arange(height)[:, None]) / np.maximum(low - high, 1), 0, 1)
    return np.asarray(foot + np.maximum(mid - foot, 0) * (1 - np.sqrt(1 - up**2)))


def _check_foot(mask: Mask, entity: EntityConfig, camera: Camera, options: InflateOptions) -> None:
    """Raises ReconstructError (RECONSTRUCT_FAILED) where the lowest line of sight meets no table ahead."""
    lowest = int(np.flatnonzero(mask.any(axis=1))[-1])
    ray = camera.rays(np.array([camera.width / 2, lowest + 1.0]))
    if ray[2] > -1e-6:
        raise ReconstructError(
            f"entity '{entity.name}': its foot lies above the table's horizon; check camera.pitch_deg and height_m, or "
            "say what it hangs above (above: <entity>)",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )
    if ray[0] < options.least_ahead:
        raise ReconstructError(
            f"entity '{entity.name}': by camera.pitch_deg its foot is straight below the camera or behind it, where "
            "nothing tells how far away and how high it is: take the photo from the side, 20 to 40 degrees down, or "
            "mend the pitch",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )


def _stand(mask: Mask, entity: EntityConfig, camera: Camera, options: InflateOptions) -> tuple[float, float]:
    """Where a standing solid's middle is: its distance x [m] and the height [m] of its widest row.

    The lowest line of sight that meets the solid touches it where it stands out the most: at the near edge of a broad
    foot, but a little above the table on a round one. So the outline is taken for the profile seen from the side,
    `depth_ratio` as deep, and put as far away as it can be with its nearest shadow on the table, thrown from the
    camera, no further than where the lowest line of sight meets the table. Further, and the table would cut its foot
    off; nearer, and it would float.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    # A row's lower edge: that of the lowest is the lowest line of sight.
    central = camera.rays(np.stack([np.full(len(rows), camera.width / 2), rows + 1.0], axis=1))
    height = camera.centre[2]
    near = float(-height * central[-1, 0] / central[-1, 2])
    widths = mask[rows].sum(axis=1) / 2
    widest = rows[widths > options.widest_share * widths.max()].mean()

    def shadow(x: float) -> tuple[float, float, float]:
        """For a solid with its middle at x: the nearest shadow's x, the widest row's height, half the depth [m]."""
        waist = max(height + x * float(np.interp(widest, rows, central[:, 2] / central[:, 0])), 0.0)
        lean = (height - waist) / x
        depth = (x + lean * (height - waist)) / np.maximum(central[:, 0] - lean * central[:, 2], 1e-9)
        z = np.clip(height + depth * central[:, 2], 0, options.max_height_share * height)
        half = entity.depth_ratio * widths * depth / camera.K[0, 0]
        return float(((x - half) * height / (height - z)).min()), waist, float(half.max())

    # With its middle this near it floats; its shadow then differs from `near` by the roughness of the outline alone.
    near = max(near, shadow(near)[0])
    low, high = near, options.search_ratio * near
    for _ in range(options.search_rounds):
        x = (low + high) / 2
        thrown, _, half = shadow(x)
        low, high = (x, high) if thrown <= near + options.foot_slack * half else (low, x)
    return low, shadow(low)[1]


def mesh_between(
    mask: Mask, front: F64, back: F64, camera: Camera, name: str, *, options: InflateOptions = InflateOptions()
) -> Mesh:
    """Marching cubes of what lies between front and back [m] (H, W), on a grid of (row, column, depth); closed by
    construction.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): the solid does not close.
    """
    import trimesh
    from skimage.measure import marching_cubes

    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    y0, y1, x0, x1 = rows[0] - 2, rows[-1] + 3, columns[0] - 2, columns[-1] + 3
    step = max((y1 - y0) / options.grid_cells, (x1 - x0) / options.grid_cells, 1.0)
    v, u = np.arange(y0, y1 + step, step), np.arange(x0, x1 + step, step)
    signed = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    grid = np.meshgrid(v, u, indexing="ij")

    def sample(field: F64) -> F64:
        return np.asarray(ndimage.map_coordinates(field, grid, order=1, mode="nearest"))

    f, b = (sample(d[tuple(nearest)]) for d in (front, back))
    metre = float(np.nanmedian(front)) / camera.K[0, 0]
    e = sample(signed) * metre
    low, high = float(np.nanmin(front)), float(np.nanmax(back))
    margin = options.depth_margin * (high - low)
    depth = np.linspace(low - margin, high + margin, options.depth_layers)
    inside = np.minimum(np.minimum(depth - f[..., None], b[..., None] - depth), e[..., None])
    inside = np.pad(inside, 1, constant_values=-metre)
    vertices, faces, _, _ = marching_cubes(inside, 0.0)
    vertices = vertices - 1
    pixels = np.stack([u[0] + vertices[:, 1] * step + 0.5, v[0] + vertices[:, 0] * step + 0.5], axis=1)
    world = camera.unproject(pixels, np.interp(vertices[:, 2], np.arange(options.depth_layers), depth))
    mesh = trimesh.Trimesh(world, faces, process=True)
    part = largest_closed_part(mesh)
    if part is None or abs(part.volume) < options.least_closed_share * abs(mesh.volume):
        # Corners that fell together opened it. As marching cubes left them it is closed.
        part = largest_closed_part(trimesh.Trimesh(world, faces, process=False))
    if part is None:
        raise ReconstructError(
            f"entity '{name}': its outline gives no closed solid; check its mask", code=ErrorCode.RECONSTRUCT_FAILED
        )
    if part.volume < 0:
        part.invert()
    return Mesh(np.asarray(part.vertices, np.float64), np.asarray(part.faces, np.int64))
