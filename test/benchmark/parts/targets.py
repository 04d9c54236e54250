"""Bad targets through the node, each to be refused with its own reason and nothing changed; and SDEdit's limits."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from parts.node import running_node
from parts.records import ROOT, record

KINDS: dict[str, tuple[dict[str, Any], int, str]] = {
    "wrong size": ({"frames": lambda f: f[:, :40]}, 301, "px"),
    "wrong count": ({"frames": lambda f: f[:4]}, 301, "stamps"),
    "all black": ({"frames": lambda f: f * 0}, 301, "black"),
    "NaN": ({"frames": lambda f: f * np.float32(np.nan)}, 301, "NaN"),
    "stamps out of order": ({"stamps": lambda t: t[::-1]}, 305, "out of order"),
    "NaN stamps": ({"stamps": lambda t: t * np.nan}, 305, "nan"),
    "unknown camera": ({"name": "wrist"}, 306, "wrist"),
    "missing model folder": ({"provider": "video_diffusion"}, 304, "refine.settings.model"),
    "strength outside 0 to 1": ({"strength": 1.5}, 302, "1.5"),
}
"""What is done to a good film, or the goal's own fields; the error's code, and a word of its message."""


def bad_targets() -> None:
    """All of item 8."""
    os.environ["PYTHONPATH"] = f"{ROOT / 'test'}:{os.environ.get('PYTHONPATH', '')}"
    from support import stand_in

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "configs").mkdir()
        stand_in.write_scene(root / "configs" / "ball.yaml")
        parameters = (f"input_roots:=['{root}']", f"config_dirs:=['{root / 'configs'}']",
                      "world_factory:=support.stand_in:SpottedWorld")  # fmt: skip
        with running_node(root, *parameters) as (world, _):
            _measure(world, root, stand_in)


def _measure(world: Any, root: Path, stand_in: Any) -> None:
    from pw_core.errors import PWError
    from pw_msgs.msg import CameraView, RefineView

    world.reconstruct("ball")
    world.rollout([], stand_in.DURATION, frame_interval=stand_in.INTERVAL, commit=True)
    world.result(60)

    def state() -> Any:
        return [(s.state_id, s.head) for s in world.states()], world.render().tobytes()

    before, right, wrong = state(), 0, []
    grey = np.full((6, 96, 144, 3), 128, np.uint8)
    for k, (kind, (change, code, word)) in enumerate(KINDS.items()):
        goal: dict[str, Any] = {}
        if "provider" in change:
            goal["provider"] = change["provider"]
        elif "strength" in change:
            goal["views"] = [RefineView(view=CameraView(name="photo"), strength=change["strength"])]
        else:
            films = root / f"films-{k}"
            films.mkdir()
            frames = grey.astype(np.float32) / 255 if kind == "NaN" else grey
            np.savez(films / f"{change.get('name', 'photo')}.npz",
                     stamps=change.get("stamps", lambda t: t)(stand_in.TIMES),
                     frames=change.get("frames", lambda f: f)(frames))  # fmt: skip
            goal["frames_uri"] = f"file://{films}"
        world.refine(**goal)
        try:
            world.result(60)
            told, text = 0, "accepted"
        except PWError as error:
            told, text = int(error.code), str(error)
        if told == code and word in text and state() == before:
            right += 1
        else:
            wrong.append(f"{kind}: {told} {text}")
    note, most = "; ".join(wrong) or "through the node; the same kinds through `pw refine` are a test", len(KINDS)
    record("bad targets refused with their reason", right, f"of {most}", f"= {most}", right == most, note)
