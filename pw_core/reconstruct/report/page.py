"""What stays in the folder: splats, mesh, poses, and a page with pictures of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.poses.sfm.colmap_io import write_colmap
from pw_core.reconstruct.report.outcome import OutcomeOptions
from pw_core.reconstruct.report.pictures import PictureOptions, marked, overview, shaded
from pw_core.reconstruct.report.sheet import Sheet
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.types import Masks, Posed
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the page shows."""

    views: int = 4
    """Of all, evenly spread."""
    pictures: PictureOptions = PictureOptions()


def write_report(
    folder: Path, scene: Scene, posed: Posed, masks: Masks, fitted: Gaussians, *,
    options: ReportOptions = ReportOptions(),
) -> None:  # fmt: skip
    """splats.ply, meshes/*.ply, poses and inputs, report.json, index.html and its pictures."""
    write_geometry(folder, scene, posed, fitted)
    sheet = Sheet(folder)
    count = min(options.views, len(posed.views))
    shown = [posed.views[i] for i in np.linspace(0, len(posed.views) - 1, count).astype(int)]
    meshes = [e.mesh for e in scene.entities]
    bound = Gaussians.concatenate([scene.foreground, scene.background])
    sets: dict[str, tuple[str, Gaussians]] = {
        "Fitted Gaussians": ("fitted", fitted),
        "Moved onto the particles, before the background": ("bound", bound),
        "Background, its hidden region filled": ("behind", scene.background),
    }  # fmt: skip
    held = scene.provenance.get("figures", {}).get("held_out", {}).get("views", [])
    for v in shown:
        named = v.name + (" (held out)" if v.name in held else "")
        sheet.put("Photos", "photo", v.image, named)
        own = [of[v.name] for of in masks.values()]
        sheet.put("Masks", "mask", marked(v.image, own, options=options.pictures), named)
        for title, (name, g) in sets.items():
            sheet.put(title, name, (draw_gaussians(g, v.camera).rgb[0].clamp(0, 1) * 255).numpy(), named)
        sheet.put("Meshes", "mesh", shaded(meshes, v.camera, v.image, options=options.pictures), named)
    from_above = sheet.write("map", overview(posed, meshes, options=options.pictures))
    sheet.finish(scene.id, scene.provenance, summary(scene.provenance), columns=len(shown), map_file=from_above)


def write_geometry(folder: Path, scene: Scene, posed: Posed, fitted: Gaussians) -> None:
    """splats.ply, meshes/*.ply, poses and inputs."""
    import trimesh

    from pw_core.render.ply import write_ply

    write_ply(folder / "splats.ply", fitted)
    write_colmap(folder, posed)
    (folder / "meshes").mkdir(exist_ok=True)
    for e in scene.entities:
        trimesh.Trimesh(e.mesh.vertices, e.mesh.faces).export(folder / "meshes" / f"{e.name}.ply")


def summary(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A scene's provenance in words: what, and how much. What is not in it is left out."""
    poses, plane, figures = (report.get(k, {}) for k in ("poses", "plane", "figures"))
    background = report.get("background", {})
    out: list[tuple[str, str]] = []

    def say(what: str, text: str, of: Mapping[str, Any], *needed: str) -> None:
        if all(k in of for k in needed):
            out.append((what, text.format(**{k: of[k] for k in needed})))

    if "registered" in poses:
        lost = poses.get("not_registered", [])
        text = f"{len(poses['registered'])} of {len(poses['registered']) + len(lost)}"
        out.append(("pictures placed", text + (f"; not: {', '.join(lost)}" if lost else "")))
    for what, key in (("left out", "left_out"), ("what was done to pictures", "notes")):
        if report.get("inputs", {}).get(key):
            out.append((what, "; ".join(report["inputs"][key])))
    say("poses", "{poses}", poses, "poses")
    say("points", "{points}, {reprojection_error_px:.2f} px off on average", poses, "points", "reprojection_error_px")
    say("plane", "{plane_inliers:.0%} of the points lie on it", plane, "plane_inliers")
    if "bears_the_entities" in plane:
        out.append(("the entities stand on it", "yes" if plane["bears_the_entities"] else "no: the plane is a guess"))
    say("metre", "{scale_from}", plane, "scale_from")
    say("fit", "{fit_steps} steps, {fit_seconds} s, {gaussians} Gaussians", figures, "fit_steps", "fit_seconds",
        "gaussians")  # fmt: skip
    for what, key in (("fitted views", "train"), ("held-out views", "held_out"), ("after the move", "bound")):
        say(what, "PSNR {psnr_db:.2f} dB, SSIM {ssim:.3f}", figures.get(key, {}), "psnr_db", "ssim")
    if "filled_m2" in background:
        out.append(("ground filled below the entities", f"{1e4 * background['filled_m2']:.1f} cm²"))
    say("opaque behind the entities", "{opaque:.2%} of their pixels", background, "opaque")
    if report.get("clutter"):
        boxes = "; ".join(str(box) for box in report["clutter"])
        out.append(("what else stands on the table", f"in {boxes} px, not simulated; it stays where it is"))
    if "psnr_db" in report:
        good = OutcomeOptions().good_psnr_db
        out.append(("looks like its photo", f"{report['psnr_db']:.1f} dB; good from {good:.0f}"))
    out += [("doubtful", text) for text in report.get("doubts", ())]
    say("took", "{seconds:.0f} s", report, "seconds")
    return out
