"""Depth maps and silhouettes of an entity to a closed mesh that stands on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, I64, Camera
from pw_core.reconstruct.components import largest_component
from pw_core.reconstruct.surface.closing import largest_closed_part
from pw_core.reconstruct.types import Mask
from pw_core.scene import Mesh


@dataclass(frozen=True, kw_only=True)
class TsdfOptions:
    """How depth and silhouettes are fused."""

    truncation_voxels: float = 3.0
    """On either side of a surface that its depth speaks for."""
    smoothing_voxels: float = 0.8
    """Standard deviation of the blur of fused distances."""
    between_smoothing_voxels: float = 0.5
    """The same of what lies between two depth maps of one camera."""
    margin_voxels: int = 4
    """Round the box that is given."""
    min_shown_share: float = 0.35
    """Of the views of a place: so many must show the entity there, not something that hides it."""
    min_shown_share_hidden: float = 0.7
    """The same where something that is no entity hides the place from some view: behind the thing nobody sees,
    either."""
    roomy_ratio: float = 0.75
    """A solid smaller than this share of its box is fused again in a box that fits it, with finer voxels."""
    clean_noise_voxels: float = 0.4
    """By which views may differ and still count as clean. A view says that all is solid behind its surface for one
    truncation; where views differ by more, for longer, less and less. Were it silent there, as it is where depth is
    clean and things may be thin, depth too shallow would say nothing where depth too deep says free: noise would eat
    into solids."""
    reach_per_noise_voxel: float = 16.0
    """In truncations: how much longer, for each voxel by which views differ beyond that."""
    max_reach: float = 8.0
    """In truncations: the longest."""
    noise_samples: int = 400
    """Pixels of a view that its noise is measured at."""
    silhouettes_per_error: int = 8
    """One silhouette in so many may be wrong at a place: what only such a share calls outside is not carved away."""


@dataclass(frozen=True)
class DepthView:
    """What one camera says: depth [m] (H, W), 0 where it sees none of the entity; mask (H, W): its silhouette, and what
    something else may hide of it; None if it says nothing. own (H, W): where the entity itself is seen, if that is
    known apart from what may hide it. before [m] (H, W): how far away it sees what is not of the entity, 0 nothing:
    beyond that its silhouette says nothing. guessed: a side that no camera saw; the cameras then stand close together,
    and no silhouette is outvoted by others that see nearly the same."""

    camera: Camera
    depth: F32
    mask: Mask | None
    own: Mask | None = None
    before: F32 | None = None
    guessed: bool = False


@dataclass(frozen=True)
class TsdfMesh:
    """field [m] (x, y, z), negative inside, of voxels from `origin` [m] (3,) every `step` [m]; and its mesh."""

    mesh: Mesh
    field: NDArray[np.float32]
    origin: F64
    step: float

    def scaled(self, scale: float) -> TsdfMesh:
        """The same, so many times as large, about the origin."""
        mesh = replace(self.mesh, vertices=self.mesh.vertices * scale)
        return TsdfMesh(mesh, self.field * np.float32(scale), self.origin * scale, self.step * scale)

    def distance(self, points: F64) -> F64:
        """Of `points` [m] (n, 3) from the surface [m], negative inside; exact within a few voxels of it."""
        index = (points - self.origin) / self.step
        return np.asarray(ndimage.map_coordinates(self.field, index.T, order=1, mode="nearest"))


def fuse_tsdf(
    views: Sequence[DepthView], bounds: F64, *, voxels: int, name: str, floor: bool = True,
    options: TsdfOptions = TsdfOptions(),
) -> TsdfMesh:  # fmt: skip
    """Truncated signed distances (Curless and Levoy 1996) averaged over the views, carved by the silhouettes.

    What no view sees free is solid down to the plane z = 0, where the mesh is closed if there is a `floor`. Where views
    differ, each speaks for a longer way behind its surface. bounds [m] (2, 3).

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): nothing is left, or the surface does not close.
    """
    one_sided = any(view.guessed for view in views)
    grid = _Grid.round_box(bounds, voxels, floor, options)
    below = grid.below(floor)
    outside = np.maximum(_outside(views, grid, one_sided=one_sided, options=options), below)

    def solid(truncations: float) -> TsdfMesh:
        field = np.maximum(_surface(views, grid, truncations), outside)
        smooth = ndimage.gaussian_filter(field.reshape(grid.shape), options.smoothing_voxels)
        return grid.close(np.maximum(smooth, below.reshape(grid.shape)), name)

    out, step = solid(1.0), grid.step
    tight = np.stack([out.mesh.vertices.min(0) - step, out.mesh.vertices.max(0) + step])
    if one_sided:  # finer voxels, or a longer reach, would follow its noise along the line of sight
        return out
    if float((tight[1] - tight[0]).max()) < options.roomy_ratio * float((bounds[1] - bounds[0]).max()):
        return fuse_tsdf(views, tight, voxels=voxels, name=name, floor=floor, options=options)
    noise = _noise(views, out.mesh, options.noise_samples) / step - options.clean_noise_voxels
    truncations = float(np.clip(1 + options.reach_per_noise_voxel * noise, 1, options.max_reach))
    return solid(truncations) if truncations > 1 else out


@dataclass(frozen=True)
class _Grid:
    """Voxels: their places [m] (n, 3), how many along each axis, the first's place, their side and the truncation
    [m]."""

    points: F64
    shape: tuple[int, ...]
    low: F64
    step: float
    reach: float

    @classmethod
    def round_box(cls, bounds: F64, voxels: int, floor: bool, options: TsdfOptions) -> _Grid:
        """So many along the longest side of a box [m] (2, 3), which starts a little below the plane if there is one."""
        step = float((bounds[1] - bounds[0]).max()) / voxels
        low, high = bounds[0] - options.margin_voxels * step, bounds[1] + options.margin_voxels * step
        if floor:
            low[2] = -2.5 * step  # the plane lies between two layers
        axes = [np.arange(a, b + step, step) for a, b in zip(low, high)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        return cls(points, tuple(map(len, axes)), low, step, options.truncation_voxels * step)

    def below(self, floor: bool) -> F64:
        """How far the points are below the plane [m] (n,), truncated; nowhere below, where there is none."""
        z = -self.points[:, 2] if floor else np.full(len(self.points), -self.reach)
        return np.asarray(np.clip(z, -self.reach, self.reach))

    def close(self, volume: NDArray[np.floating], name: str) -> TsdfMesh:
        """A field on it as a mesh."""
        return close_volume(volume, low=self.low, step=self.step, reach=self.reach, name=name)


def _surface(views: Sequence[DepthView], grid: _Grid, truncations: float) -> F64:
    """Mean of the views' truncated distances [m] (n,) at the grid's points, negative inside; inside where none speaks.

    truncations: for how long behind its surface a view speaks.
    """
    reach = grid.reach
    total, weight = np.zeros(len(grid.points)), np.zeros(len(grid.points))
    for view in views:
        i, x, y, z = _shown(view, grid.points)
        depth = view.depth[y, x]
        inwards = z - depth
        near = (depth > 0) & (inwards < truncations * reach)
        # 1 as far as the truncation, then falling to 0 at `truncations` of them.
        says = np.clip((truncations - inwards[near] / reach) / max(truncations - 1, 1e-6), 0, 1)
        total[i[near]] -= says * np.clip(inwards[near], -reach, reach)
        weight[i[near]] += says
    return np.where(weight > 0, total / np.maximum(weight, 1e-9), -reach)


def _outside(views: Sequence[DepthView], grid: _Grid, *, one_sided: bool, options: TsdfOptions) -> F64:
    """How far outside [m] (n,) of the entity the views' silhouettes say that the grid's points are, truncated."""
    n, reach = len(grid.points), grid.reach
    asked, shown = np.zeros(n, np.int16), np.zeros(n, np.int16)
    judged, hidden = np.zeros(n, np.int16), np.zeros(n, bool)
    # The furthest outside that silhouettes say, sorted: which counts depends on how many see the place.
    astray = 0 if one_sided else len(views) // options.silhouettes_per_error
    outside = np.full((1 + astray, n), -reach, np.float32)
    for view in views:
        i, x, y, z = _shown(view, grid.points)
        if view.mask is not None:
            uv = view.camera.project(grid.points[i])[0]
            away = _sampled(_from_outline(view.mask), uv)
            away = np.clip(away * z / view.camera.K[0, 0], -reach, reach)
            if view.before is None:
                judged[i] += 1
            else:
                before = view.before[y, x]
                silent = (away > 0) & (before > 0) & (z > before + grid.step)
                away = np.where(silent, -reach, away)
                judged[i] += ~silent
                hidden[i] |= silent
            for rank in outside:
                rank[i], away = np.maximum(rank[i], away), np.minimum(rank[i], away)
        if view.own is not None:
            asked[i] += 1
            shown[i] += view.own[y, x]
    counts = np.minimum(judged // options.silhouettes_per_error, astray)
    field: F64 = outside[counts, np.arange(n)].astype(np.float64)
    # Where the entity is hidden in most views, nothing says that it is there.
    if not one_sided and asked.max() > 0:
        least = np.where(hidden, options.min_shown_share_hidden, options.min_shown_share)
        field[shown <= least * asked] = reach
    return field


def _from_outline(mask: Mask) -> F64:
    """Distance [px] (H, W) from the outline of a mask, negative inside."""
    return np.asarray(ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask))


def _sampled(field: F64, uv: F64) -> F64:
    """A field (H, W) at pixels (n, 2), between those whose centres lie around."""
    return np.asarray(ndimage.map_coordinates(field, [uv[:, 1] - 0.5, uv[:, 0] - 0.5], order=1, mode="nearest"))


def _shown(view: DepthView, points: F64) -> tuple[I64, I64, I64, F64]:
    """Which of the `points` (n, 3) are in a view's picture; their columns, rows and depth [m]."""
    cells, z, seen = view.camera.pixels(points)
    i = np.flatnonzero(seen & (z > 1e-6))
    return i, cells[i, 0], cells[i, 1], z[i]


