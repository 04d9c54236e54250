"""Photo to scene: fidelity, masks, turned views, time. Truth where `make_photos.py --truth` has written it."""

from __future__ import annotations

import math
import time
from pathlib import Path

import cv2

from parts.records import ROOT, psnr, record
from pw_core.appearance import Appearance
from pw_core.config import SceneConfig
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.image import load_photo
from pw_core.reconstruct.masks import segment
from pw_core.render.cameras import orbit
from pw_core.scene import Scene

TRUTH = Path("out/truth")


def photos(name: str) -> Scene:
    """Fidelity and time of one photo lift."""
    config = SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")
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
            record(f"{name}: mask IoU of {entity.name}", None, "", ">= 0.95", None, note)
            inside, whose = mask, "inside our own mask, which flatters: it leaves out the rim we missed"
        value = psnr(drawn[inside], photo[inside])
        record(f"{name}: PSNR inside {entity.name}", value, "dB", ">= 26", value >= 26, whose)
    for degrees in (-20, 20):
        turned = orbit(camera.viewmat, scene.entities[0].origin, [math.radians(degrees)])[0]
        view = appearance.render(camera.moved(turned, name="turned"), physics)
        covered = float((view.alpha > 0.5).mean())
        record(f"{name}: covered, turned {degrees:+d} degrees", covered, "", ">= 0.99", covered >= 0.99)
    return scene
