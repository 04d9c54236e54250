"""A drawn photo of a ball on a table: its size, place and outline are known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera

WIDTH, HEIGHT = 320, 176
RADIUS = 0.05
CENTRE = np.array([0.6, 0.02, RADIUS])
STEM_PX = 16
"""Length of its stem, where it has one."""


def camera() -> Camera:
    return Camera.above_table(height_m=0.2, pitch_deg=15, hfov_deg=40, width=WIDTH, height=HEIGHT)


def pixel_rays() -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return camera().rays(np.stack([x, y], -1))


def ball_mask() -> NDArray[np.bool_]:
    rays = pixel_rays()
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    to = CENTRE - camera().centre
    return np.asarray((to @ to) - (rays @ to) ** 2 < RADIUS**2)


def ball_photo() -> NDArray[np.uint8]:
    """A shaded red ball on a grained brown table before a grey wall."""
    rng = np.random.default_rng(0)
    rays, mask = pixel_rays(), ball_mask()
    picture = np.full((HEIGHT, WIDTH, 3), (150, 150, 160), np.float64)
    table = np.where(rays[..., 2] < 0, -0.2 / np.minimum(rays[..., 2], -1e-9), np.inf) * rays[..., 0] < 1.2
    picture[table] = (120, 85, 50)
    picture[table] += (8 * rng.normal(size=(HEIGHT, 1)) * np.ones((1, WIDTH)))[table][:, None]
    y = np.broadcast_to(np.arange(HEIGHT)[:, None], mask.shape)
    shade = np.clip(1.2 - 0.6 * (y - y[mask].min()) / np.ptp(y[mask]), 0.5, 1.2)
    picture[mask] = (np.array([190, 40, 40]) * shade[..., None])[mask]
    return (picture + rng.normal(size=picture.shape)).clip(0, 255).astype(np.uint8)


def ball_config(**changes: object) -> SceneConfig:
    rows, columns = np.nonzero(ball_mask())
    box = [float(v) for v in (columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)]
    entity = {"name": "ball", "material": {"model": "elastic"}, "prompt": {"box": box}}
    fields: dict[str, object] = {
        "name": "ball", "camera": {"height_m": 0.2, "pitch_deg": 15, "hfov_deg": 40}, "table": {"edge_m": 1.2},
        "entities": [entity | changes], "simulation": {"particles": 1000}, "reconstruct": {"width_px": WIDTH},
    }  # fmt: skip
    return SceneConfig.parse(fields)


def stem_photo() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The same ball with a dark stem that leans, three pixels thick, which its mask has not; and the stem's mask."""
    photo, mask = ball_photo(), ball_mask()
    y, x = np.nonzero(mask)
    top = int(x[y == y.min()].mean()), int(y.min()) + 1
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.line(drawn, top, (top[0] - 4, top[1] - STEM_PX), 1, 3)
    stem = (drawn > 0) & ~mask
    photo[stem] = (60, 50, 40)
    return photo, stem


def spiny_photo() -> NDArray[np.uint8]:
    """The same ball with bright spines all round, a pixel thick and 0.35 of its radius long, that its mask has not."""
    photo, mask = ball_photo(), ball_mask()
    rows, columns = np.nonzero(mask)
    middle, radius = np.array([columns.mean(), rows.mean()]), np.ptp(columns) / 2
    spiny = photo.copy()
    for a in np.linspace(0, 2 * np.pi, 48, endpoint=False):
        way = np.array([np.cos(a), np.sin(a)])
        ends = [tuple(int(v) for v in middle + f * radius * way) for f in (0.9, 1.35)]
        cv2.line(spiny, ends[0], ends[1], (245, 240, 225), 1)
    spiny[mask] = photo[mask]
    return spiny