def _noise(views: Sequence[DepthView], mesh: Mesh, samples: int) -> float:
    """Standard deviation [m] of the views' depth about the surface that they make together, by its median. Across that
    surface: the averaged distances of `TsdfMesh` are flatter the more the views differ."""
    import trimesh
    from scipy.spatial import cKDTree

    seen = []
    for view in views:
        y, x = np.nonzero(view.depth > 0)
        every = slice(None, None, max(1, len(y) // samples))
        y, x = y[every], x[every]
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        seen.append(view.camera.unproject(pixel, view.depth[y, x].astype(np.float64)))
    points = np.concatenate(seen)
    if len(points) == 0:
        return 0.0
    nearest = cKDTree(mesh.vertices).query(points)[1]
    normals = np.asarray(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).vertex_normals)
    off = ((points - mesh.vertices[nearest]) * normals[nearest]).sum(1)
    return float(1.4826 * np.median(np.abs(off - np.median(off))))


def tsdf_between(
    camera: Camera, mask: Mask, front: F64, back: F64, *, voxels: int, name: str, floor: bool = True,
    options: TsdfOptions = TsdfOptions(),
) -> TsdfMesh:  # fmt: skip
    """What lies between two depth maps [m] (H, W) of one camera, inside its silhouette and, if there is a `floor`,
    above z = 0, as a mesh.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): nothing is left, or the surface does not close.
    """
    y, x = np.nonzero(mask)
    pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
    ends = np.concatenate([camera.unproject(pixel, front[y, x]), camera.unproject(pixel, back[y, x])])
    grid = _Grid.round_box(np.stack([ends.min(0), ends.max(0)]), voxels, floor, options)
    below = grid.below(floor)
    uv, z = camera.project(grid.points)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    f, b = (_sampled(d[tuple(nearest)], uv) for d in (front, back))
    parts = [f - z, z - b, _sampled(_from_outline(mask), uv) * z / camera.K[0, 0], below]
    field = np.clip(np.max(parts, axis=0), -grid.reach, grid.reach)
    volume = ndimage.gaussian_filter(field.reshape(grid.shape), options.between_smoothing_voxels)
    volume = np.maximum(volume, below.reshape(grid.shape))
    return grid.close(volume, name)


def close_volume(volume: NDArray[np.floating], *, low: F64, step: float, reach: float, name: str) -> TsdfMesh:
    """The largest part of a field [m] (x, y, z), negative inside, without its hollows, as a watertight mesh.

    low [m] (3,): the place of the first voxel, the others every `step` [m]; beyond all it is `reach` [m] outside.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): nothing is left, or the surface does not close.
    """
    import trimesh
    from skimage.measure import marching_cubes

    own = largest_component(volume < 0)
    if not own.any():
        raise ReconstructError(f"entity '{name}': its views leave no solid between them; check its masks and the plane",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    volume = np.where((volume < 0) & ~own, 0.5 * step, volume)
    hollow = ndimage.binary_fill_holes(own) & ~own
    volume = np.where(hollow, -0.5 * step, volume)
    volume = np.pad(volume, 1, constant_values=reach).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(volume, 0.0)
    mesh = trimesh.Trimesh((vertices - 1) * step + low, faces, process=True)
    if mesh.volume < 0:
        mesh.invert()
    part = largest_closed_part(mesh)
    if part is None:
        raise ReconstructError(f"entity '{name}': its surface does not close; check its masks",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    surface = Mesh(np.asarray(part.vertices), np.asarray(part.faces, np.int64))
    return TsdfMesh(surface, volume, low - step, step)
