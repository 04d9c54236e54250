"""What stays in the folder: splats, mesh, poses, and a page with pictures of every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.views.colmap import write_colmap
from pw_core.reconstruct.views.fit import Params, draw
from pw_core.reconstruct.views.poses import Posed
from pw_core.scene import Scene

SHOWN = 4
PAGE = """<!doctype html><meta charset="utf-8"><title>Reconstruction of {{ id }}</title>
<style>body{font:15px sans-serif;margin:2em;max-width:1200px}img{width:24%;margin:1px}pre{white-space:pre-wrap}</style>
<h1>{{ id }}: {{ method }}</h1>
{% for title, files in rows %}<h2>{{ title }}</h2>{% for f in files %}<img src="{{ f }}" alt="{{ title }}">{% endfor %}
{% endfor %}<h2>Figures</h2><pre>{{ figures }}</pre>
"""


def write_report(
    folder: Path, scene: Scene, posed: Posed, masks: dict[str, dict[str, Any]], fitted: Gaussians
) -> None:
    """splats.ply, meshes/*.ply, poses and inputs, report.json, index.html and its pictures."""
    import cv2
    import torch
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
    shown = [posed.views[i] for i in np.linspace(0, len(posed.views) - 1, min(SHOWN, len(posed.views))).astype(int)]
    rows: dict[str, list[str]] = {}

    def put(title: str, name: str, rgb: np.ndarray) -> None:
        file = f"pictures/{len(rows.setdefault(title, []))}_{name}.png"
        cv2.imwrite(str(folder / file), np.asarray(rgb, np.uint8)[..., ::-1])
        rows[title].append(file)

    sets = {
        "fitted": fitted, "bound, on what is behind": Gaussians.concatenate([scene.foreground, scene.background]),
        "what is behind": scene.background,
    }  # fmt: skip
    for v in shown:
        put("photos", "photo", v.image)
        marked = v.image.copy()
        for i, of in enumerate(masks.values()):
            tint = np.array([[255, 0, 80], [0, 140, 255], [0, 220, 80]][i % 3])
            marked[of[v.name]] = (0.5 * marked[of[v.name]] + 0.5 * tint).astype(np.uint8)
        put("masks", "mask", marked)
        with torch.no_grad():
            for title, g in sets.items():
                degree = int(np.sqrt(g.sh.shape[1])) - 1
                drawn = draw(Params(g, 1.0, "cpu").drawn(), v.camera, sh_degree=degree)
                put(title, title.split(",")[0].replace(" ", "_"), (drawn.rgb[0].clamp(0, 1) * 255).numpy())
        put("meshes", "mesh", _shaded(scene, v.camera))
    (folder / "report.json").write_text(json.dumps(scene.provenance, indent=1))
    page = Environment(autoescape=True).from_string(PAGE).render(
        id=scene.id, method=scene.provenance.get("method", ""), rows=list(rows.items()),
        figures=json.dumps(scene.provenance, indent=1),
    )  # fmt: skip
    (folder / "index.html").write_text(page)


def _shaded(scene: Scene, camera: Any) -> np.ndarray:
    """The meshes' faces drawn from back to front, grey by how they face the camera."""
    import cv2

    canvas = np.full((camera.height, camera.width, 3), 255, np.uint8)
    corners, normals = [], []
    for e in scene.entities:
        t = e.mesh.vertices[e.mesh.faces]
        n = np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
        corners.append(t)
        normals.append(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12))
    tri, normal = np.concatenate(corners), np.concatenate(normals)
    uv, depth = camera.project(tri)
    facing = np.einsum("ij,ij->i", normal, camera.centre - tri.mean(1))
    order = np.argsort(-depth.mean(1))
    light = np.clip(normal @ np.array([0.3, 0.4, 0.87]), 0, 1)
    for i in order[(facing > 0)[order]]:
        shade = int(60 + 170 * light[i])
        cv2.fillConvexPoly(canvas, np.round(uv[i]).astype(np.int32), (shade, shade, shade))
    return canvas
