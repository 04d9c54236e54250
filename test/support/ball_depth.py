"""Depth of the drawn ball, and programs that give it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.reconstruct.surface.inflate import table_depth
from support.ball_photo import (
    CENTRE,
    HEIGHT,
    RADIUS,
    WIDTH,
    ball_mask,
    camera,
    pixel_rays,
)  # fmt: skip


def true_depth() -> np.ndarray:
    """Of the drawn photo [m]: a ball, the table to x = 1.2 m, and a wall at 2 m."""
    rays, eye = pixel_rays().reshape(-1, 3), camera().centre
    ground = np.where(rays[:, 2] < 0, -eye[2] / np.minimum(rays[:, 2], -1e-9), np.inf)
    ground = np.where(ground * rays[:, 0] < 1.2, ground, 2.0 / rays[:, 0])
    a, b = (rays**2).sum(1), rays @ (eye - CENTRE)
    root = b**2 - a * (((eye - CENTRE) ** 2).sum() - RADIUS**2)
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    return np.minimum(ball, ground).reshape(HEIGHT, WIDTH)


def table() -> np.ndarray:
    return np.asarray((table_depth(camera()) < 1.2) & ~ball_mask())


def program(code: str, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a program that runs `code` with `image` and `output` set."""
    script = tmp_path / "program.py"
    script.write_text(f"import sys\nimport numpy as np\nimage, output = sys.argv[1:]\n{code}\n")
    return {"command": [sys.executable, str(script), "{image}", "{output}"], **settings}
