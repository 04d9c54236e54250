"""One photo to a scene: the embedded default that needs neither weights nor a GPU."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig, SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.progress import Progress, no_progress, subrange
from pw_core.reconstruct.background.checks.wall_distance import wall_distance_doubts
from pw_core.reconstruct.background.contact import ContactOptions, contact_shade
from pw_core.reconstruct.background.lift import (
    BackgroundOptions,
    HiddenOptions,
    background_gaussians,
    fill,
    hidden_region,
    seam,
    tinted_region,
)
from pw_core.reconstruct.background.lifted import Backdrop, Lit, kept_at
from pw_core.reconstruct.background.light import LightOptions, estimate_light
from pw_core.reconstruct.background.planes import backdrop_x
from pw_core.reconstruct.background.residual import ResidualOptions, unlit, with_residual, without_table
from pw_core.reconstruct.background.table import TableOptions, on_table, touching
from pw_core.reconstruct.binding.assemble import AssemblyOptions, assemble, measure
from pw_core.reconstruct.binding.photo_skin import SkinOptions, bound_skin, photo_skin
from pw_core.reconstruct.ground.edge_lean import edge_lean_doubts
from pw_core.reconstruct.ground.lens import lens_doubts
from pw_core.reconstruct.ground.level import camera_by_up, distance_of, level_doubts
from pw_core.reconstruct.ground.metre import check_above_table, depth_by_diameter
from pw_core.reconstruct.ground.table_edge import standing_doubts, table_edge_doubts
from pw_core.reconstruct.image import check_photo, noise_doubts, working_size, working_valid
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.providers.align import Aligned, AlignOptions, align, with_front
from pw_core.reconstruct.providers.types import DEPTH, load_provider
from pw_core.reconstruct.report.photo_page import PhotoStages, write_photo_report
from pw_core.reconstruct.routes.photo_clutter import Clutter, stand_up
from pw_core.reconstruct.segmentation.checks.doubts import mask_doubts, size_doubts
from pw_core.reconstruct.segmentation.checks.missing import missing_doubts
from pw_core.reconstruct.segmentation.checks.prompt_doubts import check_apart
from pw_core.reconstruct.segmentation.clutter import ClutterOptions
from pw_core.reconstruct.segmentation.fine_parts import FinePartOptions, FineParts, fine_parts
from pw_core.reconstruct.segmentation.second_look import photo_masks
from pw_core.reconstruct.splatting.single_view import PhotoFitOptions, fit_colors, fit_hidden
from pw_core.reconstruct.surface.inflate import Solid, make_solid
from pw_core.reconstruct.types import Mask, Rgb, View
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class PhotoLiftOptions:
    """The stages of a lift."""

    hidden: HiddenOptions = HiddenOptions()
    """What the entities hide."""
    least_table_share: float = 0.02
    """Of the table in the photo that must be seen for the rest of it to be filled like it: less is a cut-out's rim."""
    light: LightOptions = LightOptions()
    """Which light the table is in."""
    contact: ContactOptions = ContactOptions()
    """Which shade at a foot is the thing's where no lamp is told."""
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
    clutter: ClutterOptions = ClutterOptions()
    """What else stands on the table."""
    clutter_outline_px: int = 5
    """Diameter by which its masks are widened: what is behind is not known there."""
    fine: FinePartOptions = FinePartOptions()
    """What is finer than a mask."""
    skin: SkinOptions = SkinOptions()
    """The entities' Gaussians."""
    fit: PhotoFitOptions = PhotoFitOptions()
    """Their colours."""


CUT_OUT = (
    "the photo shows nothing round the entities (alpha hides it): table and backdrop are plain grey; give a photo with "
    "its background"
)


