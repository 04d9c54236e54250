"""What stays of a lifted photo: mask, splats, meshes, camera, and a page with pictures of every stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pw_core.appearance import Appearance
from pw_core.files import remove
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.report.outcome import Outcome
from pw_core.reconstruct.report.page import summary, write_geometry
from pw_core.reconstruct.report.pictures import PictureOptions, in_colors, marked, prompted, shaded
from pw_core.reconstruct.report.sheet import Sheet
from pw_core.reconstruct.segmentation.stage import write_masks
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.types import Mask, Posed, Rgb, View
from pw_core.render.cameras import orbit
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class PhotoReportOptions:
    """What the page of a photo shows."""

    turned_deg: tuple[float, ...] = (-20.0, 20.0)
    """How far views are turned about the first entity [degrees]: what the photo does not show is a guess there."""
    difference_gain: float = 4.0
    """By which the difference to the photo is exaggerated."""
    columns: int = 3
    """Pictures in a row."""
    pictures: PictureOptions = PictureOptions()


@dataclass(frozen=True, kw_only=True)
class PhotoStages:
    """What the stages of a lift made of the photo.

    view: the photo at its working size, with its camera. scale: working pixels per pixel of the original. masks (H, W):
    of each entity; clutter (H, W): of what else stands on the table. bright (H, W, 3): the photo without shadows that
    the things cast, None where none were told. hidden (H, W): what counts as hidden by all these; filled (H, W, 3):
    with that filled.
    """

    view: View
    scale: float
    masks: tuple[Mask, ...]
    clutter: tuple[Mask, ...]
    bright: Rgb | None
    hidden: Mask
    filled: Rgb


def write_photo_report(
    folder: Path, scene: Scene, stages: PhotoStages, *, options: PhotoReportOptions = PhotoReportOptions()
) -> None:
    """masks/<entity>/<photo>.png, splats.ply, meshes/*.ply, poses and inputs, report.json, index.html, its pictures."""
    view, entities, pictures = stages.view, scene.config.entities, options.pictures
    for name in ("inputs", "masks", "meshes", "pictures", "poses"):
        remove(folder / name)  # of an earlier run
    whole = Gaussians.concatenate([scene.foreground, scene.background])
    nothing = np.zeros((0, 3))
    folder.mkdir(parents=True, exist_ok=True)
    write_geometry(folder, scene, Posed((view,), nothing, nothing, {}), whole)
    (folder / "masks").mkdir()
    for e, mask in zip(entities, stages.masks):
        write_masks(folder / "masks" / e.name, {Path(view.name).stem: mask})
    sheet, meshes = Sheet(folder), [e.mesh for e in scene.entities]
    row = "The photo, and what was taken for the things"
    asked = prompted(view.image, entities, scale=stages.scale, options=pictures)
    sheet.put(row, "prompts", asked, "boxes, points; crosses: negative points")
    sheet.put(row, "masks", marked(view.image, stages.masks, options=pictures), "masks")
    if stages.clutter:
        others = marked(view.image, stages.clutter, options=pictures)
        sheet.put(row, "clutter", others, "what else stands on the table, and stays there")
    cover = draw_gaussians(scene.foreground, view.camera).alpha[0].reshape(view.image.shape[:2]).numpy()
    sheet.put(
        row, "matte", np.repeat(255 * cover[..., None].clip(0, 1), 3, axis=2), "matte: how much of a pixel is theirs"
    )
    row = "Behind the things"
    if stages.bright is not None:
        sheet.put(row, "bright", stages.bright, "without the shadows that they cast")
    sheet.put(row, "hidden", marked(view.image, [stages.hidden], options=pictures), "what counts as hidden")
    sheet.put(row, "filled", stages.filled, "the same, filled")
    _draw(sheet, scene, view, options)
    sheet.put("Shape", "mesh", shaded(meshes, view.camera, view.image, options=pictures), "meshes")
    outcome = Outcome.of(scene)
    said = [*_things(scene), *summary(scene.provenance)]
    classes = {"doubtful": "doubtful", "looks like its photo": "good" if outcome.good else "doubtful"}
    sheet.finish(scene.id, scene.provenance, said, columns=options.columns, classes=classes)


def _draw(sheet: Sheet, scene: Scene, view: View, options: PhotoReportOptions) -> None:
    """The scene at the photo's camera, and turned."""
    look, start, camera = Appearance(scene), scene.initial_physics(), view.camera
    drawn = look.render(camera, start)
    row = "The scene, drawn"
    sheet.put(row, "front", drawn.rgb, "at the photo's camera")
    off = options.difference_gain * np.abs(drawn.rgb.astype(float) - view.image)
    sheet.put(row, "difference", off.clip(0, 255), f"what differs from the photo, {options.difference_gain:g} times")
    sheet.put("Shape", "depth", in_colors(drawn.depth, drawn.alpha > 0.5), "depth, red near, blue far")
    for degrees in options.turned_deg:
        turned = orbit(camera.viewmat, scene.entities[0].origin, [math.radians(degrees)])[0]
        rgb = look.render(camera.moved(turned, name="turned"), start).rgb
        sheet.put(row, f"turned_{degrees:+.0f}", rgb, f"turned by {degrees:+.0f}°")


def _things(scene: Scene) -> list[tuple[str, str]]:
    """Each entity's size and mass."""
    out = []
    for e in scene.entities:
        x, y, z = np.ptp(e.mesh.vertices, axis=0)
        text = f"{e.kind}, {e.material.model}, {100 * y:.1f} cm wide, {100 * x:.1f} deep, {100 * z:.1f} high, "
        out.append((e.name, text + f"{e.volume_m3 * 1e6:.0f} cm³, {e.mass_kg:.3g} kg"))
    return out
