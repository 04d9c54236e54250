"""One RGB-D picture: the depth is the visible side; what is behind it is as thick as the silhouette is wide."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, Camera, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.ground.plane import find_plane
from pw_core.reconstruct.ground.world_frame import stand
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.poses.estimate import single
from pw_core.reconstruct.segmentation.propagate import from_prompt
from pw_core.reconstruct.splatting.bind import refit
from pw_core.reconstruct.splatting.draw import choose_device
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.surface.thickness import back_depth
from pw_core.reconstruct.surface.tsdf import Fused, fuse_between
from pw_core.reconstruct.types import Mask, Posed, View
from pw_core.scene import Scene

RING, MIN_RING, RING_POINTS = 1.0, 200, 20_000
"""Width of the ring round an entity in which its table is looked for, in square roots of its area; points in it."""
RIM_PX = 3
ON_PLANE = 0.02
"""Share of its distance by which a point may be off the plane and still be on it."""
JUMP = 0.25
"""Of a rim pixel's depth against what is next to it, in the entity's longest extents, from which it is not its own."""


def lift_rgbd(
    config: SceneConfig, view: ViewInput, *, settings: ViewsSettings, progress: Progress | None = None
) -> Scene:
    """A scene from one picture with depth; intrinsics as given, or from config.camera.hfov_deg.

    Raises:
        ReconstructError: INVALID_IMAGE (an entity without depth), INVALID_PROMPT, RECONSTRUCT_FAILED.
    """
    from pw_core.reconstruct.routes.many_views import assemble

    progress = progress or (lambda stage, fraction: None)
    began = time.perf_counter()
    progress("masks", 0.05)
    posed = single(view, settings, hfov_deg=config.camera.hfov_deg)
    first, width = posed.views[0], view.image.shape[1]
    if settings.masks == "sam2":
        from pw_core.reconstruct.segmentation.sam import segment_all

        found = segment_all(first.image, config.entities, settings.sam2, scale=first.camera.width / width,
                            device=choose_device(settings))  # fmt: skip
    else:
        found = [from_prompt(first, e, original_width=width) for e in config.entities]
    masks = [_own(first, m) for m in found]
    progress("plane", 0.3)
    posed, standing = stand(_around(posed, masks, config), settings, metric=True)
    seen = posed.views[0]
    camera = seen.camera
    assert seen.depth is not None
    progress("solids", 0.4)
    solids, skins = [], []
    for entity, mask in zip(config.entities, masks):
        known = mask & (seen.depth > 0)
        if known.sum() < 0.5 * mask.sum():
            raise ReconstructError(
                f"entity '{entity.name}': only {100 * known.sum() / mask.sum():.0f} % of its pixels have a depth",
                code=ErrorCode.INVALID_IMAGE,
            )
        front = _filled(seen.depth, known, mask)
        upright = not entity.above and entity.shape == "inflate"
        back = back_depth(front, mask, camera, depth_ratio=entity.depth_ratio, standing=upright)
        solid = fuse_between(camera, mask, front, back, voxels=settings.voxels, name=entity.name)
        solids.append(solid)
        skins.append(_skin(seen.image, front, mask, camera, solid))
    progress("background", 0.6)
    union = np.any(masks, axis=0)
    background = _background(seen, union)
    scene = assemble(config, solids, skins, background)
    binding, foreground = refit(
        [seen], {seen.name: union}, scene.rest, scene.binding, scene.foreground, background,
        steps=min(settings.bind_steps, 40), progress=lambda s, f: progress(s, 0.7 + 0.29 * f),
    )  # fmt: skip
    progress("done", 1.0)
    return replace(
        scene, binding=binding, foreground=foreground, cameras=(replace(camera, name="photo"),),
        provenance={"method": "RGB-D lift", "plane": standing | {"points": "depth around what stands on it"},
                    "working_size_px": [camera.width, camera.height], "seconds": round(time.perf_counter() - began, 2)},
    )  # fmt: skip


def _own(seen: View, mask: Mask) -> Mask:
    """Without pixels that see past the entity: on its rim and far behind what is next to them, or further from its
    middle than it is wide. A single one at the wall's distance would make the entity as deep as the room."""
    from scipy import ndimage

    depth = seen.depth
    assert depth is not None
    known = mask & (depth > 0)
    if not known.any():
        return mask
    y, x = np.nonzero(mask)
    middle = float(np.median(depth[known]))
    reach = max(np.ptp(y), np.ptp(x)) * middle / seen.camera.K[0, 0]
    inner = ndimage.binary_erosion(mask, iterations=RIM_PX) & known & (np.abs(depth - middle) < reach)
    if not inner.any():
        return mask
    next_to = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    jump = np.abs(depth - depth[tuple(next_to)]) > JUMP * reach
    return np.asarray(mask & ~(known & ~inner & jump))


