"""What `test/benchmark/closed_loop.py` has measured, read from out/bench/closed_loop/<scene>-<seed>/<arm>.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from parts.curves import curves
from parts.records import record

FOLDER = Path("out/bench/closed_loop")
SCENES = ("jam", "dumpling", "play_doh")
ABLATIONS = ("state", "one camera", "inherit", "transport", "relax")
LAST = 2
"""Index of round 3, whose prediction counts."""
OFF = 3.0
"""Particle sizes that the open loop must be off by for the goals to be asked for."""


def loops(folder: Path = FOLDER) -> None:
    """All of item 1 that is there, and its curves in <folder>/curves.png; the rest is skipped and says so."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*-*/*.json")):
        if path.stem != "hidden":
            made = json.loads(path.read_text())
            found.setdefault((made["scene"], str(made["seed"])), {})[made["arm"]] = made["rounds"]
    for scene in SCENES:
        if not any(s == scene for s, _ in found):
            _skipped(scene, "")
    for (scene, seed), arms in found.items():
        _one(scene, seed, arms)
    if found:
        curves(found, folder / "curves.png")


def _skipped(scene: str, seed: str) -> None:
    note = f"not in {FOLDER}: run test/benchmark/closed_loop.py --scene {scene}{f' --seed {seed}' if seed else ''}"
    for what, goal in (("particle error", "<= 1/3"), ("Chamfer distance", "<= 1/3"), ("PSNR gained", ">= 3 dB")):
        record(f"loop, {scene} {seed}: round 3's {what}", None, "", goal, None, note)


def _one(scene: str, seed: str, arms: dict[str, Any]) -> None:
    about = f"loop, {scene} {seed}"
    opened, fitted = _third(arms, "open"), _third(arms, "fitted")
    if opened is None or fitted is None:
        _skipped(scene, seed)
    else:
        far = opened["particle"] >= OFF
        for key, what in (("particle", "particle error"), ("chamfer", "Chamfer distance")):
            share = fitted[key] / opened[key]
            note = f"{fitted[key]:.2f} against {opened[key]:.2f} particle sizes, open loop"
            record(f"{about}: round 3's {what}", share, "of open's", "<= 1/3", share <= 1 / 3 if far else None, note)
        gained = fitted["psnr"] - opened["psnr"]
        note = f"fourth camera, {fitted['psnr']:.1f} against {opened['psnr']:.1f} dB"
        record(f"{about}: round 3's PSNR gained", gained, "dB", ">= 3", gained >= 3 if far else None, note)
    oracle = _third(arms, "oracle")
    if oracle is not None:
        note = f"Chamfer {oracle['chamfer']:.2f}, PSNR {oracle['psnr']:.1f} dB: the least that any loop can reach"
        record(f"{about}: with the true constants", oracle["particle"], "sizes", "reported", None, note)
    for name in ABLATIONS:
        row = _third(arms, name)
        if row is not None:
            record(f"{about}: round 3, arm '{name}'", row["particle"], "sizes", "reported", None,
                   f"Chamfer {row['chamfer']:.2f}, PSNR {row['psnr']:.1f} dB")  # fmt: skip


def _third(arms: dict[str, Any], name: str) -> dict[str, Any] | None:
    rounds = arms.get(name, [])
    return rounds[LAST] if len(rounds) > LAST else None
