"""One photo to a scene: the embedded default that needs neither weights nor a GPU."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig, SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.progress import Progress, no_progress, subrange
from pw_core.reconstruct.background.lift import (
    BackgroundOptions,
    HiddenOptions,
    background_gaussians,
    fill,
    hidden_region,
    on_table,
    seam,
    tinted_region,
)
from pw_core.reconstruct.background.light import LightOptions, Lit, estimate_light, kept_at
from pw_core.reconstruct.background.residual import ResidualOptions, unlit, with_residual, without_table
from pw_core.reconstruct.background.table import TableOptions
from pw_core.reconstruct.binding.assemble import AssemblyOptions, Body, assemble, measure
from pw_core.reconstruct.binding.bind import Bound
from pw_core.reconstruct.ground.level import camera_by_up, distance_of, falling_doubts
from pw_core.reconstruct.ground.metre import depth_by_diameter
from pw_core.reconstruct.ground.table_edge import table_edge_doubts
from pw_core.reconstruct.image import check_photo, working_size, working_valid
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.providers.align import Aligned, AlignOptions, align, with_front
from pw_core.reconstruct.providers.types import DEPTH, load_provider
from pw_core.reconstruct.report.photo_page import PhotoStages, write_photo_report
from pw_core.reconstruct.segmentation.doubts import mask_doubts, size_doubts
from pw_core.reconstruct.segmentation.second_look import photo_masks
from pw_core.reconstruct.splatting.single_view import PhotoFitOptions, fit_colors
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import Solid, make_solid, pixel_centres
from pw_core.reconstruct.surface.particles import bind, cover, sample_inside
from pw_core.reconstruct.types import Mask, Rgb, View
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class SkinOptions:
    """Gaussians on a lifted solid: a front seen in the photo, a back guessed from it, an outline between them."""

    mixed_px: float = 2.0
    """This near to the outline, pixels are mixed with what lies behind."""
    thin_middle: float = 0.6
    """Of half the width of what is thinner than four times that: further in, pixels are the least mixed there."""
    least_inner_share: float = 0.5
    """Of a mask: where less of it than this is off the outline, it is too thin to spare its outline."""
    back_blur_px: float = 5.0
    """Of the colours at the back: what is there is unknown, and highlights and prints are not copied."""
    back_step_px: int = 2
    """Between two Gaussians of the back."""
    outline_step_px: float = 3.0
    """Between two Gaussians from front to back."""
    outline_width_px: float = 1.5
    """Pixels this near to the edge have such Gaussians: the edge's own, diagonal neighbours included."""
    outline_smoothing_px: float = 1.0
    """Standard deviation of the blur of distances before their gradient says across the outline."""
    outline_overlap: float = 1.5
    """How long and deep they are, in steps: they overlap, or a turned view would look in between."""


@dataclass(frozen=True, kw_only=True)
class PhotoLiftOptions:
    """The stages of a lift."""

    hidden: HiddenOptions = HiddenOptions()
    """What the entities hide."""
    least_table_share: float = 0.02
    """Of the table in the photo that must be seen for the rest of it to be filled like it: less is a cut-out's rim."""
    light: LightOptions = LightOptions()
    """Which light the table is in."""
    residual: ResidualOptions = ResidualOptions()
    """What else of the photo goes with the things."""
    table: TableOptions = TableOptions()
    """How what is hidden of it is filled."""
    background: BackgroundOptions = BackgroundOptions()
    """The background's Gaussians."""
    align: AlignOptions = AlignOptions()
    """How a provider's depth is taken."""
    assembly: AssemblyOptions = AssemblyOptions()
    """Numbers of particles."""
    skin: SkinOptions = SkinOptions()
    """The entities' Gaussians."""
    fit: PhotoFitOptions = PhotoFitOptions()
    """Their colours."""


CUT_OUT = (
    "the photo shows nothing round the entities (alpha hides it): table and backdrop are plain grey; give a photo with "
    "its background"
)


@dataclass(frozen=True)
class _Skin:
    """Gaussians; the source pixel (row * width + column) of each, -1: none; which lie at the outline, mixed with what
    is behind."""

    gaussians: Gaussians
    pixels: NDArray[np.int64]
    outline: Mask


