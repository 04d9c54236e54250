"""Checksums by which a flipped bit is seen: of each state inside its file, of a scene's own files beside them.

A trajectory's `.npz` has a CRC-32 for each of its arrays, which reading them checks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUM = "sha256"
"""The key of a state's checksum in its file's metadata; older files have none."""

SCENE_SUMS = "checksums.json"
"""A scene's own files and their SHA-256, written with them; older scenes have none."""


def sum_of(arrays: dict[str, NDArray[Any]], meta: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and contents of all arrays, and over the metadata but for the sum itself."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.data if array.size else b"")
    total.update(json.dumps({k: meta[k] for k in sorted(meta) if k != SUM}).encode())
    return total.hexdigest()


def write_scene_sums(folder: Path) -> None:
    """Of all files that are in the scene's folder now."""
    sums = {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*")) if p.is_file()
    }  # fmt: skip
    (folder / SCENE_SUMS).write_text(json.dumps(sums, indent=1))


def broken_scene_files(folder: Path) -> dict[str, str]:
    """Files of a scene that are not what was written, and what is wrong with each; nothing for older scenes.

    Raises:
        ValueError, OSError: the list of checksums cannot be read itself.
    """
    path = folder / SCENE_SUMS
    if not path.is_file():
        return {}
    out = {}
    for name, wanted in dict(json.loads(path.read_text())).items():
        file = folder / name
        if not file.is_file():
            out[name] = "is missing"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
            out[name] = "is not what was written: its checksum differs"
    return out
