"""The small ball scene under a light of which everything is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.scene import Light, LitWall, Scene
from support.ball_scene import ball_scene


def light(*, observed: float = 0.0) -> Light:
    """From the left (+y), 45 degrees high, and a room; what was observed beside that is one dark patch round the
    origin of the cells, if any."""
    patch = np.zeros((1, 9, 9, 3), np.float32)
    patch[0, 3:6, 3:6] = observed
    middle = np.floor(ball_scene().rest[:, :2].mean(0) / 0.002).astype(np.int64)
    return Light(
        np.array([0, 0.5**0.5, 0.5**0.5]), 0.1, np.full(3, 0.4), np.full(3, 0.3), 0.002, middle - 4, patch
    )  # fmt: skip


def lit_scene(**changes: float) -> Scene:
    """The scene with that light, on a table that is flat."""
    scene = ball_scene()
    flat = scene.background.log_scales + np.float32([0, 0, -4])
    return replace(scene, background=replace(scene.background, log_scales=flat), light=light(**changes))


def before_wall(
    *, away_m: float = 0.11, observed: float = 0.0, lamp: tuple[float, float, float] = (-1, 0.5, 0.4)
) -> Light:
    """The same room with the lamp, towards (3,), before the things and to their left, and a wall that is `away_m` [m]
    behind the ball's middle; what was observed of that is one dark patch behind the ball, if any."""
    direction = np.array(lamp) / np.linalg.norm(lamp)
    patch = np.zeros((1, 60, 60, 3), np.float32)
    patch[0, 20:40, 20:40] = observed
    x, y, z = ball_scene().rest.mean(0)
    first = np.floor(np.array([z, y]) / 0.002).astype(np.int64) - 30
    wall = LitWall(float(x) + away_m, np.full(3, 0.5), np.full(3, 0.2), first, patch)
    return replace(light(), direction=direction, wall=wall)