def lift_photo(
    config: SceneConfig, view: ViewInput, *, folder: Path | None = None, progress: Progress = no_progress,
    options: PhotoLiftOptions = PhotoLiftOptions(),
) -> Scene:  # fmt: skip
    """Lift one photo into a metric scene.

    Args:
        config: the scene; its camera and table say where the photo was taken.
        view: RGB or grey pixels (H, W[, 3]), 8 or 16 bit; the rest of it does not count.
        folder: where masks, splats and the report with pictures of every stage are left; None: nowhere.
        progress: called with stage and fraction; what it raises ends the work with nothing kept.

    Raises:
        ReconstructError: INVALID_IMAGE, INVALID_PROMPT, RECONSTRUCT_FAILED; the message says what would be right.
    """
    began = time.perf_counter()
    progress("reading", 0.0)
    original = check_photo(view.image)
    pixels = working_size(original, config.reconstruct.width_px)
    height, width = pixels.shape[:2]
    camera = _camera(config, width, height)
    progress("masks", 0.05)
    scale = width / original.shape[1]
    seen = View(view.name, pixels, camera, valid=working_valid(view.valid, (width, height)))
    table = on_table(config, camera)
    masks, hidden, unseen, doubts = _masks(config, seen, table, scale, options)
    depth = None
    if config.reconstruct.depth.provider:
        depth = _depth(pixels, ~hidden & table, config, camera, subrange(progress, 0.1, 0.25), options.align)
    progress("solids", 0.25)
    solids = _solids(masks, config, camera, None if depth is None else depth.depth, options.align)
    progress("particles", 0.35)
    bodies = measure(config, [s.mesh for s in solids], options=options.assembly)
    skins = [_skin(s, pixels, camera, options.skin) for s in solids]
    bound = [_bound(e, s, b, k.gaussians, camera) for e, s, b, k in zip(config.entities, solids, bodies, skins)]
    progress("background", 0.45)
    nothing = skins[0].gaussians[:0]
    things = assemble(config, bodies, bound, nothing)
    lit, filled, mute = _behind(seen, masks, hidden, unseen, table, things, config, options)
    background, background_pixels = background_gaussians(
        filled, config, camera, wall_m=_wall(config, solids), options=options.background
    )
    scene = replace(things, background=background, light=lit.light if config.has_table else None)
    progress("fitting", 0.6)
    # What the entities hide keeps its filled colour: the photo says nothing of it.
    free = np.where((background_pixels >= 0) & ~mute.reshape(-1)[background_pixels], background_pixels, -1)
    foreground, background, psnr = fit_colors(
        scene.foreground, np.concatenate([k.pixels for k in skins]), background, free,
        np.where(unseen[..., None], filled, pixels), camera,
        outline=np.concatenate([k.outline for k in skins]), hidden_colors=filled,
        kept=lit.kept, seam=seam(table, options=options.background),
        iterations=config.reconstruct.fit_iterations,
        progress=lambda f: progress("fitting", 0.6 + 0.39 * f),
        options=options.fit,
    )  # fmt: skip
    scene = replace(
        scene, foreground=foreground, background=background, cameras=(camera,),
        provenance={
            "method": "photo lift", "photo": view.name, "photo_size_px": list(original.shape[1::-1]),
            "working_size_px": [width, height], "psnr_db": round(psnr, 2),
            "depth": None if depth is None else {"provider": config.reconstruct.depth.provider, **depth.report},
            "doubts": _doubts(seen, masks, scene, scale) + doubts,
             "seconds": round(time.perf_counter() - began, 2),
        },
    )  # fmt: skip
    if folder is not None:
        stages = PhotoStages(view=seen, scale=scale, masks=tuple(masks), hidden=hidden,
                             bright=lit.pixels if lit.light.casts else None, filled=filled)  # fmt: skip
        write_photo_report(folder, scene, stages)
    progress("done", 1.0)
    return scene


def _camera(config: SceneConfig, width: int, height: int) -> Camera:
    """The photo's, as the scene file says."""
    if not config.has_table:
        return camera_by_up(config, width=width, height=height, name="photo")
    return Camera.above_table(
        height_m=config.camera.height_m, pitch_deg=config.camera.pitch_deg, hfov_deg=config.camera.hfov_deg,
        width=width, height=height, name="photo",
    )  # fmt: skip


def _wall(config: SceneConfig, solids: list[Solid]) -> float | None:
    """x [m] of the backdrop where there is no table: as far behind the things as the scene file says, or as they are
    large."""
    if config.has_table:
        return None
    corners = np.concatenate([s.mesh.vertices for s in solids])
    behind = config.table.backdrop_m or float(max(np.ptp(s.mesh.vertices, axis=0).max() for s in solids))
    return float(corners[:, 0].max()) + behind


