"""Depth maps and silhouettes of an entity to a closed mesh that stands on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, I64, Camera
from pw_core.reconstruct.types import Mask
from pw_core.scene import Mesh

TRUNCATION = 3.0
"""Voxels on either side of a surface that its depth speaks for."""
SMOOTH = 0.8
SHOWN = 0.35
"""Share of the views of a place that must show the entity there, not something that hides it."""
SHOWN_HIDDEN = 0.7
"""The same where something that is no entity hides the place from some view: behind the thing nobody sees, either."""
ROOMY = 0.75
"""A solid smaller than this share of its box is fused again in a box that fits it, with finer voxels."""
CLEAN, NOISY, FURTHEST = 0.4, 16.0, 8.0
"""How far behind a surface, in truncations, a look still says that all is solid there, less and less: 1, and `NOISY`
times the voxels by which looks differ beyond `CLEAN`, at most `FURTHEST`. Were it silent there, as it is where depth is
clean and things may be thin, depth too shallow would say nothing where depth too deep says free: noise would eat into
solids."""
SAMPLED = 400
"""Pixels of a look that its noise is measured at."""
ASTRAY = 8
"""One silhouette in so many may be wrong at a place: what only such a share calls outside is not carved away."""


@dataclass(frozen=True)
class Look:
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
class Fused:
    """field [m] (x, y, z), negative inside, of voxels from `origin` [m] (3,) every `step` [m]; and its mesh."""

    mesh: Mesh
    field: NDArray[np.float32]
    origin: F64
    step: float

    def distance(self, points: F64) -> F64:
        """Of `points` [m] (n, 3) from the surface [m], negative inside; exact within a few voxels of it."""
        from scipy import ndimage

        index = (points - self.origin) / self.step
        return np.asarray(ndimage.map_coordinates(self.field, index.T, order=1, mode="nearest"))


def fuse(looks: Sequence[Look], bounds: F64, *, voxels: int, name: str) -> Fused:
    """Truncated signed distances (Curless and Levoy 1996) averaged over the looks, carved by the silhouettes.

    What no look sees free is solid down to the plane z = 0, where the mesh is closed. Where looks differ, each speaks
    for a longer way behind its surface (`NOISY`). bounds [m] (2, 3).

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): nothing is left, or the surface does not close.
    """
    from scipy import ndimage

    one_sided = any(look.guessed for look in looks)
    step = float((bounds[1] - bounds[0]).max()) / voxels
    low, high = bounds[0] - 4 * step, bounds[1] + 4 * step
    low[2] = -2.5 * step  # the plane lies between two layers
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    reach = TRUNCATION * step
    shape = tuple(map(len, axes))
    below = np.clip(-grid[:, 2], -reach, reach)
    outside = np.maximum(_outside(looks, grid, step, one_sided=one_sided), below)

    def solid(behind: float) -> Fused:
        field = np.maximum(_surface(looks, grid, reach, behind), outside)
        volume = np.maximum(ndimage.gaussian_filter(field.reshape(shape), SMOOTH), below.reshape(shape))
        return _close(volume, low, step, reach, name)

    out = solid(1.0)
    tight = np.stack([out.mesh.vertices.min(0) - step, out.mesh.vertices.max(0) + step])
    if one_sided:  # finer voxels, or a longer reach, would follow its noise along the line of sight
        return out
    if float((tight[1] - tight[0]).max()) < ROOMY * float((bounds[1] - bounds[0]).max()):
        return fuse(looks, tight, voxels=voxels, name=name)
    behind = float(np.clip(1 + NOISY * (_noise(looks, out.mesh) / step - CLEAN), 1, FURTHEST))
    return solid(behind) if behind > 1 else out


def _surface(looks: Sequence[Look], grid: F64, reach: float, behind: float) -> F64:
    """Mean of the looks' truncated distances [m] at `grid` (n, 3), negative inside; inside where none speaks."""
    total, weight = np.zeros(len(grid)), np.zeros(len(grid))
    for look in looks:
        i, x, y, z = _shown(look, grid)
        depth = look.depth[y, x]
        inwards = z - depth
        near = (depth > 0) & (inwards < behind * reach)
        # 1 as far as the truncation, then falling to 0 at `behind` of them.
        says = np.clip((behind - inwards[near] / reach) / max(behind - 1, 1e-6), 0, 1)
        total[i[near]] -= says * np.clip(inwards[near], -reach, reach)
        weight[i[near]] += says
    return np.where(weight > 0, total / np.maximum(weight, 1e-9), -reach)


