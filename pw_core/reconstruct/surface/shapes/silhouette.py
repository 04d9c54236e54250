"""A mask that the silhouettes of convex solids on the table are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True)
class Silhouette:
    """A mask's part (h, w) whose first pixel is `origin` (column, row) of the camera's picture; where its lowest row
    meets the table: x and y [m]; and its width [m] there."""

    mask: NDArray[np.uint8]
    origin: F64
    camera: Camera
    near_m: float
    across_m: float
    width_m: float

    @classmethod
    def of(cls, mask: Mask, camera: Camera) -> Silhouette | None:
        """Of a mask (H, W); None where its lowest row shows no table."""
        rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
        ray = camera.rays(np.array([[columns.mean() + 0.5, rows[-1] + 1.0]]))[0]
        if ray[2] > -1e-6:
            return None
        near = float(-camera.centre[2] / ray[2] * ray[0])
        pad = max(len(rows), len(columns)) // 4
        top, left = max(rows[0] - pad, 0), max(columns[0] - pad, 0)
        part = np.ascontiguousarray(mask[top : rows[-1] + pad, left : columns[-1] + pad]).astype(np.uint8)
        width = len(columns) * near / float(camera.K[0, 0])
        across = float(ray[1] / ray[0]) * near
        return cls(part, np.array([left, top], np.float64), camera, near, across, width)

    def iou(self, points: F64, *, fraction_bits: int = 4) -> float:
        """Of the mask with the hull of points [m] (n, 3), which is drawn to that many bits of a pixel."""
        import cv2

        uv, depth = self.camera.project(points)
        if depth.min() < 1e-3 or np.abs(uv).max() > 1e5:
            return 0.0
        outline = cv2.convexHull((uv - self.origin - 0.5).astype(np.float32))
        drawn = np.zeros_like(self.mask)
        cv2.fillConvexPoly(drawn, (outline * 2**fraction_bits).round().astype(np.int32), 1, shift=fraction_bits)
        common = cv2.countNonZero(drawn & self.mask)  # many times as fast as NumPy's sum
        return common / max(cv2.countNonZero(drawn) + cv2.countNonZero(self.mask) - common, 1)

    def best(self, cost: Callable[[F64], float], start: F64, steps: F64, evaluations: int) -> tuple[F64, float]:
        """Parameters (n,) of the least cost, and that: the downhill simplex (Nelder and Mead 1965) from `start` (n,)
        and as far as `steps` (n,) from it."""
        from scipy.optimize import minimize

        found = minimize(cost, start, method="Nelder-Mead", options={
            "initial_simplex": np.vstack([start, start + np.diag(steps)]), "maxfev": evaluations,
            "xatol": 1e-4, "fatol": 1e-4,
        })  # fmt: skip
        return np.asarray(found.x), float(found.fun)
