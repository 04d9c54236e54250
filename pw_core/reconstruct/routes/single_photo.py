"""One photo to a scene: the embedded default that needs neither weights nor a GPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig, SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Binding, Camera, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.background.lift import background_gaussians, fill, hidden_region, on_table
from pw_core.reconstruct.image import check_photo, load_photo, working_size
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.reconstruct.splatting.single_view import fit_colors
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import Solid, make_solid, pixel_centres
from pw_core.reconstruct.surface.particles import RIGID_PARTICLES, bind, cover, sample_inside
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Particles, Scene

if TYPE_CHECKING:
    from pw_core.reconstruct.providers.align import Aligned

RIM_STEP_PX = 3.0
MIXED_PX = 2.0
"""This near to the outline, pixels are mixed with what lies behind."""


def reconstruct(
    config: SceneConfig, *, photo: NDArray[np.uint8] | None = None, progress: Progress | None = None
) -> Scene:
    """Lift one photo into a metric scene.

    Args:
        config: the scene; its `photo` is read unless `photo` is given.
        photo: RGB or grey pixels (H, W[, 3]), 8 or 16 bit.
        progress: called with stage and fraction; what it raises ends the work with nothing kept.

    Raises:
        ReconstructError: INVALID_IMAGE, INVALID_PROMPT, RECONSTRUCT_FAILED; the message says what would be right.
    """
    import trimesh

    progress = progress or (lambda stage, fraction: None)
    began = time.perf_counter()
    progress("reading", 0.0)
    if photo is None and not config.photo:
        raise ReconstructError(f"scene '{config.name}' names no photo", code=ErrorCode.INVALID_IMAGE)
    original = load_photo(Path(config.photo)) if photo is None else check_photo(photo)
    pixels = working_size(original, config.reconstruct.width_px)
    height, width = pixels.shape[:2]
    camera = Camera.above_table(
        height_m=config.camera.height_m, pitch_deg=config.camera.pitch_deg, hfov_deg=config.camera.hfov_deg,
        width=width, height=height, name="photo",
    )  # fmt: skip
    progress("masks", 0.05)
    masks = _masks(pixels, config, scale=width / original.shape[1])
    hidden = hidden_region(masks, [not e.above for e in config.entities])
    depth = None
    if config.reconstruct.depth.provider:
        table = ~hidden & on_table(config, camera)
        depth = _depth(pixels, table, config, camera, lambda s, f: progress(s, 0.1 + 0.15 * f))
    progress("solids", 0.25)
    solids = _solids(masks, config, camera, None if depth is None else depth.depth)
    progress("background", 0.4)
    filled = fill(pixels, hidden, on_table(config, camera), camera)
    background, background_pixels = background_gaussians(filled, config, camera)
    progress("particles", 0.5)
    share = _counts(config, [float(trimesh.Trimesh(s.mesh.vertices, s.mesh.faces).volume) for s in solids])
    entities: list[Entity] = []
    points: list[F64] = []
    fronts: list[Gaussians] = []
    bindings: list[tuple[Any, ...]] = []
    sources: list[NDArray[np.int64]] = []
    outlines: list[Mask] = []
    for i, (entity, solid) in enumerate(zip(config.entities, solids)):
        mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
        inside = sample_inside(solid, camera, volume_m3=float(mesh.volume), count=share[i], name=entity.name)
        gaussians, pixel, outline = _skin(solid, pixels, camera)
        positions = cover(inside, gaussians.means.astype(np.float64))
        index, weights, raw = bind(positions, inside.spacing_m, gaussians, entity)
        j, n = sum(map(len, points)), sum(map(len, fronts))
        bindings.append((index + j, weights, raw, np.full(len(raw), inside.spacing_m)))
        points.append(positions)
        fronts.append(gaussians)
        sources.append(pixel)
        outlines.append(outline)
        entities.append(Entity(
            name=entity.name, id=i, kind=entity.kind, material=entity.material, mesh=solid.mesh,
            origin=np.asarray(mesh.center_mass), volume_m3=float(mesh.volume),
            particle_size_m=float((mesh.volume / len(positions)) ** (1 / 3)),
            particles=slice(j, j + len(positions)), gaussians=slice(n, n + len(gaussians)),
        ))  # fmt: skip
    index, weights, raw, delta = (np.concatenate(x) for x in zip(*bindings))
    binding = Binding(index.astype(np.int64), *(x.astype(np.float32) for x in (weights, raw, delta)))
    rest = np.concatenate(points).astype(np.float32)
    foreground = Gaussians.concatenate(fronts)
    foreground = Gaussians(
        rest[binding.index[:, 0]] + binding.offsets(), foreground.quats, foreground.log_scales, foreground.opacities,
        foreground.sh,
    )  # fmt: skip
    progress("fitting", 0.6)
    # What the entities hide keeps its filled colour: the photo says nothing of it.
    free = np.where((background_pixels >= 0) & ~hidden.reshape(-1)[background_pixels], background_pixels, -1)
    foreground, background, psnr = fit_colors(
        foreground, np.concatenate(sources), background, free, pixels, camera,
        outline=np.concatenate(outlines), behind=filled, iterations=config.reconstruct.fit_iterations,
        progress=lambda f: progress("fitting", 0.6 + 0.39 * f),
    )  # fmt: skip
    progress("done", 1.0)
    return Scene(
        id=config.name, config=config, entities=tuple(entities), particles=Particles.at_rest(rest),
        entity_ids=np.concatenate([np.full(len(p), i, np.int32) for i, p in enumerate(points)]),
        foreground=foreground, binding=binding, background=background, cameras=(camera,),
        provenance={
            "method": "photo lift", "photo": Path(config.photo).name, "photo_size_px": list(original.shape[1::-1]),
            "working_size_px": [width, height], "psnr_db": round(psnr, 2),
            "depth": None if depth is None else {"provider": config.reconstruct.depth.provider, **depth.report},
            "seconds": round(time.perf_counter() - began, 2),
        },
    )  # fmt: skip


def _masks(pixels: Rgb, config: SceneConfig, *, scale: float) -> list[Mask]:
    views = config.reconstruct.views
    if views.masks == "grabcut":
        return [segment(pixels, e, scale=scale) for e in config.entities]
    from pw_core.reconstruct.segmentation.sam import segment_all
    from pw_core.reconstruct.splatting.draw import choose_device

    return segment_all(pixels, config.entities, views.sam2, scale=scale, device=choose_device(views))


def _depth(pixels: Rgb, table: Mask, config: SceneConfig, camera: Camera, progress: Progress) -> Aligned:
    """What the configured provider makes of the photo, in metres."""
    import tempfile

    from pw_core.reconstruct.providers.align import align
    from pw_core.reconstruct.providers.base import DEPTH_GROUP, load_provider

    provider = load_provider(config.reconstruct.depth, DEPTH_GROUP)
    with tempfile.TemporaryDirectory(prefix="pw_depth_") as folder:
        guess = provider.depth(pixels, folder=Path(folder), progress=progress)
    return align(guess, camera, table)


def _solids(
    masks: list[Mask], config: SceneConfig, camera: Camera, depth: F64 | None = None
) -> list[Solid]:
    """Standing ones first: a hanging one is at the distance of what it hangs above. Their visible side is that of the
    depth map [m] (H, W), if there is one."""
    done: dict[str, Solid] = {}
    for mask, entity in sorted(zip(masks, config.entities), key=lambda pair: bool(pair[1].above)):
        mid = done[entity.above].mid_m if entity.above in done else None
        if mid is None and entity.diameter_m > 0:
            mid = _distance(mask, entity, camera)
        done[entity.name] = make_solid(mask, entity, camera, mid_m=mid)
        if depth is not None:
            from pw_core.reconstruct.providers.align import with_front

            done[entity.name] = with_front(done[entity.name], depth, camera, standing=mid is None, name=entity.name)
    return [done[e.name] for e in config.entities]


def _distance(mask: Mask, entity: EntityConfig, camera: Camera) -> float:
    """x [m] of the plane where the silhouette's widest inscribed circle has the entity's diameter."""
    from scipy import ndimage

    diameter_px = 2 * float(ndimage.distance_transform_edt(mask).max())
    depth = entity.diameter_m * camera.K[0, 0] / diameter_px
    centre = np.argwhere(mask).mean(0)[::-1] + 0.5
    return float(depth * camera.rays(centre)[0])


def _counts(config: SceneConfig, volumes: list[float]) -> list[int]:
    """Particles of each entity: deformables share the config's number by volume, so that all are of one size."""
    soft = sum(v for v, e in zip(volumes, config.entities) if e.kind == "deformable")
    return [
        max(100, round(config.simulation.particles * v / soft)) if e.kind == "deformable" else RIGID_PARTICLES
        for v, e in zip(volumes, config.entities)
    ]


