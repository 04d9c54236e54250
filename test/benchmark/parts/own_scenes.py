"""Figure 4 of the inputs: what `pw new` makes of six photos whose scene files tell it no more than a box and a size.

Three of them are drawn here, so that camera and masks are true. The other three were made by an image model: the
camera of their scene files is a person's guess, and so is what this is measured against. The lens is told, as EXIF
would; a second record tells what is left without it.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from parts.photo_truths import OWN, TRUTHS
from parts.records import ROOT, record
from pw_core.cli.own.camera import Solved, Thing, solve
from pw_core.cli.own.known import OwnPhoto, known_of
from pw_core.config import EntityConfig, SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.image import working_size
from pw_core.reconstruct.segmentation.second_look import photo_masks
from pw_core.reconstruct.types import Mask

DATA = Path(os.environ.get("PW_SHARED_DATA", ROOT.parent / "shared" / "data"))


def own_scenes() -> None:
    """Records of each photo that is here."""
    for name in OWN:
        config = SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")
        _figures(name, config, Path(config.photo), "")
    for name in OWN:
        photo = DATA / "photos" / f"{name}.png"
        config = SceneConfig.load(ROOT / "test" / "core" / "scenes_shared" / f"{name}.yaml")
        if photo.is_file():
            _figures(f"shared {name}", config, photo, "; against a person's guess, the photo has no true camera")
        else:
            record(f"new, shared {name}: pitch", None, "degrees", "<= 3", None, "no such photo: set PW_SHARED_DATA")


def _figures(name: str, config: SceneConfig, path: Path, against: str) -> None:
    photo = OwnPhoto.read(path)
    things = tuple(Thing(name=e.name, material="clay", box=e.prompt.box) for e in config.entities)
    size = _width_m(config, photo)
    found = _solved(photo, things, size, config.camera.hfov_deg)
    true = config.camera
    off = abs(found.pitch_deg - true.pitch_deg)
    record(f"new, {name}: pitch", off, "degrees", "<= 3", off <= 3,
           f"{found.pitch_deg:.1f} for {true.pitch_deg:g}: {found.known['pitch_deg']}{against}")  # fmt: skip
    blind = _solved(photo, things, size, 0.0)
    told = f"{blind.pitch_deg:.1f}, with {blind.hfov_deg:.0f} degrees across, where it has {true.hfov_deg:g}"
    record(f"new, {name}: pitch, lens not known", abs(blind.pitch_deg - true.pitch_deg), "degrees", "", None, told)
    scale = abs(found.height_m / true.height_m - 1)
    record(f"new, {name}: the metre from a size", scale, "", "<= 0.15", scale <= 0.15,
           f"camera {found.height_m:.3f} m high for {true.height_m:g}{against}")  # fmt: skip
    drawn = [e.model_copy(update={"prompt": e.prompt.model_copy(update={"points": (), "negative_points": ()})})
             for e in config.entities]  # fmt: skip
    for entity, mask, reference, whose in _masks(photo, config, drawn, name):
        iou = float((mask & reference).sum() / max((mask | reference).sum(), 1))
        record(f"new, {name}: mask of {entity} from a box", iou, "", ">= 0.9", iou >= 0.9, whose)


def _solved(photo: OwnPhoto, things: tuple[Thing, ...], size: float, hfov: float) -> Solved:
    return solve(known_of(photo, things, hfov_deg=hfov, size_m=size))


def _width_m(config: SceneConfig, photo: OwnPhoto) -> float:
    """Of the first thing across its box, where it stands by its scene file: what somebody with a ruler would tell."""
    width, height = photo.size
    c = config.camera
    camera = Camera.above_table(height_m=c.height_m, pitch_deg=c.pitch_deg, hfov_deg=c.hfov_deg, width=width,
                                height=height)  # fmt: skip
    left, _, right, bottom = config.entities[0].prompt.box
    ray = camera.rays(np.array([width / 2, bottom]))
    return float((right - left) / camera.K[0, 0] * c.height_m / -ray[2])


def _masks(
    photo: OwnPhoto, config: SceneConfig, drawn: list[EntityConfig], name: str
) -> list[tuple[str, Mask, Mask, str]]:
    """Name, mask from the box alone, reference, and whose the reference is."""
    small = working_size(photo.picture.rgb, config.reconstruct.width_px)
    scale = small.shape[1] / photo.size[0]
    views = config.reconstruct.views
    found = photo_masks(small, drawn, views, scale=scale)
    prompted = photo_masks(small, config.entities, views, scale=scale)
    out = []
    for entity, mask, other in zip(config.entities, found, prompted):
        file = TRUTHS / name / f"front_mask_{entity.name}.png"
        if file.is_file():
            true = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), small.shape[1::-1]) > 127
            out.append((entity.name, mask, true, "against the true mask"))
        else:
            out.append((entity.name, mask, other, "against our own mask with points: no true mask is here"))
    return out
