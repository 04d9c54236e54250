"""A scene as fewer, larger Gaussians: for pictures while somebody orbits, and for browsers.

A background of one photo has a Gaussian for each of its pixels, some 300 000. viser's renderer leaves out Gaussians
that are smaller than about a pixel (alpha times the determinant of the projected covariance below 0.25, see its
`GaussianSplatsHelpers.ts`), so that the far table, seen at a grazing angle, lets the backdrop through; and it draws on
the CPU where there is no GPU. Merging those that fall into one cell of the photo's camera mends the first and quarters
the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, SH_C0, Camera, Gaussians


@dataclass(frozen=True, kw_only=True)
class FewerOptions:
    """What falls together."""

    cell_px: float = 3.0
    """Side of a cell in the pixels of the scene's first camera: 2 draws half as fast, 4 blurs what is printed on a
    table."""
    layer_ratio: float = 1.05
    """Depths within this ratio are one layer: a table's far edge and the backdrop behind it are not."""
    unseen_m: float = 0.01
    """Side of the cells [m] of what lies behind the camera."""
    spread: float = 3.0
    """By which the covariance of many that became one is multiplied: as it is, even cells lie three standard deviations
    apart and what is behind shows between them; more blurs."""
    nearest_m: float = 0.05
    """Depth [m] from which a Gaussian counts as before the camera."""


class Fewer:
    """The grouping, made once; colours may change with the looks, places with what they hang on.

    means [m] (M, 3), covariances [m²] (M, 3, 3), opacities 0 to 1 (M,): by the first two moments of each group.

    Args:
        owners: (N,) what each hangs on: those of two never fall together. None: all on the same.
    """

    def __init__(self, splats: Gaussians, camera: Camera, *, owners: NDArray[np.int64] | None = None,
                 options: FewerOptions = FewerOptions()) -> None:  # fmt: skip
        self._group = _groups(splats.means, camera, options)
        if owners is not None and len(splats):
            together = self._group * (int(owners.max()) + 1) + owners
            self._group = np.asarray(np.unique(together, return_inverse=True)[1], np.int64)
        count = int(self._group.max()) + 1 if len(splats) else 0
        alpha = 1 / (1 + np.exp(-splats.opacities.astype(np.float64)))
        largest = np.sort(np.exp(splats.log_scales.astype(np.float64)), 1)[:, 1:]
        self._weight: F64 = alpha * largest.prod(1)
        self._total = np.maximum(np.bincount(self._group, self._weight, count), np.finfo(np.float64).tiny)
        self._count = count
        members = np.bincount(self._group, minlength=count)
        self._wider = 1 + (options.spread - 1) * (1 - 1 / np.maximum(members, 1))
        self.means, self.covariances = self.placed(splats.means, splats.covariances())
        self.opacities: F32 = self.mean(alpha[:, None])[:, 0]

    def __len__(self) -> int:
        return self._count

    def placed(self, means: F32, covariances: F32) -> tuple[F32, F32]:
        """Means [m] (M, 3) and covariances [m²] (M, 3, 3) where the many have these (N, 3), (N, 3, 3)."""
        middle = self.mean(means)
        apart = means - middle[self._group]
        spread = covariances.reshape(-1, 9) + (apart[:, :, None] * apart[:, None, :]).reshape(-1, 9)
        upper = self.mean(spread[:, _UPPER]) * self._wider[:, None].astype(np.float32)
        return middle, upper[:, _FULL].reshape(-1, 3, 3)

    def colors(self, sh: F32) -> F32:
        """RGB 0 to 1 (M, 3) of harmonics (N, K, 3): what does not depend on the view."""
        return self.mean(np.clip(0.5 + SH_C0 * sh[:, 0], 0, 1))

    def mean(self, values: NDArray[np.floating]) -> F32:
        """Of each group, of values (N, D)."""
        sums = [np.bincount(self._group, self._weight * column, self._count) for column in values.T]
        return np.asarray(np.stack(sums, 1) / self._total[:, None], np.float32)


_UPPER = [0, 1, 2, 4, 5, 8]  # of a symmetric matrix's nine
_FULL = [0, 1, 2, 1, 3, 4, 2, 4, 5]  # where the nine are in those six


def _groups(means: F32, camera: Camera, o: FewerOptions) -> NDArray[np.int64]:
    """The group of each of the means [m] (N, 3)."""
    uv, depth = camera.project(means.astype(np.float64))
    before = depth > o.nearest_m
    layer = np.log(np.maximum(depth, o.nearest_m)) / np.log(o.layer_ratio)
    cells = np.floor(np.column_stack([uv / o.cell_px, layer]))
    cells[~before] = np.floor(means[~before] / o.unseen_m)
    keys = np.column_stack([before, cells]).astype(np.int64)
    keys -= keys.min(0) if len(keys) else 0
    size = keys.max(0) + 1 if len(keys) else np.ones(4, np.int64)
    flat = ((keys[:, 0] * size[1] + keys[:, 1]) * size[2] + keys[:, 2]) * size[3] + keys[:, 3]
    return np.asarray(np.unique(flat, return_inverse=True)[1], np.int64)
