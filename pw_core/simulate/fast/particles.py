"""The deformables' solver: state in the caller's order, constants as plain arrays, any number of threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.kernels import denormals
from pw_core.simulate.actions import SLOTS
from pw_core.simulate.fast import layout
from pw_core.simulate.fast.distance import DistanceGrid
from pw_core.simulate.fast.sort import sort
from pw_core.simulate.fast.steps import run
from pw_core.simulate.fast.transfer import OFFSETS, PIECES

_crews: dict[tuple[int, int], tuple[threading.Lock, ThreadPoolExecutor]] = {}
_crews_lock = threading.Lock()


class OutOfDomain(Exception):
    """Particles are at no finite position, or outside the grid."""


def held_nodes(positions: NDArray[np.float32], inverse_dx: np.float32) -> NDArray[np.int64]:
    """The grid's nodes (m, 3) that particles at these positions [m] (n, 3) give their momentum to."""
    base = np.floor(positions.astype(np.float32) * inverse_dx - np.float32(0.5)).astype(np.int64)
    offsets = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.unique((base[:, None] + offsets).reshape(-1, 3), axis=0)


class Solver:
    """MPM particles of several entities on a grid over `lower` to `upper` [m] (3,).

    Args:
        owners: each particle's entity, (n,) int32; all of an entity have the same mass and material.
        dx: the grid's spacing [m]; volume: of a particle, in all entities, as Genesis has it [m³].
        dt: a substep [s].
        floor: whether the table z = 0 bears what comes down.
    """

    def __init__(
        self, owners: NDArray[np.int32], *, entities: int, dx: float, dt: float, volume: float, lower: NDArray[Any],
        upper: NDArray[Any], floor: bool = True,
    ) -> None:  # fmt: skip
        n = len(owners)
        self.positions, self.velocities = np.zeros((n, 3), np.float32), np.zeros((n, 3), np.float32)
        self.C, self.F = np.zeros((n, 9), np.float32), np.zeros((n, 9), np.float32)
        self.Jp, self.active = np.ones(n, np.float32), np.ones(n, np.bool_)
        self.owners = np.ascontiguousarray(owners, np.int32)
        self.entities = np.zeros((max(1, entities), layout.ENTITY), np.float32)
        self.slots, self.slot_count = np.zeros((SLOTS, 8), np.float32), 0
        self.friction = np.float32(0.0)
        self.bodies = np.zeros((0, layout.BODY))
        self.shapes = np.zeros((0, 4), np.int64)
        self.distances, self.gradients = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
        self._reactions = np.zeros((0, 0, 6))
        self.volume = volume
        density = 1 / dx
        low, high = np.round(np.asarray(lower) * density), np.round(np.asarray(upper) * density)
        self._domain = low.astype(np.float32), (high - 2).astype(np.float32)  # where a particle's first node may be
        k = np.zeros(layout.CONSTANTS, np.float32)
        k[layout.DT], k[layout.DX], k[layout.INVERSE_DX] = dt, dx, density
        k[layout.STRESS] = -dt * volume * layout.VOLUME_SCALE * 4 * density * density
        k[layout.LOW : layout.LOW + 3] = np.asarray(lower) + 3 * dx
        k[layout.HIGH : layout.HIGH + 3] = np.asarray(upper) - 3 * dx
        k[layout.FLOOR] = 0 if floor else layout.NO_FLOOR
        self.constants = k
        self.held, self._held_low = np.zeros((0, 0, 0), np.uint8), np.zeros(3, np.int64)
        # Memory that is never touched is never there: the box of nodes is as large as the domain allows.
        nodes = np.prod(high - low + 24)
        self._grid = np.zeros(int(nodes) * 4, np.float32)
        # A stride that is an odd number of cache lines: rows of one particle fall into different sets of the cache.
        self._stride = ((n + 32) // 16 | 1) * 16
        self._sorted = np.zeros(layout.ROWS * self._stride, np.float32)
        self._cells, self._order, self._spare = np.zeros((n, 4), np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
        self._units = np.zeros((max(1, n), layout.UNIT), np.int32)
        self._nodes, self._lists = np.zeros((64, layout.NODE), np.int32), np.zeros(256, np.int32)
        self._tiles = np.zeros(0, np.float32)
        self._info = np.zeros(layout.INFO, np.int64)

    def set_entity(
        self, row: int, law: str, *, lam: float, mu: float, threshold: float, viscosity: float, mass: float
    ) -> None:
        """The constants of an entity's material: stresses [Pa] and a particle's mass [kg]."""
        e = self.entities[row]
        e[layout.LAW], e[layout.LAMBDA], e[layout.MU] = layout.LAWS[law], lam, mu
        e[layout.YIELD], e[layout.VISCOSITY] = threshold, viscosity
        e[layout.MASS] = mass * layout.VOLUME_SCALE

    def hold(self, positions: NDArray[np.float32]) -> None:
        """From now on the nodes that particles at these positions [m] (n, 3) reach stay at rest, and no others: such
        particles do not move at all, what is next to them is bound to them."""
        nodes = held_nodes(positions, self.constants[layout.INVERSE_DX])
        low = nodes.min(0) if len(nodes) else np.zeros(3, np.int64)
        self.held = np.zeros(nodes.max(0) - low + 1 if len(nodes) else (0, 0, 0), np.uint8)
        self._held_low = low
        if len(nodes):
            self.held[tuple((nodes - low).T)] = 1

    def add_body(self, grid: DistanceGrid, *, mass: float, inertia: F64, friction: float, softness: float) -> int:
        """A rigid body at rest at the origin; its row.

        Args:
            grid: distances about its centre of mass.
            mass: [kg]; inertia: [kg m²] (3, 3) about its centre.
            friction: Coulomb's against deformables; softness: how far its surface reaches, e-folding length [m].
        """
        body = np.zeros(layout.BODY)
        body[layout.BODY_ORIENTATION] = 1
        body[layout.BODY_TURN : layout.BODY_TURN + 9] = np.eye(3).reshape(9)
        body[layout.BODY_MASS], body[layout.BODY_FRICTION], body[layout.BODY_SOFTNESS] = mass, friction, softness
        body[layout.BODY_INERTIA : layout.BODY_INERTIA + 9] = np.asarray(inertia).reshape(9)
        body[layout.BODY_LOW : layout.BODY_LOW + 3] = grid.lower
        body[layout.BODY_CELL : layout.BODY_CELL + 3] = grid.cell
        body[layout.BODY_WIDEST] = grid.distance.max()
        count = np.array(grid.distance.shape)
        corner = np.maximum(np.abs(grid.lower), np.abs(grid.lower + (count - 1) * grid.cell))
        body[layout.BODY_REACH] = np.linalg.norm(corner) + 3 * softness
        shape = np.concatenate([[len(self.distances)], count]).astype(np.int64)
        self.bodies, self.shapes = np.vstack([self.bodies, body]), np.vstack([self.shapes, shape])
        self.distances = np.concatenate([self.distances, grid.distance.reshape(-1)])
        self.gradients = np.concatenate([self.gradients, grid.gradient.reshape(-1, 3)])
        return len(self.bodies) - 1

    def advance(self, substeps: int, *, threads: int = 1) -> int:
        """That many substeps; returns how often the particles were sorted.

        Raises:
            OutOfDomain: a particle is at no finite position, or outside the grid; the state is that of then.
        """
        sorts = 0
        while substeps > 0:
            self._sort()
            sorts += 1
            done = np.zeros(1, np.int64)
            self._run(substeps, done, threads)
            substeps -= int(done[0])
        return sorts

    def _sort(self) -> None:
        while True:
            denormals.call(
                sort, self.positions, self.active, self.owners, len(self.entities), self.constants[layout.INVERSE_DX],
                *self._domain, self._cells, self._order, self._spare, self._units, self._nodes, self._lists, self._info,
            )  # fmt: skip
            if self._info[layout.LOST]:
                raise OutOfDomain(f"{self._info[layout.LOST]} particles")
            if self._info[layout.BLOCKS] >= 0:
                break
            self._nodes = np.zeros((2 * len(self._nodes), layout.NODE), np.int32)
            self._lists = np.zeros(2 * len(self._lists), np.int32)
        if len(self._tiles) < self._info[layout.FLOATS]:
            self._tiles = np.zeros(int(1.5 * self._info[layout.FLOATS]), np.float32)
        if self._reactions.shape[:2] != (len(self._nodes), len(self.bodies)):
            self._reactions = np.zeros((len(self._nodes), len(self.bodies), 6))

    def _run(self, substeps: int, done: NDArray[np.int64], threads: int) -> None:
        threads = max(1, min(threads, int(self._info[layout.UNITS])))
        crew = _crew(threads) if threads > 1 else None
        if crew is not None and not crew[0].acquire(blocking=False):
            crew = None  # another simulation has them: alone it gives the same bits
        shared = np.zeros(layout.SHARED, np.int64)
        args = (
            threads if crew else 1, shared, substeps, done, self.positions, self.velocities, self.C, self.F, self.Jp,
            self._order, self._sorted, self._stride, self._units, self._nodes, self._lists, self._info, self._tiles,
            self._grid, self.constants, self.entities, self.slots, self.slot_count, self.friction, self.bodies,
            self.shapes, self.distances, self.gradients, self._reactions, self.held,
            self._held_low, PIECES, OFFSETS,
        )  # fmt: skip
        if crew is None:
            denormals.call(run, *args)
            return
        try:
            helpers = [crew[1].submit(denormals.call, run, *args) for _ in range(threads - 1)]
            denormals.call(run, *args)
            for helper in helpers:
                helper.result()
        finally:
            crew[0].release()


def _crew(threads: int) -> tuple[threading.Lock, ThreadPoolExecutor]:
    """Threads that all run at once, and the lock of who has them: they wait for each other inside the kernel."""
    key = (os.getpid(), threads)  # a forked child has none of its parent's threads
    with _crews_lock:
        if key not in _crews:
            _crews[key] = threading.Lock(), ThreadPoolExecutor(threads - 1, thread_name_prefix="pw-simulate")
        return _crews[key]