@dataclass(frozen=True)
class _Cut:
    """Each entity's mask (H, W), its fine parts, if it has any, and the two together; what is to be filled (H, W), what
    of the photo was not seen, and what is doubtful of that; what else stands there, and what that hides (H, W)."""

    masks: list[Mask]
    fine: list[FineParts | None]
    wholes: list[Mask]
    hidden: Mask
    unseen: Mask
    doubts: list[str]
    clutter: Clutter
    others: Mask


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
    cut = _masks(config, seen, table, scale, options)
    masks, hidden, unseen, clutter = cut.masks, cut.hidden | cut.others, cut.unseen, cut.clutter
    depth = None
    if config.reconstruct.depth.provider:
        depth = _depth(pixels, ~hidden & table, config, camera, subrange(progress, 0.1, 0.25), options.align)
    progress("solids", 0.25)
    solids = _solids(masks, config, camera, None if depth is None else depth.depth, options.align)
    progress("particles", 0.35)
    bodies = measure(config, [s.mesh for s in solids], options=options.assembly)
    skins = [photo_skin(s, pixels, camera, fine=f, options=options.skin) for s, f in zip(solids, cut.fine)]
    bound = [bound_skin(e, s, b, k, camera) for e, s, b, k in zip(config.entities, solids, bodies, skins)]
    progress("background", 0.45)
    nothing = skins[0].gaussians[:0]
    things = assemble(config, bodies, bound, nothing)
    lit, filled, mute = _behind(seen, cut, table, things, config, options)
    covered = np.any([*cut.wholes, *clutter.masks], axis=0)
    background, free = _background(filled, mute, covered, table, solids, config, camera, options)
    scene = replace(things, background=background, light=lit.light if config.has_table else None)
    progress("fitting", 0.6)
    own_pixels, outline = clutter.pixels(skins)
    shown, background, psnr = fit_colors(
        clutter.added_to(scene.foreground), own_pixels, background, free,
        np.where(unseen[..., None], filled, pixels), camera,
        outline=outline, hidden_colors=filled,
        kept=lit.kept, seam=seam(table, options=options.background),
        iterations=config.reconstruct.fit_iterations,
        progress=lambda f: progress("fitting", 0.6 + 0.39 * f),
        options=options.fit,
    )  # fmt: skip
    foreground, stays = shown[: len(scene.foreground)], shown[len(scene.foreground) :]
    scene = replace(
        scene, foreground=foreground, background=Gaussians.concatenate([stays, background]), cameras=(camera,),
        provenance={
            "method": "photo lift", "photo": view.name, "photo_size_px": list(original.shape[1::-1]),
            "working_size_px": [width, height], "psnr_db": round(psnr, 2),
            "depth": None if depth is None else {"provider": config.reconstruct.depth.provider, **depth.report},
            "clutter": [list(box) for box in clutter.boxes],
            "doubts": lens_doubts(config.camera.hfov_deg, exif_focal_px=view.focal_px, width_px=original.shape[1])
            + _doubts(seen, cut, table, scene, scale, options),
            "seconds": round(time.perf_counter() - began, 2),
        },
    )  # fmt: skip
    if folder is not None:
        stages = PhotoStages(view=seen, scale=scale, masks=tuple(masks), clutter=clutter.masks, hidden=hidden,
                             bright=lit.pixels if lit.light.casts else None, filled=filled)  # fmt: skip
        write_photo_report(folder, scene, stages)
    progress("done", 1.0)
    return scene


def _background(
    filled: Rgb, mute: Mask, covered: Mask, table: Mask, solids: list[Solid], config: SceneConfig, camera: Camera,
    options: PhotoLiftOptions,
) -> tuple[Gaussians, NDArray[np.int64]]:  # fmt: skip
    """Gaussians (N) of the filled photo (H, W, 3), and the pixels (N,) whose colours they are to take: -1 where the
    photo is `mute` (H, W) about them, as where something is `covered` (H, W)."""
    out, pixels = background_gaussians(
        filled, config, camera, wall_m=_wall(config, solids), options=options.background
    )  # fmt: skip

    def at(where: Mask) -> NDArray[np.int64]:
        return np.where((pixels >= 0) & where.reshape(-1)[pixels], pixels, -1)

    # Beside the things, where the photo is near, what is made up stays soft; and where table and backdrop meet.
    under = mute & covered & ~seam(table, options=options.background)
    return fit_hidden(out, at(under), filled, camera, options=options.fit), at(~mute)


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
    seen: View, cut: _Cut, table: Mask, things: Scene, config: SceneConfig, options: PhotoLiftOptions
) -> tuple[Lit, Rgb, Mask]:  # fmt: skip
    """The light; the photo (H, W, 3) without things and shadows; and where (H, W) the photo says nothing of that."""
    pixels, camera, unseen, nowhere = seen.image, seen.camera, cut.unseen | cut.others, [False] * len(cut.masks)
    own = hidden_region(cut.wholes, nowhere, options=options.hidden) | cut.unseen
    covered = own | cut.others
    if not config.has_table:
        filled = fill(pixels, covered, table, camera, options=options.table)
        return without_table(pixels, things.entities), filled, covered
    lit = estimate_light(
        pixels, covered, table, camera, things.rest, things.entities,
        backdrop=Backdrop(backdrop_x(config), config.table.backdrop_m > 0),
        options=options.light, table_options=options.table,
    )  # fmt: skip
    told = lit is not None
    if lit is not None:  # clutter stays where it is, and so do the shadows at its feet
        lit = replace(lit, deep=lit.deep & ~(touching(lit.deep, cut.others) & ~touching(lit.deep, own)))
    if lit is None:  # the contact shadows, wherever they may be, hide the table
        foot = cut.hidden & ~covered
        foot |= contact_shade(pixels, covered, table, camera, things.rest, things.entities, options=options.contact)
        lit = unlit(pixels, table, camera, things.rest, things.entities, foot, options=options.light)
    standing = [not e.above for e in config.entities]
    around = lit.deep | (table & tinted_region(cut.masks, standing, options=options.hidden))
    filled = fill(lit.pixels, covered | around, table, camera, options=options.table)
    narrow = replace(options.hidden, outline_px=options.hidden.mixed_px)
    clear = ~(hidden_region(cut.wholes, nowhere, options=narrow) | unseen)
    lit = with_residual(
        lit, pixels, filled, around & clear, table & clear, camera, things.rest, things.entities,
        wall=~table & clear, darker=not told, options=options.residual,
    )  # fmt: skip
    # Shadows fall behind the things' outlines too, through which the table is seen.
    lit = replace(lit, kept=kept_at(table, camera, things.rest, things.entities, lit.light, wall=~table)[0])
    # Without a light it cannot be told what of that is the thing's: what is brighter stays on the table.
    return lit, filled, covered | around if told else covered


