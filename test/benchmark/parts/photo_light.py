"""Before and after of pictures turned and moved, what light costs a frame, and the page of sheets."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from parts.photo_states import MOVED, TURNED
from parts.records import RECORDS, record
from pw_core.appearance import Appearance
from pw_core.scene import Scene

BEFORE: dict[str, dict[str, float]] = json.loads((Path(__file__).parent / "photo_before.json").read_text())["before"]
"""PSNR [dB] and SSIM, by scene and figure, at the commit that the file names: no light, masks widened and filled."""
FRAMES = 12
MOST_RATIO = 1.1


def frame_ratio(name: str, scene: Scene) -> None:
    """How much longer a frame takes with light than without, one after the other so that a busy machine is fair."""
    if scene.light is None:
        record(f"{name}: frame time with light", None, "x", f"<= {MOST_RATIO}", None, "no light was told")
        return
    looks = [Appearance(scene), Appearance(replace(scene, light=None))]
    start, camera = scene.initial_physics(), scene.cameras[0]
    times: list[list[float]] = [[], []]
    for k in range(FRAMES + 2):
        step = np.array([0, 1e-3 * k, 0])
        positions = start.particles.positions + step.astype(np.float32)
        # Rigid things are where their bodies are: one that stays casts no new shadow.
        bodies = {name: replace(b, position=b.position + step) for name, b in start.bodies.items()}
        physics = replace(start, particles=replace(start.particles, positions=positions), bodies=bodies)
        for look, took in zip(looks, times):
            began = time.perf_counter()
            look.render(camera, physics)
            took.append(time.perf_counter() - began)
    lit, plain = (float(np.median(t[2:])) for t in times)
    record(f"{name}: frame time with light", lit / plain, "x", f"<= {MOST_RATIO}", lit / plain <= MOST_RATIO,
           f"{1e3 * lit:.1f} ms of {camera.width} x {camera.height}, without {1e3 * plain:.1f}")  # fmt: skip


def gains() -> None:
    """Turned views, moved states and t = 0 against what was before, each scene that was measured now, and medians."""
    now = {r["name"]: r["value"] for r in RECORDS if r["value"] is not None}
    gains_of: dict[tuple[str, str], list[float]] = {}
    for name, figures in BEFORE.items():
        for what in ("whole, front, against the photo", "PSNR"):
            if what in figures and f"{name}: {what}" in now:
                gain = now[f"{name}: {what}"] - figures[what]
                record(f"{name}: t = 0, gained", gain, "dB", ">= 0", gain >= -0.05, f"{figures[what]} dB before")
        for view in (*TURNED, *MOVED):
            for where in ("inside", "ring"):
                key = f"{where}, {view}"
                if key not in figures or f"{name}: {key}" not in now:
                    continue
                gain = now[f"{name}: {key}"] - figures[key]
                counts = view in MOVED and where == "ring"
                goal, ok = (">= 0", gain >= -0.05) if counts else ("reported", None)
                record(f"{name}: {key}, gained", gain, "dB", goal, ok, f"{figures[key]} dB before")
                gains_of.setdefault((where, view), []).append(gain)
                if f"{key}, SSIM" in figures:
                    before = figures[f"{key}, SSIM"]
                    more = now[f"{name}: {key}, SSIM"] - before
                    record(f"{name}: {key}, SSIM, gained", more, "", "reported", None, f"{before} before")
    for (where, view), each in gains_of.items():
        middle, counts = float(np.median(each)), view in MOVED and where == "ring"
        goal, ok = (">= 3", middle >= 3) if counts else ("reported", None)
        record(f"{where}, {view}, gained, median", middle, "dB", goal, ok, f"{len(each)} scenes")
    moved_rings = [g for (where, view), each in gains_of.items() if where == "ring" and view in MOVED for g in each]
    if moved_rings:
        middle = float(np.median(moved_rings))
        record("ring at moved states, gained, median", middle, "dB", ">= 3", middle >= 3, f"{len(moved_rings)} states")


def write_page(folder: Path, wrong: Mapping[str, str]) -> None:
    """index.html of the sheets in a folder, each with what is still wrong with it, in words."""
    head = (
        "truth above drawn: front, -40, -20, -10, +10 | +20, +40 degrees, slid 5 cm, turned by 30 degrees, pressed by "
        "15 %; without a truth: photo, 0, -20 | +20, moved aside, lifted. Below each what is still wrong."
    )
    sheets = "".join(
        f"<h2>{html.escape(f.stem)}</h2><img src='{f.name}' style='width:100%'>"
        f"<p>{html.escape(wrong.get(f.stem, ''))}</p>"
        for f in sorted(folder.glob("*.png"))
    )
    (folder / "index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>One photo</title><p>{head}</p>{sheets}"
    )
