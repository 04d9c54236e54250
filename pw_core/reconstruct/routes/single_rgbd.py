"""One RGB-D picture: the depth is the visible side; what is behind it is as thick as the silhouette is wide."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.progress import Progress, no_progress, subrange
from pw_core.reconstruct.background.ground_texture import fill_texture
from pw_core.reconstruct.binding.assemble import AssemblyOptions, assemble, measure
from pw_core.reconstruct.binding.bind import BindOptions, bind_to_particles, fit_bound
from pw_core.reconstruct.ground.depth_unit import DepthUnitOptions, check_height
from pw_core.reconstruct.ground.level import level_doubts, settled, to_level_frame
from pw_core.reconstruct.ground.plane import find_plane
from pw_core.reconstruct.ground.world_frame import to_world_frame
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.poses.rgbd.given import single_view
from pw_core.reconstruct.segmentation.prompt import prompted_masks
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.surface.thickness import back_depth
from pw_core.reconstruct.surface.tsdf import TsdfMesh, tsdf_between
from pw_core.reconstruct.types import Mask, Posed, Rgb, View
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class RgbdLiftOptions:
    """How depth, masks and the table of one RGB-D picture are taken."""

    outline_px: int = 3
    """Pixels this near to a mask's outline may be mixed, in colour and in depth, with what lies behind."""
    jump_ratio: float = 0.25
    """Of an outline pixel's depth against what is next to it, in the entity's longest extents, from which it is not its
    own."""
    least_known_share: float = 0.5
    """Of an entity's pixels that must have a depth."""
    ring_width_ratio: float = 1.0
    """Width of the ring round an entity in which its table is looked for, and how far its depth may be from the
    entity's, in square roots of the entity's area."""
    least_ring_points: int = 200
    """Fewer say nothing of a plane: the whole picture is taken."""
    most_ring_points: int = 20_000
    """Drawn at random where there are more: seconds."""
    plane_distance_ratios: tuple[float, ...] = (3e-3, 2e-3, 1.5e-3, 1e-3, 1e-3)
    """Of the distance: how far from the plane its points may be, fit after fit; depth cameras are about as exact as the
    last."""
    most_bind_steps: int = 40
    """Of the bound fit: one picture says no more."""
    hidden_margin_px: int = 4
    """Round the entities, filled with them: masks are not exact to the pixel."""
    on_plane_ratio: float = 0.02
    """Share of its distance by which a point may be off the plane and still be on it."""
    face_overlap: float = 1.2
    """How wide the Gaussian of an unseen face is, in edges of it: no gaps between them."""
    most_stretch: float = 40.0
    """Of the background's Gaussians: at the horizon they are long and flat."""
    unit: DepthUnitOptions = DepthUnitOptions()
    """When depth counts as in another unit."""
    assembly: AssemblyOptions = AssemblyOptions()
    """Numbers of particles."""
    bind: BindOptions = BindOptions()
    """Gaussians onto particles."""


