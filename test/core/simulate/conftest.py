"""Builds are slow, so tests of one material share one simulation, reset between them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("ball", Path(__file__).parents[1] / "conftest.py")
assert _SPEC and _SPEC.loader
_BALL = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_BALL)


@pytest.fixture(scope="session")
def elastic():
    from pw_core.simulate import Simulation

    scene = _BALL.ball_scene("elastic", count=1200)
    return scene, Simulation.build(scene)