def _skin(solid: Solid, pixels: Rgb, camera: Camera) -> tuple[Gaussians, NDArray[np.int64], Mask]:
    """Front Gaussians, one a pixel, and back ones, one in four; the source pixel of each, -1 at the back; which of them
    lie at the outline, mixed with what is behind.

    The back has the front's colours at the same pixels, blurred: what is behind is unknown, and this keeps it alike
    without copying highlights and prints.
    """
    import cv2
    from scipy import ndimage

    height, width = solid.mask.shape
    centres = pixel_centres(height, width)
    grid = camera.unproject(centres, solid.front)
    across, down = (np.nan_to_num(s) for s in steps_of(grid))
    mask = solid.mask & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(solid.mask, 1)))[1:-1, 1:-1]
    inner = distance > MIXED_PX
    if inner.sum() < 0.5 * solid.mask.sum():  # too thin to spare its outline
        inner = solid.mask
    # A pixel at the outline is mixed with what lies behind, and a turned view would show a line of it in the midst of
    # the thing: it takes the colour of the nearest further in.
    y, x = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    own = pixels[y, x]
    front = surface_gaussians(grid[mask], across[mask], down[mask], own[mask] / 255.0)
    blurred = cv2.GaussianBlur(pixels.astype(np.float32) * inner[..., None], (0, 0), 5)
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), 5)[..., None]
    color = np.where(weight > 1e-3, blurred / np.maximum(weight, 1e-3), own) / 255.0
    half = np.zeros_like(mask)
    half[::2, ::2] = True
    grid = camera.unproject(centres, solid.back)
    across, down = (2 * np.nan_to_num(s) for s in steps_of(grid))
    behind = inner & half & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    back = surface_gaussians(grid[behind], across[behind], down[behind], color[behind])
    rim = _rim(solid, inner, color, camera)
    rest = int(behind.sum()) + len(rim)
    source = np.concatenate([np.flatnonzero(mask.reshape(-1)), np.full(rest, -1)])
    outline = np.concatenate([~inner[mask], np.zeros(rest, bool)])
    return Gaussians.concatenate([front, back, rim]), source, outline