def lift_rgbd(
    config: SceneConfig, view: ViewInput, *, settings: ViewsSettings, up: F64 | None = None,
    progress: Progress = no_progress, options: RgbdLiftOptions = RgbdLiftOptions(),
) -> Scene:  # fmt: skip
    """A scene from one picture with depth; intrinsics as given, or from config.camera.hfov_deg. up (3,): a recording's
    IMU's, in the camera's axes.

    Raises:
        ReconstructError: INVALID_IMAGE (an entity without depth), INVALID_PROMPT, RECONSTRUCT_FAILED.
    """
    began = time.perf_counter()
    progress("masks", 0.05)
    posed = single_view(view, settings, hfov_deg=config.camera.hfov_deg)
    first = posed.views[0]
    found = prompted_masks(first.image, config.entities, settings, scale=first.camera.width / view.image.shape[1])
    masks = [_own(first, m & ~first.unseen, options) for m in found]
    progress("plane", 0.3)
    table = config.has_table
    if table:
        posed, standing = to_world_frame(_around(posed, masks, config, options), settings, metric=True)
    else:
        own = np.ones(len(posed.points), bool)
        given = view.viewmat is not None
        posed, standing = to_level_frame(posed, config, given=given, metric=True, own=own, imu_up=up)
    seen = posed.views[0]
    camera = seen.camera
    if table and settings.depth_scale == 0 and view.viewmat is None:
        check_height(float(camera.centre[2]), config.camera.height_m, "camera.height_m", options=options.unit)
    progress("solids", 0.4)
    solids, skins = [], []
    for entity, mask in zip(config.entities, masks):
        front = _front(seen, mask, entity.name, options)
        upright = table and not entity.above and entity.shape == "inflate"
        back = back_depth(front, mask, camera, depth_ratio=entity.depth_ratio, standing=upright)
        solids.append(
            tsdf_between(camera, mask, front, back, voxels=settings.voxels, name=entity.name, floor=table)
        )
        skins.append(_skin(seen.image, front, mask, camera, solids[-1], options))
    progress("background", 0.6)
    union = np.any(masks, axis=0)
    background = _background(seen, union, options)
    bodies = measure(config, [s.mesh for s in solids], options=options.assembly)
    bound = [
        bind_to_particles(s, skin, e, volume_m3=b.volume_m3, count=b.count, options=options.bind)
        for s, skin, e, b in zip(solids, skins, config.entities, bodies)
    ]
    scene = assemble(config, bodies, bound, background)
    binding, foreground = fit_bound(
        [seen], {seen.name: union}, scene.rest, scene.binding, scene.foreground, background,
        steps=min(settings.bind_steps, options.most_bind_steps), progress=subrange(progress, 0.7, 0.99),
        options=options.bind,
    )  # fmt: skip
    progress("done", 1.0)
    scene = replace(scene, binding=binding, foreground=foreground, cameras=(replace(camera, name="photo"),))
    if table:
        standing = standing | {"points": "depth around what stands on it"}
    else:
        scene, standing = settled(scene, standing, camera)
    told = {"doubts": falling} if (falling := level_doubts(config)) else {}
    return replace(
        scene, provenance={
            "method": "RGB-D lift", "plane": standing, **told,
            "working_size_px": [camera.width, camera.height], "seconds": round(time.perf_counter() - began, 2),
        },
    )  # fmt: skip


def _own(seen: View, mask: Mask, options: RgbdLiftOptions) -> Mask:
    """Without pixels that see past the entity: at its outline and far behind what is next to them, or further from its
    middle than it is wide. A single one at the wall's distance would make the entity as deep as the room."""
    depth = seen.depth
    assert depth is not None
    known = mask & (depth > 0)
    if not known.any():
        return mask
    y, x = np.nonzero(mask)
    middle = float(np.median(depth[known]))
    reach = max(np.ptp(y), np.ptp(x)) * middle / seen.camera.K[0, 0]
    inner = ndimage.binary_erosion(mask, iterations=options.outline_px) & known & (np.abs(depth - middle) < reach)
    if not inner.any():
        return mask
    next_to = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    jump = np.abs(depth - depth[tuple(next_to)]) > options.jump_ratio * reach
    return np.asarray(mask & ~(known & ~inner & jump))


