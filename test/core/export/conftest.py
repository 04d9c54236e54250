"""A ball that moves, turns and is squeezed, as content of exports."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.export.content import Content
from pw_core.scene import Scene, Trajectory


@pytest.fixture
def trajectory(scene: Scene) -> Trajectory:
    centre = scene.rest.mean(0)
    frames = []
    for k in range(3):
        c, s = np.cos(0.3 * k), np.sin(0.3 * k)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1 - 0.1 * k]])
        frames.append((scene.rest - centre) @ turn.T + centre + [0.01 * k, 0, 0])
    positions = np.array(frames, np.float32)
    return Trajectory("t", "a", "b", np.arange(3) / 25, positions, positions * 0.1, {})


@pytest.fixture
def moving(scene: Scene, trajectory: Trajectory) -> Content:
    return Content.of_trajectory(scene, trajectory, origin_s=100.0)


@pytest.fixture
def still(scene: Scene) -> Content:
    return Content(scene, [0.0], lambda _: scene.initial_physics(), origin_s=100.0)
