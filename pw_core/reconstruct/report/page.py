"""What stays in the folder: splats, mesh, poses, and a page with pictures of every stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.poses.sfm.colmap_io import write_colmap
from pw_core.reconstruct.report.pictures import PictureOptions, marked, overview, shaded
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.types import Masks, Posed
from pw_core.scene import Scene

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Reconstruction of {{ id }}</title>
<style>
body{font:15px/1.4 sans-serif;margin:2em auto;max-width:1280px;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}
.stage{display:grid;grid-template-columns:repeat({{ names|length }},1fr);gap:4px}
figure{margin:0}img{width:100%;display:block}figcaption{font-size:12px;color:#666}
.map{max-width:620px}pre{white-space:pre-wrap;font-size:12px}
</style></head><body>
<h1>{{ id }}: {{ method }}</h1>
<table>{% for what, value in summary %}<tr><th>{{ what }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<h2>Cameras, points and entities, from above and from the side</h2>
<img class="map" src="{{ map }}" alt="map">
{% for title, files in rows %}<h2>{{ title }}</h2><div class="stage">
{% for f in files %}<figure><img src="{{ f }}" alt="{{ title }}, {{ names[loop.index0] }}">
<figcaption>{{ names[loop.index0] }}</figcaption></figure>
{% endfor %}</div>
{% endfor %}<h2>All figures</h2><details><summary>report.json</summary><pre>{{ figures }}</pre></details>
</body></html>
"""


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
    import cv2
    import trimesh
    from jinja2 import Environment

    from pw_core.render.ply import write_ply

    write_ply(folder / "splats.ply", fitted)
    write_colmap(folder, posed)
    (folder / "meshes").mkdir(exist_ok=True)
    for e in scene.entities:
        trimesh.Trimesh(e.mesh.vertices, e.mesh.faces).export(folder / "meshes" / f"{e.name}.ply")
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    count = min(options.views, len(posed.views))
    shown = [posed.views[i] for i in np.linspace(0, len(posed.views) - 1, count).astype(int)]
    meshes = [e.mesh for e in scene.entities]
    rows: dict[str, list[str]] = {}

    def write(name: str, rgb: np.ndarray) -> str:
        cv2.imwrite(str(pictures / f"{name}.png"), np.asarray(rgb, np.uint8)[..., ::-1])
        return f"pictures/{name}.png"

    def put(title: str, name: str, rgb: np.ndarray) -> None:
        files = rows.setdefault(title, [])
        files.append(write(f"{len(files)}_{name}", rgb))

    bound = Gaussians.concatenate([scene.foreground, scene.background])
    sets: dict[str, tuple[str, Gaussians]] = {
        "Fitted Gaussians": ("fitted", fitted),
        "Moved onto the particles, before the background": ("bound", bound),
        "Background, its hidden region filled": ("behind", scene.background),
    }  # fmt: skip
    for v in shown:
        put("Photos", "photo", v.image)
        put("Masks", "mask", marked(v.image, [of[v.name] for of in masks.values()], options=options.pictures))
        for title, (name, g) in sets.items():
            put(title, name, (draw_gaussians(g, v.camera).rgb[0].clamp(0, 1) * 255).numpy())
        put("Meshes", "mesh", shaded(meshes, v.camera, v.image, options=options.pictures))
    held = scene.provenance.get("figures", {}).get("held_out", {}).get("views", [])
    (folder / "report.json").write_text(json.dumps(scene.provenance, indent=1))
    page = Environment(autoescape=True).from_string(PAGE).render(
        id=scene.id, method=scene.provenance.get("method", ""), rows=list(rows.items()),
        names=[v.name + (" (held out)" if v.name in held else "") for v in shown],
        map=write("map", overview(posed, meshes, options=options.pictures)), summary=summary(scene.provenance),
        figures=json.dumps(scene.provenance, indent=1),
    )  # fmt: skip
    (folder / "index.html").write_text(page)


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
    say("took", "{seconds:.0f} s", report, "seconds")
    return out
