"""The one force field of a built simulation: a table of slots in device memory, so that new actions never recompile."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.simulate.actions import SLOTS, Active


class SlotField:
    """SLOTS rows of acceleration [m/s²], centre [m], radius [m] (0: everywhere; negative: unused) and falloff.

    The kernel computes at grid nodes what `actions.weights` computes for particles.
    """

    def __init__(self) -> None:
        import genesis as gs
        import quadrants as qd

        rows = qd.field(gs.qd_float, shape=(SLOTS, 8))
        self._rows = rows
        self._written: np.ndarray[Any, Any] | None = None

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
            return total

        self.force_field = gs.force_fields.Custom(acceleration)

    def write(self, active: list[Active]) -> None:
        """Put these actions in force; only what changed since the last call is sent."""
        table = np.zeros((SLOTS, 8), np.float32)
        table[:, 6] = -1.0
        for row, a in zip(table, active, strict=False):
            row[:3], row[3:6], row[6], row[7] = a.acceleration, a.center, a.radius, a.falloff
        if self._written is None or not np.array_equal(table, self._written):
            self._rows.from_numpy(table)
            self._written = table
