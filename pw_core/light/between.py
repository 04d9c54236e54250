"""Shadows that entities cast on each other, from their particles as they are.

Along the light all particles are thrown on the plane z = 0. Of two that fall on the same place the higher one is nearer
to the lamp: where another entity's highest one is above a particle, and its own entity's is not, the lamp's light is
kept off it. What the photo shows holds at rest: brightness is told as a ratio to that.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from pw_core.gaussians import F32, SH_C0
from pw_core.kernels.options import KERNEL
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class BetweenOptions:
    """How shadows on other entities are found; sizes are those of particles."""

    cell: float = 1.0
    """Of the maps: no hole between neighbours."""
    most_cells: int = 256
    """Along each side; larger scenes have larger cells."""
    least_rise: float = 1.5
    """By how much what casts a shadow is above what it falls on: neighbours do not shade each other."""
    full_rise: float = 3.5
    """From which all of the lamp's light is kept off."""
    most_ratio: float = 2.0
    """Of brightness now to that at rest, either way."""
    least_change: float = 0.01
    """Of that ratio: less is not drawn."""


class Between:
    """Of entities whose particles were at `rest` [m] (J, 3)."""

    def __init__(
        self, rest: F32, entities: Sequence[Entity], light: Light, *, options: BetweenOptions = BetweenOptions()
    ) -> None:
        self.options, self.light = options, light
        self._owner = np.zeros(len(rest), np.int64)
        self._size = np.empty(len(rest), np.float32)
        for i, e in enumerate(entities):
            self._owner[e.particles] = i
            self._size[e.particles] = e.particle_size_m
        self._count = len(entities)
        self._slope = (light.direction[:2] / light.direction[2]).astype(np.float32)
        self._rest = self._lit(rest)

    def ratio(self, positions: F32) -> F32 | None:
        """Brightness (J, 3) of particles at `positions` [m] (J, 3) over that at rest; None where nothing changes."""
        o = self.options
        out = np.clip(self._lit(positions) / self._rest, 1 / o.most_ratio, o.most_ratio)
        return np.asarray(out, np.float32) if np.abs(out - 1).max() > o.least_change else None

    def _lit(self, positions: F32) -> F32:
        """Brightness (J, 3): what the others leave of it."""
        import cv2

        o = self.options
        at = positions[:, :2] - np.maximum(positions[:, 2:], 0) * self._slope
        low, high = at.min(0), at.max(0)
        step = max(o.cell * float(self._size.max()), float((high - low).max()) / o.most_cells)
        cells = ((at - low) / step + 1).astype(np.float32)
        rows, columns = (int(n) for n in np.ceil((high - low) / step) + 3)
        tops = np.full((self._count, rows, columns), -1, np.float32)
        _highest(cells, np.ascontiguousarray(positions[:, 2]), self._owner, tops)
        # Particles are as wide as a cell: what one covers, its neighbours' gaps included.
        tops = np.stack([cv2.dilate(t, np.ones((3, 3), np.uint8)) for t in tops])
        dark = np.zeros(len(positions), np.float32)
        _shaded(cells, np.ascontiguousarray(positions[:, 2]), self._size, self._owner, tops,
                np.float32(o.least_rise), np.float32(o.full_rise), dark)  # fmt: skip
        return np.asarray(1 - dark[:, None] * self.light.key, np.float32)


def shaded(sh: Any, share: Any) -> Any:
    """Spherical harmonics (N, K, 3) of colours that are `share` (N, 3) times as bright: torch tensors of any device,
    differentiable."""
    out = sh * share[:, None]
    out[:, 0] += (share - 1) * (0.5 / SH_C0)  # colours are half a unit above their harmonics
    return out


@njit(**KERNEL)
def _highest(cells, z, owner, tops):
    """tops (E, R, C): the height [m] of each entity's highest particle in each cell."""
    for j in range(len(cells)):
        r, c = int(cells[j, 0]), int(cells[j, 1])
        if tops[owner[j], r, c] < z[j]:
            tops[owner[j], r, c] = z[j]


@njit(**KERNEL)
def _shaded(cells, z, size, owner, tops, least, full, dark):
    """dark (J,): the share of the lamp's light that other entities keep off each particle and its own does not."""
    for j in range(len(cells)):
        r, c = int(cells[j, 0]), int(cells[j, 1])
        own, other = np.float32(0), np.float32(0)
        for e in range(len(tops)):
            rise = (tops[e, r, c] - z[j]) / size[j]
            share = min(max((rise - least) / (full - least), np.float32(0)), np.float32(1))
            if e == owner[j]:
                own = share
            elif share > other:
                other = share
        dark[j] = other * (1 - own)
