"""The fast engine behind the interface that `Simulation` has for any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.scene import Scene
from pw_core.simulate.actions import Active
from pw_core.simulate.engine import BodyHandle, Diverged
from pw_core.simulate.fast import layout
from pw_core.simulate.fast.particles import OutOfDomain, Solver
from pw_core.simulate.settings import SimulationSettings

_FEW = 1500  # particles: with fewer, threads spend more on meeting than they save


class FastEngine:
    """This project's own MPM kernels, see `engine.Engine`. Bits do not depend on the number of threads.

    It runs on `torch.get_num_threads()` threads, as the renderer does.
    """

    bodies: Mapping[str, BodyHandle]

    def __init__(self, scene: Scene, settings: SimulationSettings) -> None:
        self._soft = [e for e in scene.entities if e.kind == "deformable"]
        counts = [e.particles.stop - e.particles.start for e in self._soft]
        self._substeps = settings.substeps
        self._solver = Solver(
            np.repeat(np.arange(len(counts), dtype=np.int32), counts), entities=len(counts), dx=settings.cell_m,
            dt=settings.substep_s, volume=settings.particle_size_m**3, lower=settings.lower, upper=settings.upper,
        )  # fmt: skip
        self._counts = counts
        self._solver.friction = np.float32(scene.config.simulation.floor_friction)
        self.bodies = {}

    def read_particles(self) -> dict[str, NDArray[Any]]:
        """See `Engine`."""
        s = self._solver
        return {
            "positions": s.positions.copy(), "velocities": s.velocities.copy(), "C": s.C.reshape(-1, 3, 3).copy(),
            "F": s.F.reshape(-1, 3, 3).copy(), "Jp": s.Jp.copy(), "active": s.active.copy(),
        }  # fmt: skip

    def write_particles(self, arrays: dict[str, NDArray[Any]]) -> None:
        """See `Engine`."""
        s = self._solver
        s.positions[:], s.velocities[:] = arrays["positions"], arrays["velocities"]
        s.C[:], s.F[:] = arrays["C"].reshape(-1, 9), arrays["F"].reshape(-1, 9)
        s.Jp[:], s.active[:] = arrays["Jp"], arrays["active"]

    def write_materials(self, rows: F64) -> None:
        """See `Engine`."""
        for k, (entity, row) in enumerate(zip(self._soft, rows, strict=True)):
            self._solver.set_entity(
                k, entity.material.model, lam=row[0], mu=row[1], threshold=row[2], viscosity=row[3],
                mass=entity.mass_kg / max(1, self._counts[k]),
            )  # fmt: skip

    def write_friction(self, body: str, friction: float) -> None:
        """See `Engine`."""
        self._solver.friction = np.float32(friction)

    def write_slots(self, active: list[Active]) -> None:
        """See `Engine`."""
        s, everywhere = self._solver, np.zeros(3)
        s.slot_count = 0
        for a in active:
            if a.radius > 0:
                row = s.slots[s.slot_count]
                row[:3], row[3:6], row[6], row[7] = a.acceleration, a.center, a.radius, a.falloff
                s.slot_count += 1
            else:
                everywhere += a.acceleration
        s.constants[layout.GRAVITY : layout.GRAVITY + 3] = everywhere

    def step(self) -> None:
        """See `Engine`."""
        threads = torch.get_num_threads() if len(self._solver.positions) >= _FEW else 1
        try:
            self._solver.advance(self._substeps, threads=threads)
        except OutOfDomain as error:
            raise Diverged(str(error)) from error
