"""Whether one photo's masks, cameras and volumes are right, and whether what is wrong is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from parts.records import RECORDS, record
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.ground.table_edge import table_edge_doubts
from pw_core.reconstruct.segmentation.checks.doubts import mask_doubts
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.reconstruct.segmentation.second_look import best_mask
from pw_core.scene import Scene

Picture = NDArray[np.uint8]
Masks = Mapping[str, NDArray[np.bool_]]
WRONG_BY = 0.3
"""Of pitch and height."""
CAMERAS = {
    "pitch +30 %": ("pitch_deg", 1 + WRONG_BY), "pitch -30 %": ("pitch_deg", 1 - WRONG_BY),
    "height +30 %": ("height_m", 1 + WRONG_BY), "height -30 %": ("height_m", 1 - WRONG_BY),
}  # fmt: skip


def loose_prompt(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A box 8 % of the thing's size away from it, and its innermost point."""
    height, width = mask.shape
    y, x = np.nonzero(mask)
    gap = 0.08 * max(np.ptp(x), np.ptp(y))
    box = [max(x.min() - gap, 0), max(y.min() - gap, 0), min(x.max() + gap, width), min(y.max() + gap, height)]
    inside = ndimage.distance_transform_edt(mask)
    v, u = np.unravel_index(int(np.argmax(inside)), mask.shape)
    return {"box": [round(float(b)) for b in box], "points": [[int(u), int(v)]]}


def checks(name: str, config: SceneConfig, masks: Masks, photo: Picture) -> None:
    """Figures of one truth's front view, its photo (H, W, 3) and masks (H, W) of one size."""
    for e in config.entities:
        true = masks[e.name]
        loose = e.model_copy(update={"prompt": type(e.prompt).model_validate(loose_prompt(true))})
        once, found = segment(photo, loose, scale=1.0), best_mask(photo, loose, scale=1.0)
        before, iou = (float((m & true).sum() / (m | true).sum()) for m in (once, found))
        note = f"{before:.3f} by GrabCut from one seed"
        record(f"{name}: IoU of {e.name}, loose box and a point", iou, "", ">= 0.95", iou >= 0.95, note)
        told = mask_doubts(photo, found, loose, scale=1.0)
        right = bool(told) if iou < 0.9 else not told
        record(f"{name}: doubts about {e.name}", len(told), "", "if IoU < 0.9", right, "; ".join(told))
    for what, (field, factor) in {"right": ("pitch_deg", 1.0), **CAMERAS}.items():
        value = getattr(config.camera, field) * factor
        wrong = config.model_copy(update={"camera": config.camera.model_copy(update={field: value})})
        c = wrong.camera
        camera = Camera.above_table(height_m=c.height_m, pitch_deg=c.pitch_deg, hfov_deg=c.hfov_deg,
                                    width=photo.shape[1], height=photo.shape[0])  # fmt: skip
        told = table_edge_doubts(photo, [masks[e.name] for e in config.entities], camera, wrong)
        goal, fine = ("0", not told) if what == "right" else (">= 1", bool(told))
        record(f"{name}: camera {what}: doubts", len(told), "", goal, fine, "; ".join(told))


def volumes(name: str, scene: Scene, folder: Path) -> None:
    """How far each entity's volume is off, in a scene made with the true camera."""
    true = json.loads((folder / name / "stage.json").read_text())["volumes_m3"]
    for e in scene.entities:
        if true.get(e.name):
            off = 100 * (e.volume_m3 / true[e.name] - 1)
            record(f"{name}: volume of {e.name}", off, "%", "within 15", abs(off) <= 15)


def totals() -> None:
    """Over all that was measured in this run."""
    kinds = {
        "iou": r": IoU of .*", "told": r": doubts about .*", "camera": r": camera (pitch|height).*: doubts",
        "right": r": camera right: doubts", "volume": r": volume of .*",
    }  # fmt: skip
    own = {k: [r for r in RECORDS if r["value"] is not None and re.search(p, r["name"])] for k, p in kinds.items()}
    if own["iou"]:
        values = np.array([r["value"] for r in own["iou"]])
        told = np.array([r["value"] > 0 for r in own["told"]])
        n, good, bad = len(values), int((values >= 0.95).sum()), values < 0.9
        record("masks with an IoU of 0.95", good, f"of {n}", ">= 10 of 12", good >= n * 10 / 12)
        silent, alarms = int((bad & ~told).sum()), int((~bad & told).sum())
        record("bad masks (IoU < 0.9) not told of", silent, f"of {int(bad.sum())}", "0", silent == 0)
        record("good masks doubted", alarms, f"of {int((~bad).sum())}", "<= 1", alarms <= 1)
    if own["right"]:
        scenes = [r["name"].split(":")[0] for r in own["right"]]
        missed = {r["name"].split(":")[0] for r in own["camera"] if not r["ok"]}
        n, warned = len(scenes), len(set(scenes) - missed)
        note = "pitch and height 30 % too large and too small: all four told; not in " + (", ".join(missed) or "none")
        record("scenes whose wrong cameras are told of", warned, f"of {n}", ">= 10 of 12", warned >= n * 10 / 12, note)
        alarms = sum(r["value"] > 0 for r in own["right"])
        record("right cameras doubted", alarms, f"of {n}", "<= 1", alarms <= 1)
    if own["volume"]:
        off = np.abs([r["value"] for r in own["volume"]])
        n, near = len(off), int((off <= 15).sum())
        record("volumes off, median", float(np.median(off)), "%", "<= 8", bool(np.median(off) <= 8), f"of {n}")
        record("volumes within 15 %", near, f"of {n}", ">= 10 of 12", near >= n * 10 / 12)
