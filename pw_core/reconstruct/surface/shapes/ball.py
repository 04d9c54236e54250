"""Standing things that are balls, or eggs on end: of all spheroids on the table, the one with the mask's silhouette.

Their foot cannot be seen: taken for any other solid they would be put too far away and cut flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.shapes.silhouette import Silhouette
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class BallOptions:
    """How a spheroid is looked for in a mask."""

    evaluations: int = 250
    """Of silhouettes."""
    rings: int = 12
    """Of points on it, from pole to pole ..."""
    angles: int = 32
    """... with so many each, whose hull is its silhouette."""
    round_cost: float = 0.01
    """Of a share of the mask, for each e times that it is higher than wide, or less high."""
    least_iou: float = 0.975
    """Of its silhouette and the mask, for the thing to count as one."""


@dataclass(frozen=True)
class Ball:
    """A spheroid that touches z = 0 at x, y [m], with radii [m] across and upright; the IoU of its silhouette with the
    mask."""

    x: float
    y: float
    across: float
    upright: float
    iou: float

    def points(self, rings: int, angles: int) -> F64:
        """(rings * angles, 3) [m] on its surface."""
        v, u = np.meshgrid((np.arange(rings) + 0.5) * np.pi / rings, np.arange(angles) * 2 * np.pi / angles)
        a, c = self.across, self.upright
        points = [self.x + a * np.sin(v) * np.cos(u), self.y + a * np.sin(v) * np.sin(u), c * (1 - np.cos(v))]
        return np.stack(points, -1).reshape(-1, 3)


def find_ball(mask: Mask, camera: Camera, *, options: BallOptions = BallOptions()) -> Ball | None:
    """The spheroid on z = 0 whose silhouette is nearest to a mask (H, W); None where its foot shows no table."""
    seen = Silhouette.of(mask, camera)
    if seen is None:
        return None

    def ball(p: F64, iou: float = 0.0) -> Ball:
        return Ball(float(p[0]), float(p[1]), float(np.exp(p[2])), float(np.exp(p[3])), iou)

    def iou(p: F64) -> float:
        return seen.iou(ball(p).points(options.rings, options.angles))

    radius = np.log(seen.width_m / 2)
    start = np.array([seen.near_m + seen.width_m / 2, seen.across_m, radius, radius])
    steps = np.array([0.3 * seen.width_m, 0.1 * seen.width_m, 0.1, -0.1])
    found, _ = seen.best(
        lambda p: 1 - iou(p) + options.round_cost * abs(float(p[2] - p[3])), start, steps, options.evaluations
    )
    return ball(found, iou(found))


def ball_solid(
    mask: Mask, camera: Camera, rays: F64, *, options: BallOptions = BallOptions()
) -> tuple[F64, F64, float] | None:  # fmt: skip
    """Front and back depth [m] (H, W), nan outside the mask, of a thing that is a spheroid, and its middle's x [m];
    None for one that is none. rays (H, W, 3): those of the pixels."""
    found = find_ball(mask, camera, options=options)
    if found is None or found.iou < options.least_iou:
        return None
    scale = np.array([found.across, found.across, found.upright])
    eye = (camera.centre - [found.x, found.y, found.upright]) / scale
    way = rays / scale
    a, b, c = (way**2).sum(-1), way @ eye, float(eye @ eye) - 1
    root = np.sqrt(np.maximum(b**2 - a * c, 0))  # a line of sight that just misses it passes by its rim
    front, back = (np.where(mask, d, np.nan) for d in ((-b - root) / a, (-b + root) / a))
    return front, back, found.x
