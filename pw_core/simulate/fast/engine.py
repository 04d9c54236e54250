"""The fast engine behind the interface that `Simulation` has for any."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64
from pw_core.scene import Body, Entity, Scene
from pw_core.simulate.actions import Active
from pw_core.simulate.engine import COUPLING_CELLS, HELD_ARMATURE, Diverged
from pw_core.simulate.fast import layout
from pw_core.simulate.fast.distance import DistanceGrid, distance_grid
from pw_core.simulate.fast.particles import OutOfDomain, Solver
from pw_core.simulate.fast.rigid import sample, turn
from pw_core.simulate.meshes import collision_mesh
from pw_core.simulate.settings import SimulationSettings


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How the engine spreads its work; nothing of it changes a bit of a result."""

    fewest_particles_for_threads: int = 1500
    """With fewer particles, threads spend more on meeting between the phases than they save."""
    steps_between_trials: int = 40
    """How often the slower of one thread and all is tried again: a few per cent of the time at most."""


class Pace:
    """Whether threads pay: on a machine that others use, one that waits for another's core loses more than it gains.

    Steps are timed on one thread and on all; the faster is taken, and the other tried again now and then. The bits are
    the same.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._seconds: dict[int, float] = {}
        self._steps = 0

    def threads(self, particles: int, most: int) -> int:
        """How many threads the next step takes, of at most `most`."""
        if particles < self._options.fewest_particles_for_threads or most == 1:
            return 1
        self._steps += 1
        for threads in (most, 1):
            if threads not in self._seconds:
                return threads
        faster = min((most, 1), key=self._seconds.__getitem__)
        again = self._steps % self._options.steps_between_trials == 0
        return (1 if faster == most else most) if again else faster

    def took(self, threads: int, seconds: float) -> None:
        """Remember a step's time [s]."""
        before = self._seconds.get(threads, seconds)
        self._seconds[threads] = 0.7 * before + 0.3 * seconds


def _most_threads() -> int:
    """As many as torch takes, which is not loaded for that alone: it is the half of a first frame's time."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else os.cpu_count() or 1


class FastBody:
    """A row of the solver's bodies, see `engine.BodyHandle`."""

    def __init__(self, solver: Solver, row: int, distances: DistanceGrid) -> None:
        self._solver = solver
        self.row = row
        self.distances = distances

    def distance(self, point: F64) -> float:
        """Signed distance [m] of a point in the world (3,) from the body's surface, as the kernels have it."""
        s = self._solver
        x, y, z = point
        return float(sample(self._state, s.shapes[self.row], s.distances, s.gradients, x, y, z, np.zeros(3)))

    @property
    def _state(self) -> F64:
        state: F64 = self._solver.bodies[self.row]
        return state

    def read(self) -> Body:
        """See `BodyHandle`."""
        position, orientation, linear, angular = np.split(self._state[:13].copy(), [3, 7, 10])
        return Body(position, orientation, linear, angular)

    def write(self, body: Body) -> None:
        """See `BodyHandle`."""
        self._state[:13] = np.concatenate([body.position, body.orientation, body.linear, body.angular])
        turn(self._state)

    def hold(self, held: bool) -> None:
        """See `BodyHandle`."""
        self._state[layout.BODY_HELD] = HELD_ARMATURE if held else 0.0

    def take_coupling(self) -> tuple[F64, F64]:
        """See `BodyHandle`."""
        wrench = self._state[layout.BODY_FORCE : layout.BODY_FORCE + 6]
        force, torque = wrench[:3].copy(), wrench[3:].copy()
        wrench[:] = 0
        return force, torque


class FastEngine:
    """This project's own MPM kernels, see `engine.Engine`. Bits do not depend on the number of threads.

    It runs on torch's number of threads, as the renderer does.
    """

    bodies: Mapping[str, FastBody]

    def __init__(self, scene: Scene, settings: SimulationSettings, *, options: EngineOptions = EngineOptions()) -> None:
        self._pace = Pace(options)
        self._soft = [e for e in scene.entities if e.kind == "deformable"]
        counts = [e.particles.stop - e.particles.start for e in self._soft]
        self._substeps = settings.substeps
        self._solver = Solver(
            np.repeat(np.arange(len(counts), dtype=np.int32), counts), entities=len(counts), dx=settings.cell_m,
            dt=settings.substep_s, volume=settings.particle_size_m**3, lower=settings.lower, upper=settings.upper,
            floor=scene.config.has_table,
        )  # fmt: skip
        self._counts = counts
        self._solver.friction = np.float32(scene.config.simulation.floor_friction)
        self.bodies = {e.name: self._add_body(e, settings) for e in scene.entities if e.kind != "deformable"}

    def _add_body(self, entity: Entity, settings: SimulationSettings) -> FastBody:
        mesh = collision_mesh(entity)
        inertia = np.asarray(mesh.moment_inertia, np.float64) * (entity.mass_kg / max(abs(float(mesh.volume)), 1e-12))
        grid = distance_grid(mesh.vertices, mesh.faces)
        softness = COUPLING_CELLS * settings.cell_m
        row = self._solver.add_body(
            grid, mass=entity.mass_kg, inertia=inertia, friction=entity.material.friction, softness=softness
        )
        return FastBody(self._solver, row, grid)

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

    def hold(self, positions: F32) -> None:
        """See `Engine`."""
        self._solver.hold(positions)

    def write_friction(self, body: str, friction: float) -> None:
        """See `Engine`."""
        if body:
            self._solver.bodies[self.bodies[body].row, layout.BODY_FRICTION] = friction
        else:
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
        threads = self._pace.threads(len(self._solver.positions), _most_threads())
        begun = time.perf_counter()
        try:
            self._solver.advance(self._substeps, threads=threads)
        except OutOfDomain as error:
            raise Diverged(str(error)) from error
        self._pace.took(threads, time.perf_counter() - begun)
