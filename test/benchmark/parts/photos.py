"""Photo to scene: fidelity, masks, turned views, time. Truth where `make_photos.py --truth` has written it."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from parts.records import ROOT, psnr, record
from pw_core.appearance import Appearance
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.image import load_photo
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.render.cameras import orbit
from pw_core.scene import Scene

TRUTH = Path("out/truth")


def photos(name: str) -> Scene:
    """Fidelity and time of one photo lift."""
    return _figures(name, SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml"))


def shared_photos() -> dict[str, Scene]:
    """The same of the real photos in the shared data folder (PW_SHARED_DATA, or ../shared/data beside the checkout)."""
    folder = Path(os.environ.get("PW_SHARED_DATA", ROOT.parent / "shared" / "data")) / "photos"
    scenes = {}
    for name in ("jam", "dumpling", "play_doh"):
        photo = folder / f"{name}.png"
        if photo.is_file():
            config = SceneConfig.load(ROOT / "test" / "core" / "scenes_shared" / f"{name}.yaml")
            scenes[name] = _figures(f"real {name}", config.model_copy(update={"photo": str(photo)}))
        else:
            record(f"real {name}: PSNR, whole image", None, "dB", ">= 28", None, "no such photo: set PW_SHARED_DATA")
    return scenes


def _figures(name: str, config: SceneConfig) -> Scene:
    reconstruct(config)  # kernels and imports are not counted
    began = time.perf_counter()
    scene = reconstruct(config)
    seconds = time.perf_counter() - began
    record(f"{name}: photo to scene", seconds, "s", "<= 15", seconds <= 15)
    camera, physics, appearance = scene.cameras[0], scene.initial_physics(), Appearance(scene)
    photo = cv2.resize(load_photo(config.photo), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    drawn = appearance.render(camera, physics).rgb
    value = psnr(drawn, photo)
    record(f"{name}: PSNR, whole image", value, "dB", ">= 28", value >= 28, f"{camera.width} x {camera.height}")
    for entity in config.entities:
        mask = segment(photo, entity, scale=camera.width / 1280)
        file = TRUTH / name / f"front_mask_{entity.name}.png"
        if file.is_file():
            true = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (camera.width, camera.height)) > 127
            iou = float((mask & true).sum() / (mask | true).sum())
            record(f"{name}: mask IoU of {entity.name}", iou, "", ">= 0.95", iou >= 0.95)
            inside, whose = true, "inside the true mask"
        else:
            note = f"no {file}: run make_photos.py --truth"
            note = "a real photo has no true mask" if name.startswith("real ") else note
            record(f"{name}: mask IoU of {entity.name}", None, "", ">= 0.95", None, note)
            inside, whose = mask, "inside our own mask, which flatters: it leaves out the rim we missed"
        value = psnr(drawn[inside], photo[inside])
        record(f"{name}: PSNR inside {entity.name}", value, "dB", ">= 26", value >= 26, whose)
    entity_mask = np.any([segment(photo, e, scale=camera.width / 1280) for e in config.entities], axis=0)
    still, turned_30 = (psnr(_turned(scene, d)[entity_mask], photo[entity_mask]) for d in (0, 30))
    loss = still - turned_30
    record(f"{name}: loss, thing and camera turned 30 degrees", loss, "dB", "<= 1", loss <= 1)
    for degrees in (-20, 20):
        turned = orbit(camera.viewmat, scene.entities[0].origin, [math.radians(degrees)])[0]
        view = appearance.render(camera.moved(turned, name="turned"), physics)
        covered = float((view.alpha > 0.5).mean())
        record(f"{name}: covered, turned {degrees:+d} degrees", covered, "", ">= 0.99", covered >= 0.99)
    for degrees in (-20, 20):
        _against_truth(name, scene, degrees)
    return scene


def _turned(scene: Scene, degrees: float) -> np.ndarray:
    """The entities alone, before black, as the photo's camera sees them when both turn about the vertical together."""
    import torch

    from pw_core.render import rasterize

    camera, physics, look = scene.cameras[0], scene.initial_physics(), Appearance(scene)
    pivot, angle = scene.entities[0].origin, math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    about = np.array([math.cos(angle / 2), 0, 0, math.sin(angle / 2)])
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    particles = physics.particles
    positions = ((particles.positions - pivot) @ turn.T + pivot).astype(np.float32)
    bodies = {
        k: replace(b, position=turn @ (b.position - pivot) + pivot, orientation=about)
        for k, b in physics.bodies.items()
    }
    physics = replace(physics, particles=replace(particles, positions=positions), bodies=bodies)
    means, covariances = look.foreground(physics)
    with torch.no_grad():
        drawn = rasterize(
            torch.from_numpy(means), None, None, torch.sigmoid(torch.from_numpy(scene.foreground.opacities)),
            torch.from_numpy(scene.foreground.sh), _view(orbit(camera.viewmat, pivot, [math.radians(degrees)])[0]),
            _view(camera.K), camera.width, camera.height, covars=torch.from_numpy(covariances), sh_degree=0,
        )  # fmt: skip
    return np.asarray((drawn.rgb[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _view(matrix: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(matrix.astype(np.float32))[None]


def _against_truth(name: str, scene: Scene, degrees: int) -> None:
    """PSNR of a turned view against the path tracer's, whole and inside each true mask: reported, no goal."""
    stem = TRUTH / name / f"orbit_{degrees:+d}"
    if not Path(f"{stem}_camera.json").is_file():
        return
    described = json.loads(Path(f"{stem}_camera.json").read_text())
    true = cv2.imread(f"{stem}.png")[..., ::-1]
    own = scene.cameras[0]
    camera = Camera(
        "turned", np.array(described["K"]), np.array(described["viewmat"]), described["width"], described["height"]
    ).resized(own.width, own.height)
    true = cv2.resize(true, (own.width, own.height), interpolation=cv2.INTER_AREA)
    drawn = Appearance(scene).render(camera, scene.initial_physics()).rgb
    record(f"{name}: PSNR against truth, turned {degrees:+d}", psnr(drawn, true), "dB", "reported", None)
    for e in scene.entities:
        mask = cv2.imread(f"{stem}_mask_{e.name}.png", cv2.IMREAD_GRAYSCALE)
        inside = cv2.resize(mask, (own.width, own.height)) > 127
        value = psnr(drawn[inside], true[inside])
        record(f"{name}: inside {e.name}, turned {degrees:+d}", value, "dB", "reported", None)
