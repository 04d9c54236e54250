"""A ball that hangs before a patterned wall, ray-cast: nothing stands on anything."""

from __future__ import annotations

import numpy as np

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.render.cameras import look_at
from support.ball import HEIGHT, WIDTH, pattern

RADIUS = 0.05
WALL_M = 0.35
"""How far behind the ball's middle the wall is [m]."""
K = np.array([[1.15 * WIDTH, 0, WIDTH / 2], [0, 1.15 * WIDTH, HEIGHT / 2], [0, 0, 1.0]])


def camera(centre: np.ndarray, angle: float, *, height: float = -0.1, name: str = "view") -> Camera:
    """Before the wall, turned by an angle about the ball, that much [m] higher than its middle."""
    eye = centre + np.array([-0.4 * np.cos(angle), -0.4 * np.sin(angle), height])
    return Camera(name, K, look_at(eye, centre), WIDTH, HEIGHT)


def shot(cam: Camera, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, depth [m] and the ball's mask."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays, eye = cam.rays(np.stack([x, y], -1)).reshape(-1, 3), cam.centre
    wall = (centre[0] + WALL_M - eye[0]) / np.maximum(rays[:, 0], 1e-9)
    a, b = (rays**2).sum(1), rays @ (eye - centre)
    root = b**2 - a * (((eye - centre) ** 2).sum() - RADIUS**2)
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    mask, depth = ball < wall, np.minimum(ball, wall)
    points = eye + rays * depth[:, None] - centre
    behind, skin = pattern(points, scale=0.02, seed=1), pattern(points, scale=0.015, seed=2)
    color = np.where(mask[:, None], skin * [1.0, 0.35, 0.25], 0.25 + behind * [0.35, 0.5, 0.6])
    size = HEIGHT, WIDTH
    picture = (255 * color).round().astype(np.uint8).reshape(*size, 3)
    return picture, depth.reshape(size).astype(np.float32), mask.reshape(size)


def shots(centre: np.ndarray, count: int, *, depth: bool = True, poses: bool = True) -> Inputs:
    """From an arc before the wall, from below to above the ball."""
    views = []
    for i, angle in enumerate(np.linspace(-0.7, 0.7, count)):
        cam = camera(centre, float(angle), height=-0.12 + 0.05 * (i % 3), name=f"v{i:02d}.png")
        picture, d, _ = shot(cam, centre)
        views.append(ViewInput(cam.name, picture, d if depth else None, cam.K if poses else None,
                               cam.viewmat if poses else None))  # fmt: skip
    return Inputs(tuple(views))


def config(mask: np.ndarray, **changes: object) -> SceneConfig:
    """The ball, held at its top, by a box round its mask (H, W)."""
    rows, columns = np.nonzero(mask)
    box = [float(v) for v in (columns.min() - 3, rows.min() - 3, columns.max() + 4, rows.max() + 4)]
    entity = {"name": "ball", "material": {"model": "elastic", "youngs_modulus_pa": 4e4}, "prompt": {"box": box},
              "fixed": "top", "diameter_m": 2 * RADIUS}  # fmt: skip
    return SceneConfig.parse({
        "name": "hanging", "ground": "none", "camera": {"height_m": 1.5, "pitch_deg": -14, "hfov_deg": 47},
        "entities": [entity | changes], "simulation": {"particles": 800}, "reconstruct": {"width_px": WIDTH},
    })  # fmt: skip
