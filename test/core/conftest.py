"""A scene small enough to make in milliseconds."""

from __future__ import annotations

import pytest

from pw_core.scene import Scene
from support.ball_scene import ball_scene


@pytest.fixture
def scene() -> Scene:
    return ball_scene()