def _around(posed: Posed, masks: list[Mask], config: SceneConfig, options: RgbdLiftOptions) -> Posed:
    """With the points of what the standing entities stand on alone: those of a ring round each of them."""
    seen = posed.views[0]
    assert seen.depth is not None
    stand = [m for m, e in zip(masks, config.entities) if not e.above] or masks
    away = ndimage.distance_transform_edt(~np.any(masks, axis=0))
    ring = np.zeros(away.shape, bool)
    for m in stand:
        wide = options.ring_width_ratio * np.sqrt(m.sum())
        far = np.abs(seen.depth - np.median(seen.depth[m])) > wide * seen.depth / seen.camera.K[0, 0]
        ring |= (ndimage.distance_transform_edt(~m) < wide) & ~far
    y, x = np.nonzero(ring & (away > options.outline_px) & (seen.depth > 0))
    if len(y) < options.least_ring_points:
        return posed
    pick = np.random.default_rng(0).permutation(len(y))[: options.most_ring_points]
    y, x = y[pick], x[pick]
    pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
    points = seen.camera.unproject(pixel, seen.depth[y, x].astype(np.float64))
    found = find_plane(points, seen.camera.centre[None], ups=-seen.camera.viewmat[1:2, :3])
    normal, offset = found.normal, found.offset
    for off in options.plane_distance_ratios:
        on = np.abs(points @ normal - offset) < off * np.median(seen.depth[ring])
        if on.sum() < options.least_ring_points:
            break
        middle = points[on].mean(0)
        fitted = np.linalg.svd(points[on] - middle, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(middle @ normal)
    on = np.abs(points @ normal - offset) < options.plane_distance_ratios[-1] * np.median(seen.depth[ring])
    if on.sum() >= options.least_ring_points:
        points, y, x = points[on], y[on], x[on]
    return replace(posed, points=points, colors=seen.image[y, x] / 255, seen={seen.name: np.arange(len(y))})


def _front(seen: View, mask: Mask, name: str, options: RgbdLiftOptions) -> F64:
    """Depth [m] (H, W) of the visible side in the mask, nan outside; where it is unknown, the nearest pixel's.

    Raises:
        ReconstructError (INVALID_IMAGE): too few of its pixels have a depth.
    """
    assert seen.depth is not None
    known = mask & (seen.depth > 0)
    if known.sum() < options.least_known_share * mask.sum():
        raise ReconstructError(
            f"entity '{name}': only {100 * known.sum() / mask.sum():.0f} % of its pixels have a depth",
            code=ErrorCode.INVALID_IMAGE,
        )
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(mask, seen.depth[tuple(nearest)], np.nan).astype(np.float64)


def _skin(
    image: Rgb, front: F64, mask: Mask, camera: Camera, solid: TsdfMesh, options: RgbdLiftOptions
) -> Gaussians:
    """A Gaussian a pixel on the front, and one a face of the mesh elsewhere, coloured as what lies before it."""
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
    # The outline's pixels are mixed with what lies behind.
    inner = ndimage.binary_erosion(mask, iterations=options.outline_px)
    if inner.any():
        rows, columns = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
        y, x = rows[y, x], columns[y, x]
    t = tri[away]
    a, b = (options.face_overlap * (t[:, i] - t[:, 0]) for i in (1, 2))
    hidden = surface_gaussians(t.mean(1), a, b, image[y, x] / 255.0)
    return Gaussians.concatenate([seen, hidden])


def _background(seen: View, union: Mask, options: RgbdLiftOptions) -> Gaussians:
    """One Gaussian a pixel at its depth; under the entities and where there is none, as `fill_hidden_depth` says."""
    camera = seen.camera
    assert seen.depth is not None
    wide = ndimage.binary_dilation(union, iterations=options.hidden_margin_px)
    wide |= seen.unseen
    filled = fill_texture(seen.image.astype(np.float32), wide, ~wide)
    rays = camera.rays(pixel_centres(camera.height, camera.width))
    down = rays[..., 2] < -1e-6
    plane = np.where(down, -camera.centre[2] / np.minimum(rays[..., 2], -1e-9), np.inf)
    depth = fill_hidden_depth(seen.depth.astype(np.float64), wide | (seen.depth <= 0), plane, options=options)
    grid = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    a, d = (np.nan_to_num(s).reshape(-1, 3) for s in steps_of(grid))
    use = (np.linalg.norm(a, axis=-1) > 0) & (np.linalg.norm(d, axis=-1) > 0)
    return surface_gaussians(grid.reshape(-1, 3)[use], a[use], d[use], filled.reshape(-1, 3)[use] / 255.0,
                             max_stretch=options.most_stretch)  # fmt: skip


def fill_hidden_depth(
    depth: F64, hole: Mask, plane: F64, *, options: RgbdLiftOptions = RgbdLiftOptions()
) -> F64:
    """Depth [m] (H, W) with the hole filled: row by row on the plane where the hole's ends are on it, else between its
    ends. The plane ends somewhere behind a thing, and what stands there goes on behind it."""
    out = depth.copy()
    far = float(depth[~hole].max()) if (~hole).any() else float(np.min(plane))
    for y in np.flatnonzero(hole.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hole[y].astype(int), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            ends = [x for x in (a - 1, b) if 0 <= x < hole.shape[1]]
            level = [abs(depth[y, x] - plane[y, x]) < options.on_plane_ratio * depth[y, x] for x in ends]
            if not ends or all(level):
                out[y, a:b] = np.minimum(plane[y, a:b], far)
            else:
                at = [x for x, on in zip(ends, level) if not on]
                out[y, a:b] = np.interp(np.arange(a, b), at, depth[y, at])
    return out