def _rim(solid: Solid, inner: Mask, color: NDArray[np.floating], camera: Camera) -> Gaussians:
    """Gaussians between front and back along the outline of `inner`: the two sheets do not quite meet there, and a
    turned view would look in between."""
    from scipy import ndimage

    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inner, 1)))[1:-1, 1:-1]
    rows, columns = np.nonzero(inner & (distance < 1.5))
    front, back = solid.front[rows, columns], solid.back[rows, columns]
    pixel_m = front / camera.K[0, 0]
    count = np.ceil((back - front) / (RIM_STEP_PX * pixel_m)).astype(int)
    which = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    depth = front[which] + (step + 0.5) / np.maximum(count[which], 1) * (back - front)[which]
    centre = np.stack([columns, rows], axis=1).astype(np.float64)[which] + 0.5
    # The outline's direction is across the gradient of the distance to it.
    slope: F64 = np.stack(np.gradient(ndimage.gaussian_filter(distance, 1.0))[::-1], axis=-1)[rows, columns][which]
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    tangent: F64 = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
    points = camera.unproject(centre, depth)
    along = camera.unproject(centre + 0.75 * tangent, depth) - camera.unproject(centre - 0.75 * tangent, depth)
    inwards = camera.rays(centre) * (1.5 * RIM_STEP_PX * pixel_m[which])[:, None]
    return surface_gaussians(points, along, inwards, color[rows[which], columns[which]])
