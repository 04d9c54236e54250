"""Gaussians as PLY files: one of an instant, or a folder of them with their times."""

from __future__ import annotations

import json
from pathlib import Path

from pw_core.export.content import Content, attributes
from pw_core.render.ply import write_ply

FRAMES = "frames.json"
"""In the folder of a sequence: what its files are."""


def write_still(content: Content, path: Path) -> None:
    """The only instant of `content`, things first, then the background."""
    write_ply(path, next(content.frames()).all)


def write_frames(content: Content, folder: Path) -> None:
    """`frame_0000.ply` and so on, and `frames.json`: their names, times [s], and which Gaussians are which entity's."""
    folder.mkdir()
    names = [f"frame_{k:04d}.ply" for k in range(len(content))]
    for name, frame in zip(names, content.frames()):
        write_ply(folder / name, frame.all)
    told = attributes(content) | {
        "frames": [{"file": n, "time_s": float(t)} for n, t in zip(names, content.times)],
        "entities": {e.name: [e.gaussians.start, e.gaussians.stop] for e in content.scene.entities},
    }
    (folder / FRAMES).write_text(json.dumps(told, indent=1), encoding="utf-8")
