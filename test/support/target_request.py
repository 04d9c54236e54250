"""A small request: a red square that moves right over a textured background, seen by one or two cameras."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.gaussians import Camera
from pw_core.refine.targets.types import TargetRequest

H, W, T = 48, 64, 5


def camera(name: str, *, width: int = W, height: int = H) -> Camera:
    return Camera.above_table(height_m=0.2, pitch_deg=15, hfov_deg=40, width=width, height=height, name=name)


def make_request(*, views: int = 1, count: int = T, **changes: Any) -> TargetRequest:
    rng = np.random.default_rng(0)
    back = rng.integers(60, 200, (H, W, 3)).astype(np.uint8)
    pictures = np.tile(back, (views, count, 1, 1, 1))
    masks = np.zeros((views, count, H, W), np.int32)
    flow = np.zeros((views, count - 1, H, W, 2), np.float32)
    for t in range(count):
        box = (slice(None), t, slice(16, 32), slice(10 + 2 * t, 26 + 2 * t))
        pictures[box] = (200, 40, 30)
        masks[box] = 1
        if t < count - 1:
            flow[box] = (2, 0)
    values: dict[str, Any] = {
        "times": np.arange(count) * 0.04, "cameras": tuple(camera(f"cam{i}") for i in range(views)),
        "frames": pictures, "flow": flow, "masks": masks, "prompt": "a red square", "strengths": (0.5,) * views,
        "seed": 0, "stage": "front",
    }  # fmt: skip
    values.update(changes)
    return TargetRequest(**values)