def _outside(looks: Sequence[Look], grid: F64, step: float, *, one_sided: bool) -> F64:
    """How far outside [m] of the entity the looks' silhouettes say that the points `grid` (n, 3) are, truncated."""
    from scipy import ndimage

    reach = TRUNCATION * step
    asked, shown = np.zeros(len(grid), np.int16), np.zeros(len(grid), np.int16)
    judged, hidden = np.zeros(len(grid), np.int16), np.zeros(len(grid), bool)
    # The furthest outside that silhouettes say, sorted: which counts depends on how many see the place.
    astray = 0 if one_sided else len(looks) // ASTRAY
    outside = np.full((1 + astray, len(grid)), -reach, np.float32)
    for look in looks:
        i, x, y, z = _shown(look, grid)
        if look.mask is not None:
            uv = look.camera.project(grid[i])[0]
            edge = ndimage.distance_transform_edt(~look.mask) - ndimage.distance_transform_edt(look.mask)
            away = ndimage.map_coordinates(edge, [uv[:, 1] - 0.5, uv[:, 0] - 0.5], order=1, mode="nearest")
            away = np.clip(away * z / look.camera.K[0, 0], -reach, reach)
            if look.before is None:
                judged[i] += 1
            else:
                before = look.before[y, x]
                silent = (away > 0) & (before > 0) & (z > before + step)
                away = np.where(silent, -reach, away)
                judged[i] += ~silent
                hidden[i] |= silent
            for rank in outside:
                rank[i], away = np.maximum(rank[i], away), np.minimum(rank[i], away)
        if look.own is not None:
            asked[i] += 1
            shown[i] += look.own[y, x]
    field: F64 = outside[np.minimum(judged // ASTRAY, astray), np.arange(len(grid))].astype(np.float64)
    # Where the entity is hidden in most views, nothing says that it is there.
    if not one_sided and asked.max() > 0:
        least = np.where(hidden, SHOWN_HIDDEN, SHOWN)
        field[shown <= least * asked] = reach
    return field


def _shown(look: Look, points: F64) -> tuple[I64, I64, I64, F64]:
    """Which of the `points` (n, 3) are in a look's picture; their columns, rows and depth [m]."""
    cam = look.camera
    uv, z = cam.project(points)
    x, y = np.floor(uv[:, 0]).astype(np.int64), np.floor(uv[:, 1]).astype(np.int64)
    i = np.flatnonzero((z > 1e-6) & (x >= 0) & (x < cam.width) & (y >= 0) & (y < cam.height))
    return i, x[i], y[i], z[i]


def _noise(looks: Sequence[Look], mesh: Mesh) -> float:
    """Standard deviation [m] of the looks' depth about the surface that they make together, by its median. Across that
    surface: the averaged distances of `Fused` are flatter the more the looks differ."""
    import trimesh
    from scipy.spatial import cKDTree

    seen = []
    for look in looks:
        y, x = np.nonzero(look.depth > 0)
        every = slice(None, None, max(1, len(y) // SAMPLED))
        y, x = y[every], x[every]
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        seen.append(look.camera.unproject(pixel, look.depth[y, x].astype(np.float64)))
    points = np.concatenate(seen)
    if len(points) == 0:
        return 0.0
    nearest = cKDTree(mesh.vertices).query(points)[1]
    normals = np.asarray(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).vertex_normals)
    off = ((points - mesh.vertices[nearest]) * normals[nearest]).sum(1)
    return float(1.4826 * np.median(np.abs(off - np.median(off))))


def fuse_between(camera: Camera, mask: Mask, front: F64, back: F64, *, voxels: int, name: str) -> Fused:
    """What lies between two depth maps [m] (H, W) of one camera, inside its silhouette and above z = 0, as a mesh.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): nothing is left, or the surface does not close.
    """
    from scipy import ndimage

    y, x = np.nonzero(mask)
    pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
    ends = np.concatenate([camera.unproject(pixel, front[y, x]), camera.unproject(pixel, back[y, x])])
    bounds = np.stack([ends.min(0), ends.max(0)])
    step = float((bounds[1] - bounds[0]).max()) / voxels
    low, high = bounds[0] - 4 * step, bounds[1] + 4 * step
    low[2] = -2.5 * step
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    reach = TRUNCATION * step
    uv, z = camera.project(grid)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    edge = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    at = [uv[:, 1] - 0.5, uv[:, 0] - 0.5]

    def sample(field: F64) -> F64:
        return np.asarray(ndimage.map_coordinates(field, at, order=1, mode="nearest"))

    f, b = (sample(d[tuple(nearest)]) for d in (front, back))
    parts = [f - z, z - b, sample(edge) * z / camera.K[0, 0], -grid[:, 2]]
    field = np.clip(np.max(parts, axis=0), -reach, reach)
    shape = tuple(map(len, axes))
    volume = ndimage.gaussian_filter(field.reshape(shape), 0.5)
    volume = np.maximum(volume, np.clip(-grid[:, 2], -reach, reach).reshape(shape))
    return _close(volume, low, step, reach, name)


def _close(volume: NDArray[np.floating], low: F64, step: float, reach: float, name: str) -> Fused:
    """The largest part without its hollows, as a watertight mesh."""
    import trimesh
    from scipy import ndimage
    from skimage.measure import marching_cubes

    solid, count = ndimage.label(volume < 0)
    if count == 0:
        raise ReconstructError(f"entity '{name}': its views leave no solid between them; check its masks and the plane",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    sizes = np.bincount(solid.ravel())
    sizes[0] = 0
    own = solid == sizes.argmax()
    volume = np.where((volume < 0) & ~own, 0.5 * step, volume)
    hollow = ndimage.binary_fill_holes(own) & ~own
    volume = np.where(hollow, -0.5 * step, volume)
    volume = np.pad(volume, 1, constant_values=reach).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(volume, 0.0)
    mesh = trimesh.Trimesh((vertices - 1) * step + low, faces, process=True)
    if mesh.volume < 0:
        mesh.invert()
    parts = mesh.split(only_watertight=True)
    if len(parts) == 0:
        raise ReconstructError(f"entity '{name}': its surface does not close; check its masks",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    mesh = max(parts, key=lambda m: abs(m.volume))
    return Fused(Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64)), volume, low - step, step)


def bounds_of(points: F64, *, grow: float = 0.1) -> F64:
    """Box [m] (2, 3) round points without their outermost per cent, on the plane."""
    low, high = np.percentile(points, [1, 99], axis=0)
    margin = grow * float((high - low).max())
    low, high = low - margin, high + margin
    low[2] = 0.0
    return np.stack([low, high])


def hull_bounds(masks: dict[str, Mask], cameras: dict[str, Camera], around: F64) -> F64:
    """Box [m] (2, 3) of the visual hull: voxels of `around` (2, 3) that fall into every mask that sees them."""
    axes = [np.linspace(a, b, 64) for a, b in zip(*around)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    keep = np.ones(len(grid), bool)
    for name in cameras.keys() & masks.keys():
        mask = masks[name]
        uv, z = cameras[name].project(grid)
        x, y = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
        inside = (z > 0) & (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
        keep[inside] &= mask[y[inside], x[inside]]
    if keep.sum() < 8:
        return around
    size = (around[1] - around[0]) / 63
    return np.stack([grid[keep].min(0) - size, grid[keep].max(0) + size])
