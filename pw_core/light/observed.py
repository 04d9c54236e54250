"""What the photo showed of shadows, laid where things are now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, F64


@dataclass(frozen=True, kw_only=True)
class ObservedOptions:
    """How shares that were observed are laid over a map."""

    full_weight: float = 0.999
    """From which they count in full: powers are dear."""
    reach_cells: int = 1
    """Beyond their outermost cells, over which they fade to one; so many more, for rounding."""


def lay(
    kept: F32, shown: F32, base: F64, turn: F64, weight: float, *, options: ObservedOptions = ObservedOptions()
) -> None:  # fmt: skip
    """Multiply kept (R, C, 3) by shares (r, c, 3), one beyond their cells, to the power `weight`.

    Cell x of the map, row and column, takes that at base + turn^T x; base (2,), turn (2, 2). Only the cells that they
    reach are touched.
    """
    import cv2

    reach = options.reach_cells
    rows, columns = shown.shape[:2]
    corners = np.array([(r, c) for r in (-reach, rows - 1 + reach) for c in (-reach, columns - 1 + reach)], np.float64)
    there = (corners - base) @ turn.T
    low = np.clip(np.floor(there.min(0)).astype(int) - reach, 0, kept.shape[:2])
    high = np.clip(np.ceil(there.max(0)).astype(int) + reach + 1, low, kept.shape[:2])
    if (low == high).any():
        return
    within = kept[low[0] : high[0], low[1] : high[1]]
    row, column = base + turn.T @ low
    c, s = turn[0, 0], turn[1, 0]
    matrix = np.array([[c, -s, column], [s, c, row]])  # (column, row) for cv2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    here = cv2.warpAffine(shown, matrix, (within.shape[1], within.shape[0]), flags=flags, borderValue=(1, 1, 1))
    within *= here if weight > options.full_weight else here ** np.float32(weight)
