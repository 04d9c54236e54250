"""One picture with depth, and one with a depth that a model might give: how far the visible side is from the truth.

Truth from `make_photos.py --truth` (out/truth). Run alone: python test/benchmark/parts/rgbd.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh
from scipy.spatial import cKDTree

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from parts.records import RECORDS, ROOT, record
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.image import load_photo
from pw_core.reconstruct.inputs import Inputs, ViewInput, metres
from pw_core.scene import Scene

TRUTH = ROOT / "out" / "truth"
SCENES = ("jam", "dumpling", "play_doh")
SAMPLES = 60_000


def run() -> list[dict[str, Any]]:
    """All figures of this part, recorded and returned."""
    before = len(RECORDS)
    for name in SCENES:
        config = SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")
        if not (TRUTH / name / "front_depth.npy").is_file():
            for e in config.entities:
                note = f"no {TRUTH / name}: run make_photos.py --truth"
                record(f"{name}: RGB-D, visible side of {e.name}", None, "%", "<= 1", None, note)
            continue
        _rgbd(name, config)
        _guessed(name, config)
    return RECORDS[before:]


def truth_of(name: str) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Picture, depth [m] (H, W) and camera of the photo's view."""
    said = json.loads((TRUTH / name / "front_camera.json").read_text())
    camera = Camera("front", np.array(said["K"]), np.array(said["viewmat"]), said["width"], said["height"])
    depth = np.nan_to_num(np.load(TRUTH / name / "front_depth.npy"))
    return load_photo(TRUTH / name / "front.png"), depth, camera


def at_width(config: SceneConfig, width: int, given: int = 1280) -> SceneConfig:
    """The configuration with its prompts in pixels of a picture that is `width` wide."""
    fields = config.model_dump(mode="json")
    for e in fields["entities"]:
        p, s = e["prompt"], width / given
        p["box"] = [v * s for v in p["box"]]
        for key in ("points", "negative_points"):
            p[key] = [[x * s, y * s] for x, y in p[key]]
    return SceneConfig.parse(fields)


def visible_error(scene: Scene, name: str, entity: str) -> dict[str, float]:
    """Chamfer distance of the visible sides in the camera's frame, each way and the mean of both, over the entity's
    longest extent."""
    _, depth, camera = truth_of(name)
    mask = cv2.imread(str(TRUTH / name / f"front_mask_{entity}.png"), cv2.IMREAD_GRAYSCALE) > 127
    y, x = np.nonzero(mask & (depth > 0))
    still = Camera("still", camera.K, np.eye(4), camera.width, camera.height)
    true = still.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64))
    size = float(np.ptp(trimesh.load(TRUTH / name / f"{entity}.ply").bounds, axis=0).max())
    e = next(e for e in scene.entities if e.name == entity)
    view = scene.cameras[0].viewmat
    mesh = trimesh.Trimesh(e.mesh.vertices @ view[:3, :3].T + view[:3, 3], e.mesh.faces)
    points, faces = trimesh.sample.sample_surface(mesh, 4 * SAMPLES, seed=0)
    facing = np.einsum("ij,ij->i", mesh.face_normals[faces], points) < 0
    # What lies nearest in its cell of two pixels is seen.
    uv, z = still.project(points)
    cell = np.clip(uv / 2, 0, 4000).astype(int)
    key = cell[:, 1] * 4001 + cell[:, 0]
    nearest = np.full(key.max() + 1, np.inf)
    np.minimum.at(nearest, key, z)
    seen = points[facing & (z < nearest[key] + 0.02 * size)]
    pick = np.random.default_rng(0).permutation(len(true))[:SAMPLES]
    every = cKDTree(points)
    there = float(every.query(true[pick])[0].mean() / size)
    back = float(cKDTree(true).query(seen)[0].mean() / size)
    return {"true_to_ours": there, "ours_to_true": back, "chamfer": (there + back) / 2}


def _rgbd(name: str, config: SceneConfig) -> None:
    """As a depth camera gives it: whole millimetres, intrinsics, no pose."""
    picture, depth, camera = truth_of(name)
    view = ViewInput("front.png", picture, metres(np.round(1000 * depth).astype(np.uint16)), camera.K)
    scene = reconstruct(at_width(config, camera.width), Inputs((view,)))
    for e in scene.entities:
        got = visible_error(scene, name, e.name)
        note = f"true to ours {100 * got['true_to_ours']:.2f}, ours to true {100 * got['ours_to_true']:.2f}"
        value = 100 * got["chamfer"]
        record(f"{name}: RGB-D, visible side of {e.name}", value, "%", "<= 1", value <= 1, note)
        true = trimesh.load(TRUTH / name / f"{e.name}.ply")
        ratio = 100 * (e.volume_m3 / abs(float(true.volume)) - 1)
        record(f"{name}: RGB-D, volume of {e.name}", ratio, "%", "reported", None, "one picture: the back is a guess")


def _guessed(name: str, config: SceneConfig) -> None:
    """The lift with no depth, and with a program that gives the true disparity up to scale and offset."""
    _, depth, _ = truth_of(name)
    far = np.where(depth > 0, depth, depth.max())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.npy"
        np.save(file, (3.0 / far + 0.7).astype(np.float32))
        code = "import shutil, sys; shutil.copy(sys.argv[3], sys.argv[2])"
        command = [sys.executable, "-c", code, "{image}", "{output}", str(file)]
        fields = config.model_dump(mode="json")
        fields["reconstruct"]["depth"] = {"provider": "program", "settings": {"command": command, "kind": "disparity"}}
        with_depth = reconstruct(SceneConfig.parse(fields))
    without = reconstruct(config)
    for e in config.entities:
        plain, given = (100 * visible_error(s, name, e.name)["chamfer"] for s in (without, with_depth))
        note = f"{plain:.2f} % inflated; {with_depth.provenance.get('depth')}"
        record(f"{name}: depth provider, visible side of {e.name}", given, "%", "< inflated", given < plain, note)


if __name__ == "__main__":
    run()
