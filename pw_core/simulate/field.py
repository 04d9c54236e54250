"""The one force field of a built simulation: a table of slots in device memory, so that new actions never recompile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.simulate.actions import SLOTS, Active


class SlotField:
    """SLOTS rows of acceleration [m/s²], centre [m], radius [m] (0: everywhere; negative: unused) and falloff.

    The kernel computes at grid nodes what `actions.weights` computes for particles; at nodes that are held, what brings
    them to rest.
    """

    def __init__(self, *, held: tuple[F64, F64, float, float] | None = None) -> None:
        """held: lower and upper corner [m] (3,) of the grid, its spacing [m] and a substep [s], where some of its nodes
        may be held; None: none ever are."""
        import genesis as gs
        import quadrants as qd

        rows = qd.field(gs.qd_float, shape=(SLOTS, 8))
        self._rows = rows
        self._written: np.ndarray[Any, Any] | None = None
        self._grid = held
        low_x, low_y, low_z, inverse_dx, rate = 0, 0, 0, 1.0, 0.0
        nodes: Any = None
        holds = held is not None
        if held is not None:
            lower, upper, dx, substep = held
            low_x, low_y, low_z = (int(v) for v in np.round(lower / dx))
            inverse_dx, rate = 1 / dx, 1 / substep
            nodes = qd.field(gs.qd_float, shape=tuple(int(n) for n in np.round((upper - lower) / dx) + 1))
        self._nodes = nodes

        @qd.func
        def acceleration(pos, vel, t, i):  # type: ignore[no-untyped-def]
            total = qd.Vector.zero(gs.qd_float, 3)
            for s in range(SLOTS):
                radius = rows[s, 6]
                if radius >= 0.0:
                    weight = gs.qd_float(1.0)
                    if radius > 0.0:
                        d = qd.Vector([pos[0] - rows[s, 3], pos[1] - rows[s, 4], pos[2] - rows[s, 5]])
                        r = d.norm() / radius
                        if r >= 1.0:
                            weight = 0.0
                        elif rows[s, 7] > 1.5:
                            weight = qd.exp(-4.5 * r * r)
                        elif rows[s, 7] > 0.5:
                            weight = 1.0 - r
                    total += weight * qd.Vector([rows[s, 0], rows[s, 1], rows[s, 2]])
            if qd.static(holds):
                x = qd.cast(qd.floor(pos[0] * inverse_dx + 0.5), gs.qd_int) - low_x
                y = qd.cast(qd.floor(pos[1] * inverse_dx + 0.5), gs.qd_int) - low_y
                z = qd.cast(qd.floor(pos[2] * inverse_dx + 0.5), gs.qd_int) - low_z
                if nodes[x, y, z] > 0.5:
                    total = -rate * vel
            return total

        self.force_field = gs.force_fields.Custom(acceleration)

    def hold(self, nodes: NDArray[np.int64]) -> None:
        """These nodes (n, 3), counted from the world's origin, stay at rest from now on; no others."""
        if self._grid is None:
            return
        lower, _, dx, _ = self._grid
        flags = np.zeros(self._nodes.shape, np.float32)
        flags[tuple((nodes - np.round(lower / dx).astype(np.int64)).T)] = 1
        self._nodes.from_numpy(flags)

    def write(self, active: list[Active]) -> None:
        """Put these actions in force; only what changed since the last call is sent."""
        table = np.zeros((SLOTS, 8), np.float32)
        table[:, 6] = -1.0
        for row, a in zip(table, active, strict=False):
            row[:3], row[3:6], row[6], row[7] = a.acceleration, a.center, a.radius, a.falloff
        if self._written is None or not np.array_equal(table, self._written):
            self._rows.from_numpy(table)
            self._written = table