def _masks(config: SceneConfig, seen: View, table: Mask, scale: float, options: PhotoLiftOptions) -> _Cut:
    """What is the entities', and what they hide."""
    found = photo_masks(seen.image, config.entities, config.reconstruct.views, scale=scale)
    unseen = seen.unseen
    masks = [m & ~unseen for m in found]
    doubts = check_apart(masks, config.entities)
    standing = [config.has_table and not e.above for e in config.entities]
    boxes = [np.array(e.prompt.box) * scale for e in config.entities]
    fine = fine_parts(seen.image, masks, boxes=boxes, options=options.fine)
    wholes = [m if f is None else m | f.fringe for m, f in zip(masks, fine)]
    hidden = hidden_region(masks, standing, options=options.hidden)
    hidden |= hidden_region(wholes, [False] * len(masks), options=options.hidden)
    clutter = stand_up(config, seen, table, wholes, scale, options=options.clutter, skin=options.skin)
    narrow = replace(options.hidden, outline_px=options.clutter_outline_px)
    others = hidden_region([clutter.union(table.shape)], [False], options=narrow)
    seen_of_it = (table & ~hidden & ~unseen).sum()
    if unseen.any() and config.has_table and seen_of_it < options.least_table_share * table.sum():
        # Plain grey stands there, which is as good as what nothing could fill it with.
        return _Cut(masks, fine, wholes, hidden, np.zeros_like(unseen), [*doubts, CUT_OUT], clutter, others)
    return _Cut(masks, fine, wholes, hidden | unseen, unseen, doubts, clutter, others)


def _doubts(
    seen: View, cut: _Cut, table: Mask, scene: Scene, scale: float, options: PhotoLiftOptions
) -> list[str]:  # fmt: skip
    """What looks wrong, each with a remedy."""
    config = scene.config
    out = noise_doubts(seen.image)
    out += [text for m, e in zip(cut.masks, config.entities) for text in mask_doubts(seen.image, m, e, scale=scale)]
    out += missing_doubts(seen.image, cut.masks, config.entities, scale=scale)
    if not config.has_table:
        return out + level_doubts(config) + cut.doubts
    of_camera = table_edge_doubts(seen.image, [*cut.masks, *cut.clutter.masks], seen.camera, config)
    told = [e for e in scene.entities if not any(f"'{e.name}'" in text for text in of_camera)]
    out += of_camera + edge_lean_doubts(seen.image, cut.masks) + standing_doubts(scene.rest, told, config)
    if scene.light is not None:
        covered = hidden_region(cut.wholes, [False] * len(cut.masks), options=options.hidden) | cut.unseen | cut.others
        out += wall_distance_doubts(seen.image, covered, table, seen.camera, scene.rest, scene.entities, scene.light,
                                    config.table)  # fmt: skip
    return out + size_doubts(scene.entities, config.camera.height_m) + cut.doubts


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
            if config.has_table and not entity.above:
                check_above_table(mask, entity, camera, mid)
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
