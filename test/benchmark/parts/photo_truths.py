"""Scenes of one photo against path-traced truths (examples/photos/make_truths.py), turned and moved."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from parts.photo_doubts import checks, loose_prompt, volumes
from parts.photo_light import frame_ratio
from parts.photo_states import MOVED, TURNED, moved, state, thin_ratio
from parts.records import ROOT, psnr, record
from pw_core.appearance import Appearance
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.image import load_photo, working_size
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.routes.single_photo import lift_photo
from pw_core.render.cameras import orbit

TRUTHS = Path(os.environ.get("PW_TRUTHS", "out/truths"))
OWN = ("jam", "dumpling", "play_doh")
THIN_SEEN_FROM = ("turned_-40", "turned_+40")
SHEET_ROWS = 2
"""Of pairs of truth and drawing."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """One view of a truth: its camera, picture (H, W, 3), and masks (H, W) by entity."""

    camera: Camera
    picture: Picture
    masks: dict[str, NDArray[np.bool_]]

    @property
    def union(self) -> NDArray[np.bool_]:
        return np.any(list(self.masks.values()), axis=0)


def truth_of(name: str, view: str) -> Truth:
    """Read from the folder."""
    folder = TRUTHS / name
    c = json.loads((folder / f"{view}_camera.json").read_text())
    masks = {
        f.stem.removeprefix(f"{view}_mask_"): cv2.imread(str(f), cv2.IMREAD_GRAYSCALE) > 127
        for f in sorted(folder.glob(f"{view}_mask_*.png"))
    }
    camera = Camera(view, np.array(c["K"]), np.array(c["viewmat"]), c["width"], c["height"])
    return Truth(camera, np.ascontiguousarray(cv2.imread(str(folder / f"{view}.png"))[..., ::-1]), masks)


def config_of(name: str, front: Truth) -> SceneConfig:
    """The scene as a person would describe it: the true camera, loose boxes, one point each."""
    stage = json.loads((TRUTHS / name / "stage.json").read_text())
    if name in OWN:
        return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")
    wall = stage["wall_m"] or stage["table_edge_m"] + 1.0
    return SceneConfig.parse({
        "name": name, "camera": stage["camera"],
        "table": {"edge_m": stage["table_edge_m"], "backdrop_m": wall - stage["table_edge_m"]},
        "entities": [
            {"name": e, "material": {"model": "rigid", "density_kg_m3": 800}, "prompt": loose_prompt(m)}
            for e, m in front.masks.items()
        ],
    })  # fmt: skip


def ring(union: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels no further from the things than they are large, but not theirs."""
    size = math.sqrt(union.sum())
    return np.asarray(~union & (ndimage.distance_transform_edt(~union) <= size))


def ssim(a: Picture, b: Picture, where: NDArray[np.bool_]) -> float:
    """Mean structural similarity (Wang et al. 2004) of grey pictures over those pixels."""
    from skimage.metrics import structural_similarity

    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (a, b)]
    full = structural_similarity(*grey, data_range=255, full=True)[1]
    return float(full[where].mean())


def against_truth(name: str) -> Picture | None:
    """Figures of one scene, and its sheet: truth above, drawn below."""
    if not (TRUTHS / name / "stage.json").is_file():
        record(f"{name}: ring, slid", None, "dB", "reported", None, "no truth: run examples/photos/make_truths.py")
        return None
    front = truth_of(name, "front")
    config = config_of(name, front)
    photo = load_photo(config.photo) if config.photo else front.picture
    if not (TRUTHS / name / "slid_camera.json").is_file():  # made with --front
        checks(name, config, front.masks, working_size(photo, front.camera.width))
        volumes(name, lift_photo(config, ViewInput(name="front", image=photo)), TRUTHS)
        return None
    there = [v for v in (*TURNED, *MOVED) if (TRUTHS / name / f"{v}_camera.json").is_file()]
    views = {"front": front, **{v: truth_of(name, v) for v in there}}
    began = time.perf_counter()
    scene = lift_photo(config, ViewInput(name="front", image=photo))
    seconds = time.perf_counter() - began
    record(f"{name}: seconds to a scene", seconds, "s", "<= 15", seconds <= 15)
    frame_ratio(name, scene)
    checks(name, config, front.masks, working_size(photo, front.camera.width))
    volumes(name, scene, TRUTHS)
    look, pairs = Appearance(scene), []
    for view, truth in views.items():
        drawn = look.render(truth.camera, state(scene, view)).rgb
        inside, about = truth.union, ring(truth.union | front.union if view in MOVED else truth.union)
        for what, where in (("inside", inside), ("ring", about)):
            record(f"{name}: {what}, {view}", psnr(drawn[where], truth.picture[where]), "dB", "reported", None)
            record(f"{name}: {what}, {view}, SSIM", ssim(drawn, truth.picture, where), "", "reported", None)
        if view == "front":
            target = cv2.resize(photo, (front.camera.width, front.camera.height), interpolation=cv2.INTER_AREA)
            record(f"{name}: whole, front, against the photo", psnr(drawn, target), "dB", ">= 28", None)
        if view in THIN_SEEN_FROM:
            ratio = thin_ratio(scene, front.union, truth.camera, truth.union)
            if ratio is not None:
                record(f"{name}: width of thin parts, {view}", ratio, "x", "0.5 to 2", 0.5 <= ratio <= 2)
        pairs.append(np.vstack([truth.picture, drawn]))
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % SHEET_ROWS)
    across = len(pairs) // SHEET_ROWS
    return np.vstack([np.hstack(pairs[k : k + across]) for k in range(0, len(pairs), across)])


def shared(name: str, config: SceneConfig) -> Picture:
    """The sheet of a photo without a truth: photo, 0, -20, +20 degrees, slid."""
    photo = load_photo(config.photo)
    began = time.perf_counter()
    scene = lift_photo(config, ViewInput(name=name, image=photo))
    seconds = time.perf_counter() - began
    record(f"{name}: seconds to a scene", seconds, "s", "<= 15", seconds <= 15)
    frame_ratio(name, scene)
    camera, start, look = scene.cameras[0], scene.initial_physics(), Appearance(scene)
    pictures = [cv2.resize(photo, (camera.width, camera.height), interpolation=cv2.INTER_AREA)]
    pictures.append(look.render(camera, start).rgb)
    record(f"{name}: PSNR", psnr(pictures[1], pictures[0]), "dB", ">= 28", None)
    for degrees in (-20, 20):
        turned = orbit(camera.viewmat, scene.entities[0].origin, [math.radians(degrees)])[0]
        pictures.append(look.render(camera.moved(turned, name="turned"), start).rgb)
    size = float(np.ptp(scene.entities[0].mesh.vertices[:, 1]))
    pictures.append(look.render(camera, moved(scene, (0.0, 0.6 * size, 0.0))).rgb)
    pictures.append(look.render(camera, moved(scene, (0.0, 0.0, 0.5 * size))).rgb)
    return np.vstack([np.hstack(pictures[:3]), np.hstack(pictures[3:])])
