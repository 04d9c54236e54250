"""The real World and its real refinement on a ball with spots; only photo and physics are stand-ins, see
`test/core/loop/stand_in.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "stand_in", Path(__file__).resolve().parents[1] / "core" / "loop" / "stand_in.py"
)
assert _SPEC and _SPEC.loader
stand_in = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(stand_in)
SpottedWorld = stand_in.SpottedWorld
