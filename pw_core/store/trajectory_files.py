"""A trajectory's file, `.npz`: times, positions, velocities, body.<entity>, and `meta`, a JSON string."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.actions import parse_action
from pw_core.files import replace_file
from pw_core.scene import Trajectory


def trajectory_bytes(trajectory: Trajectory, *, compressed: bool = False) -> bytes:
    """What the file holds.

    Not compressed, for a commit waits for it: that would save 15 % of the bytes in over ten times the time.
    """
    t = trajectory
    meta = {"id": t.id, "start": t.start, "end": t.end, "actions": [a.model_dump(mode="json") for a in t.actions]}
    arrays: dict[str, Any] = {"times": t.times, "positions": t.positions, "velocities": t.velocities}
    arrays |= {f"body.{name}": poses for name, poses in t.bodies.items()}
    buffer = io.BytesIO()
    write: Callable[..., None] = np.savez_compressed if compressed else np.savez
    write(buffer, meta=np.array(json.dumps(meta)), **arrays)
    return buffer.getvalue()


def write_trajectory(path: Path, trajectory: Trajectory) -> None:
    """A copy for elsewhere, compressed; whole or not at all."""
    replace_file(path, trajectory_bytes(trajectory, compressed=True))


def read_trajectory(path: Path) -> Trajectory:
    """What `trajectory_bytes` made; whatever is wrong with the file raises its own error."""
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(str(arrays["meta"]))
        bodies = {key.removeprefix("body."): arrays[key] for key in arrays if key.startswith("body.")}
        return Trajectory(
            id=meta["id"], start=meta["start"], end=meta["end"], times=arrays["times"],
            positions=arrays["positions"], velocities=arrays["velocities"], bodies=bodies,
            actions=tuple(parse_action(a) for a in meta["actions"]),
        )  # fmt: skip
