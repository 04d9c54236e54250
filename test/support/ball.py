"""A ball on a patterned floor, ray-cast: pictures, depth, masks and cameras are all exact."""

from __future__ import annotations

import numpy as np

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.render.cameras import look_at

RADIUS = 0.05
CENTRE = np.array([0.0, 0.0, RADIUS])
WIDTH, HEIGHT = 240, 180


def pattern(points: np.ndarray, *, scale: float, seed: int) -> np.ndarray:
    """Smooth colour noise (n, 3), 0 to 1, fixed to the surface."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(14, 3)) / scale
    phase = rng.uniform(0, 6.3, (14, 3))
    value = sum(np.sin(points @ waves[i][:, None] + phase[i]) for i in range(14))
    return np.clip(0.5 + 0.14 * value, 0, 1)


def camera(
    angle: float, *, height: float = 0.3, distance: float = 0.4, name: str = "view", enlarged: int = 1
) -> Camera:
    eye = np.array([-distance * np.cos(angle), -distance * np.sin(angle), height])
    width, high = enlarged * WIDTH, enlarged * HEIGHT
    f = 1.15 * width
    K = np.array([[f, 0, width / 2], [0, f, high / 2], [0, 0, 1.0]])
    return Camera(name, K, look_at(eye, CENTRE), width, high)


def shot(
    cam: Camera, *, grain: float = 1.0, centre: np.ndarray = CENTRE, radius: float = RADIUS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, depth [m] and the ball's mask; below 1, finer patterns give more to match."""
    x, y = np.meshgrid(np.arange(cam.width) + 0.5, np.arange(cam.height) + 0.5)
    rays = cam.rays(np.stack([x, y], -1)).reshape(-1, 3)
    eye = cam.centre
    ground = np.where(rays[:, 2] < 0, -eye[2] / np.minimum(rays[:, 2], -1e-9), 5.0)
    a, b = (rays**2).sum(1), rays @ (eye - centre)
    root = b**2 - a * (((eye - centre) ** 2).sum() - radius**2)
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    mask = ball < ground
    depth = np.minimum(ball, ground)
    points = eye + rays * depth[:, None]
    floor, skin = pattern(points, scale=0.02 * grain, seed=1), pattern(points, scale=0.015 * grain, seed=2)
    color = np.where(mask[:, None], skin * [1.0, 0.35, 0.25], 0.25 + floor * [0.35, 0.5, 0.6])
    picture = (255 * color).round().astype(np.uint8).reshape(cam.height, cam.width, 3)
    size = cam.height, cam.width
    return picture, depth.reshape(size).astype(np.float32), mask.reshape(size)


def shots(count: int, *, depth: bool, poses: bool = True) -> tuple[Inputs, dict[str, np.ndarray]]:
    views, masks = [], {}
    for i in range(count):
        cam = camera(2 * np.pi * i / count, height=0.22 + 0.16 * (i % 3) / 2, name=f"v{i:02d}.png")
        picture, d, mask = shot(cam)
        views.append(ViewInput(cam.name, picture, d if depth else None, cam.K if poses else None,
                               cam.viewmat if poses else None))  # fmt: skip
        masks[cam.name] = mask
    return Inputs(tuple(views)), masks


def config(*, seen: Camera | None = None, reconstruct: object = None, **changes: object) -> SceneConfig:
    """The ball by a box round it in the view `seen`, by default the first of `shots`."""
    _, _, mask = shot(seen or camera(0.0, height=0.22))
    rows, columns = np.nonzero(mask)
    box = [float(v) for v in (columns.min() - 3, rows.min() - 3, columns.max() + 4, rows.max() + 4)]
    return SceneConfig.parse({
        "name": "ball", "camera": {"height_m": 0.3, "pitch_deg": 30, "hfov_deg": 47}, "table": {"edge_m": 3},
        "entities": [{"name": "ball", "material": {"model": "elastic"}, "prompt": {"box": box}} | changes],
        "simulation": {"particles": 800}, "reconstruct": reconstruct or {},
    })  # fmt: skip


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))
