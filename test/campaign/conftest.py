"""Nodes to try, as in test/ros."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("ros_conftest", Path(__file__).parents[1] / "ros/conftest.py")
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
start_node = _module.start_node