def _around(posed: Posed, masks: list[Mask], config: SceneConfig) -> Posed:
    """With the points of what the standing entities stand on alone: those of a ring round each of them."""
    from scipy import ndimage

    seen = posed.views[0]
    assert seen.depth is not None
    stand = [m for m, e in zip(masks, config.entities) if not e.above] or masks
    away = ndimage.distance_transform_edt(~np.any(masks, axis=0))
    ring = np.zeros(away.shape, bool)
    for m in stand:
        wide = np.sqrt(m.sum())
        far = np.abs(seen.depth - np.median(seen.depth[m])) > RING * wide * seen.depth / seen.camera.K[0, 0]
        ring |= (ndimage.distance_transform_edt(~m) < RING * wide) & ~far
    y, x = np.nonzero(ring & (away > RIM_PX) & (seen.depth > 0))
    if len(y) < MIN_RING:
        return posed
    pick = np.random.default_rng(0).permutation(len(y))[:RING_POINTS]
    y, x = y[pick], x[pick]
    pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
    points = seen.camera.unproject(pixel, seen.depth[y, x].astype(np.float64))
    found = find_plane(points, seen.camera.centre[None], ups=-seen.camera.viewmat[1:2, :3])
    normal, offset = found.normal, found.offset
    for off in (3e-3, 2e-3, 1.5e-3, 1e-3, 1e-3):  # of the distance: depth cameras are about as exact as that
        on = np.abs(points @ normal - offset) < off * np.median(seen.depth[ring])
        if on.sum() < MIN_RING:
            break
        middle = points[on].mean(0)
        fitted = np.linalg.svd(points[on] - middle, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(middle @ normal)
    on = np.abs(points @ normal - offset) < 1e-3 * np.median(seen.depth[ring])
    if on.sum() >= MIN_RING:
        points, y, x = points[on], y[on], x[on]
    return replace(posed, points=points, colors=seen.image[y, x] / 255, seen={seen.name: np.arange(len(y))})


def _filled(depth: F32, known: Mask, mask: Mask) -> F64:
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(mask, depth[tuple(nearest)], np.nan).astype(np.float64)


def _skin(image: np.ndarray, front: F64, mask: Mask, camera: Camera, solid: Fused) -> Gaussians:
    """A Gaussian a pixel on the front, and one a face of the mesh elsewhere, coloured as what lies before it."""
    from scipy import ndimage

    height, width = mask.shape
    grid = camera.unproject(pixel_centres(height, width), np.nan_to_num(front, nan=1.0))
    grid[~mask] = np.nan
    across, down = (np.nan_to_num(s) for s in steps_of(grid))
    use = mask & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    seen = surface_gaussians(grid[use], across[use], down[use], image[use] / 255.0)
    tri = solid.mesh.vertices[solid.mesh.faces]
    normal = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    away = np.einsum("ij,ij->i", normal, camera.centre - tri.mean(1)) < 0
    uv, _ = camera.project(tri[away].mean(1))
    x = np.clip(uv[:, 0].astype(int), 0, width - 1)
    y = np.clip(uv[:, 1].astype(int), 0, height - 1)
    # The rim's pixels are mixed with what lies behind.
    inner = ndimage.binary_erosion(mask, iterations=RIM_PX)
    if inner.any():
        rows, columns = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
        y, x = rows[y, x], columns[y, x]
    t = tri[away]
    hidden = surface_gaussians(t.mean(1), 1.2 * (t[:, 1] - t[:, 0]), 1.2 * (t[:, 2] - t[:, 0]), image[y, x] / 255.0)
    return Gaussians.concatenate([seen, hidden])


def _background(seen: View, union: Mask) -> Gaussians:
    """One Gaussian a pixel at its depth; under the entities (and where there is no depth) where `through` says."""
    from scipy import ndimage

    from pw_core.reconstruct.background.ground_texture import fill_texture

    camera = seen.camera
    assert seen.depth is not None
    wide = ndimage.binary_dilation(union, iterations=4)
    filled = fill_texture(seen.image.astype(np.float32), wide, ~wide)
    rays = camera.rays(pixel_centres(camera.height, camera.width))
    down = rays[..., 2] < -1e-6
    plane = np.where(down, -camera.centre[2] / np.minimum(rays[..., 2], -1e-9), np.inf)
    depth = through(seen.depth.astype(np.float64), wide | (seen.depth <= 0), plane)
    grid = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    a, d = (np.nan_to_num(s).reshape(-1, 3) for s in steps_of(grid))
    use = (np.linalg.norm(a, axis=-1) > 0) & (np.linalg.norm(d, axis=-1) > 0)
    return surface_gaussians(grid.reshape(-1, 3)[use], a[use], d[use], filled.reshape(-1, 3)[use] / 255.0,
                             max_stretch=40.0)  # fmt: skip


def through(depth: F64, hole: Mask, plane: F64) -> F64:
    """Depth [m] (H, W) with the hole filled: row by row on the plane where the hole's ends are on it, else between its
    ends. The plane ends somewhere behind a thing, and what stands there goes on behind it."""
    out = depth.copy()
    far = float(depth[~hole].max()) if (~hole).any() else float(np.min(plane))
    for y in np.flatnonzero(hole.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hole[y].astype(int), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            ends = [x for x in (a - 1, b) if 0 <= x < hole.shape[1]]
            level = [abs(depth[y, x] - plane[y, x]) < ON_PLANE * depth[y, x] for x in ends]
            if not ends or all(level):
                out[y, a:b] = np.minimum(plane[y, a:b], far)
            else:
                at = [x for x, on in zip(ends, level) if not on]
                out[y, a:b] = np.interp(np.arange(a, b), at, depth[y, at])
    return out