def _behind(
    seen: View, masks: list[Mask], hidden: Mask, unseen: Mask, table: Mask, things: Scene, config: SceneConfig,
    options: PhotoLiftOptions,
) -> tuple[Lit, Rgb, Mask]:  # fmt: skip
    """The light; the photo (H, W, 3) without things and shadows; and where (H, W) the photo says nothing of that."""
    pixels, camera = seen.image, seen.camera
    covered = hidden_region(masks, [False] * len(masks), options=options.hidden) | unseen
    if not config.has_table:
        filled = fill(pixels, covered, table, camera, options=options.table)
        return without_table(pixels, things.entities), filled, covered
    lit = estimate_light(
        pixels, covered, table, camera, things.rest, things.entities, options=options.light, table_options=options.table
    )
    told = lit is not None
    if lit is None:  # the contact shadows, wherever they may be, hide the table
        foot = hidden & ~covered
        lit = unlit(pixels, table, camera, things.rest, things.entities, foot, options=options.light)
    around = lit.deep | (table & tinted_region(masks, [not e.above for e in config.entities], options=options.hidden))
    filled = fill(lit.pixels, covered | around, table, camera, options=options.table)
    narrow = replace(options.hidden, outline_px=options.hidden.mixed_px)
    clear = table & ~(hidden_region(masks, [False] * len(masks), options=narrow) | unseen)
    lit = with_residual(
        lit, pixels, filled, around & clear, clear, camera, things.rest, things.entities,
        darker=not told, options=options.residual,
    )  # fmt: skip
    # Shadows fall behind the things' outlines too, through which the table is seen.
    lit = replace(lit, kept=kept_at(table, camera, things.rest, things.entities, lit.light)[0])
    # Without a light it cannot be told what of that is the thing's: what is brighter stays on the table.
    return lit, filled, covered | around if told else covered


def _masks(
    config: SceneConfig, seen: View, table: Mask, scale: float, options: PhotoLiftOptions
) -> tuple[list[Mask], Mask, Mask, list[str]]:
    """The entities' masks, what is to be filled, what of it was not seen, and what is doubtful of that."""
    found = photo_masks(seen.image, config.entities, config.reconstruct.views, scale=scale)
    unseen = seen.unseen
    masks = [m & ~unseen for m in found]
    standing = [config.has_table and not e.above for e in config.entities]
    hidden = hidden_region(masks, standing, options=options.hidden)
    seen_of_it = (table & ~hidden & ~unseen).sum()
    if unseen.any() and config.has_table and seen_of_it < options.least_table_share * table.sum():
        # Plain grey stands there, which is as good as what nothing could fill it with.
        return masks, hidden, np.zeros_like(unseen), [CUT_OUT]
    return masks, hidden | unseen, unseen, []


def _doubts(seen: View, masks: list[Mask], scene: Scene, scale: float) -> list[str]:
    """What looks wrong, each with a remedy."""
    of_masks = [
        text for m, e in zip(masks, scene.config.entities) for text in mask_doubts(seen.image, m, e, scale=scale)
    ]  # fmt: skip
    if not scene.config.has_table:
        return of_masks + falling_doubts(scene.config)
    of_camera = table_edge_doubts(seen.image, masks, seen.camera, scene.config)
    return of_masks + of_camera + size_doubts(scene.entities, scene.config.camera.height_m)


def _depth(
    pixels: Rgb, table: Mask, config: SceneConfig, camera: Camera, progress: Progress, options: AlignOptions
) -> Aligned:
    """What the configured provider makes of the photo, in metres."""
    if not config.has_table:
        raise ReconstructError(
            "reconstruct.depth: a depth provider's metre is that of the table, and there is none (ground: none)",
            code=ErrorCode.INVALID_CONFIG,
        )
    provider = load_provider(config.reconstruct.depth, DEPTH)
    with tempfile.TemporaryDirectory(prefix="pw_depth_") as folder:
        guess = provider.depth(pixels, folder=Path(folder), progress=progress)
    return align(guess, camera, table, options=options)


def _solids(
    masks: list[Mask], config: SceneConfig, camera: Camera, depth: F64 | None, options: AlignOptions
) -> list[Solid]:
    """Standing ones first: a hanging one is at the distance of what it hangs above. Their visible side is that of the
    depth map [m] (H, W), if there is one."""
    done: dict[str, Solid] = {}
    for mask, entity in sorted(zip(masks, config.entities), key=lambda pair: bool(pair[1].above)):
        mid = done[entity.above].mid_m if entity.above in done else None
        if mid is None and entity.diameter_m > 0:
            mid = _distance(mask, entity, camera)
        if mid is None and (entity.distance_m > 0 or not config.has_table):
            mid = distance_of(config, entity.name)
        done[entity.name] = replace(make_solid(mask, entity, camera, mid_m=mid), floor=config.has_table)
        if depth is not None:
            done[entity.name] = with_front(
                done[entity.name], depth, camera, standing=mid is None, name=entity.name, options=options
            )
    return [done[e.name] for e in config.entities]


