"""Every format written and read back: largest differences, size, seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from parts.records import ROOT, record
from pw_core.config import SceneConfig
from pw_core.export.content import Content, opacities_of
from pw_core.export.formats import export
from pw_core.reconstruct import reconstruct
from pw_core.world import World

sys.path.insert(0, str(ROOT / "test"))
from support.exported import READERS, ply_looks, read_usd_elsewhere

DURATION_S = 0.6
NAMES = {"": "ply_frames"}
BYTE = 0.51 / 255


def exports(scene_name: str = "play_doh") -> None:
    """A rollout of the scene's first round, in every format."""
    folder = ROOT / "out/bench/seen"
    config = SceneConfig.load(ROOT / f"config/scenes/{scene_name}.yaml")
    scene = reconstruct(config)
    world = World(folder / "store")
    world.adopt(scene, replace=True)
    running = world.rollout(config.rounds[0].actions, DURATION_S)
    for _ in running:
        pass
    trajectory = running.trajectory
    moving = Content.of_trajectory(scene, trajectory)
    frames = list(moving.frames())
    for ending in ("", ".usd", ".mcap", ".rrd"):
        _measure(f"{NAMES.get(ending, ending[1:])}", moving, frames, folder / f"{scene_name}{ending}", ending)
    still = Content(scene, [0.0], lambda _: scene.initial_physics())
    frames = list(still.frames())
    for ending in (".ply", ".glb"):
        _measure(f"{ending[1:]}_still", still, frames, folder / f"{scene_name}{ending}", ending)


def _measure(name: str, content: Content, frames: list, path: Path, ending: str) -> None:
    began = time.perf_counter()
    export(content, path)
    seconds = time.perf_counter() - began
    size = sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size
    note = f"{len(frames)} frames, {len(frames[-1].all)} Gaussians"
    record(f"export_{name}_seconds", seconds, "s", "told", None, note)
    record(f"export_{name}_size", size / 1e6, "MB", "told", None, note)
    last = frames[-1].all
    if ending == ".ply":
        colors = np.clip(ply_looks(path)[0], 0, 1)
        worst = np.abs(colors - last.colors()).max()
        record(f"export_{name}_colors", worst, "of 1", "<= 1e-6", worst <= 1e-6, note)
        return
    read = READERS[ending](path)
    if ending == ".usd":
        theirs = read_usd_elsewhere(path)
        same = np.isin(read.times.round(6), theirs.times.round(6))
        worst = max(
            np.abs(theirs.means - read.means[same]).max(), np.abs(theirs.particles - read.particles[same]).max()
        )  # fmt: skip
        told = f"tinyusdz against OpenUSD, {same.sum()} of {len(same)} frames: of the others it leaves out elements"
        record(f"export_{name}_second_reader", worst, "m", "0", worst == 0 and same.any(), told)
    means = max(np.abs(a - f.all.means).max() for a, f in zip(read.means, frames))
    exact = ending not in (".mcap", ".rrd")
    goal = 1e-5 if exact else BYTE
    # A recording of messages has the background once, under the shadows of the start.
    shown = np.concatenate([frames[-1].things.colors(), frames[0].background.colors()]) if ending == ".mcap" else None
    clipped = np.abs(np.clip(read.colors, 0, 1) - (last.colors() if shown is None else shown)).max()
    record(f"export_{name}_positions", means, "m", "0", means == 0, note)
    if read.particles is not None:
        worst = max(np.abs(a - f.positions).max() for a, f in zip(read.particles, frames))
        record(f"export_{name}_particles", worst, "m", "0", worst == 0, note)
    record(f"export_{name}_colors", clipped, "of 1", f"<= {goal:.2g}", clipped <= goal, note)
    opacity = np.abs(read.opacities - opacities_of(last)).max()
    record(f"export_{name}_opacities", opacity, "of 1", f"<= {goal:.2g}", opacity <= goal, note)
    late = np.abs(read.times - content.times).max()
    record(f"export_{name}_times", late, "s", "<= 1e-6", late <= 1e-6, note)