def _distance(mask: Mask, entity: EntityConfig, camera: Camera) -> float:
    """x [m] of the plane where the silhouette's widest inscribed circle has the entity's diameter."""
    centre = np.argwhere(mask).mean(0)[::-1] + 0.5
    return float(depth_by_diameter(mask, entity, camera) * camera.rays(centre)[0])


def _bound(entity: EntityConfig, solid: Solid, body: Body, skin: Gaussians, camera: Camera) -> Bound:
    inside = sample_inside(solid, camera, volume_m3=body.volume_m3, count=body.count, name=entity.name)
    positions = cover(inside, skin.means.astype(np.float64))
    return Bound(positions, inside.spacing_m, skin, *bind(positions, inside.spacing_m, skin, entity))


def _skin(solid: Solid, pixels: Rgb, camera: Camera, options: SkinOptions) -> _Skin:
    """Front Gaussians, one a pixel; back ones, one in four; and what closes the gap between them along the outline.

    The back has the front's colours at the same pixels, blurred: what is behind is unknown, and this keeps it alike
    without copying highlights and prints.
    """
    import cv2

    height, width = solid.mask.shape
    centres = pixel_centres(height, width)
    grid = camera.unproject(centres, solid.front)
    across, down = (np.nan_to_num(s) for s in steps_of(grid))
    mask = solid.mask & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(solid.mask, 1)))[1:-1, 1:-1]
    inner = _unmixed(distance, options)
    if inner.sum() < options.least_inner_share * solid.mask.sum():
        inner = solid.mask
    # A pixel at the outline is mixed with what lies behind, and a turned view would show a line of it in the midst of
    # the thing: it takes the colour of the nearest further in.
    y, x = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    own = pixels[y, x]
    front = surface_gaussians(grid[mask], across[mask], down[mask], own[mask] / 255.0)
    sigma = options.back_blur_px
    blurred = cv2.GaussianBlur(pixels.astype(np.float32) * inner[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), sigma)[..., None]
    color = np.where(weight > 1e-3, blurred / np.maximum(weight, 1e-3), own) / 255.0
    step = options.back_step_px
    sparse = np.zeros_like(mask)
    sparse[::step, ::step] = True
    grid = camera.unproject(centres, solid.back)
    across, down = (step * np.nan_to_num(s) for s in steps_of(grid))
    unseen = inner & sparse & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    back = surface_gaussians(grid[unseen], across[unseen], down[unseen], color[unseen])
    outline = _outline(solid, inner, color, camera, options)
    rest = len(back) + len(outline)
    source = np.concatenate([np.flatnonzero(mask.reshape(-1)), np.full(rest, -1)])
    mixed = np.concatenate([~inner[mask], np.zeros(rest, bool)])
    return _Skin(Gaussians.concatenate([front, back, outline]), source, mixed)


def _unmixed(distance: NDArray[np.floating], options: SkinOptions) -> Mask:
    """Pixels (H, W) so far [px] from the outline that they show the thing alone; the middle of what is thinner: a
    spoon's handle has its own colours, not those of the nearest wide part."""
    half = ndimage.maximum_filter(distance, 2 * round(options.mixed_px) + 1)
    thin = (half <= 2 * options.mixed_px) & (distance > options.thin_middle * half)
    return np.asarray((distance > options.mixed_px) | (thin & (distance > 1)))


def _outline(
    solid: Solid, inner: Mask, color: NDArray[np.floating], camera: Camera, options: SkinOptions
) -> Gaussians:
    """Gaussians between front and back along the outline of `inner`: the two do not quite meet there, and a turned view
    would look in between."""
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inner, 1)))[1:-1, 1:-1]
    rows, columns = np.nonzero(inner & (distance < options.outline_width_px))
    front, back = solid.front[rows, columns], solid.back[rows, columns]
    pixel_m = front / camera.K[0, 0]
    count = np.ceil((back - front) / (options.outline_step_px * pixel_m)).astype(int)
    which = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    depth = front[which] + (step + 0.5) / np.maximum(count[which], 1) * (back - front)[which]
    centre = np.stack([columns, rows], axis=1).astype(np.float64)[which] + 0.5
    # The outline's direction is across the gradient of the distance to it.
    smooth = ndimage.gaussian_filter(distance, options.outline_smoothing_px)
    slope: F64 = np.stack(np.gradient(smooth)[::-1], axis=-1)[rows, columns][which]
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    tangent: F64 = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
    half = options.outline_overlap / 2
    points = camera.unproject(centre, depth)
    along = camera.unproject(centre + half * tangent, depth) - camera.unproject(centre - half * tangent, depth)
    inwards = camera.rays(centre) * (options.outline_overlap * options.outline_step_px * pixel_m[which])[:, None]
    return surface_gaussians(points, along, inwards, color[rows[which], columns[which]])
