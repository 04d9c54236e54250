"""A scene many times on one NVIDIA GPU: each world with its own constants and actions, all in one launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, PhysicsState, Scene
from pw_core.simulate.engine import Diverged
from pw_core.simulate.fast_cuda import tables
from pw_core.simulate.fast_cuda.bodies import (
    LINEAR,
    SPIN,
    TURN,
    Shapes,
    bodies_of,
    body_rows,
    room_for,
    shapes,
    tool_rows,
)
from pw_core.simulate.fast_cuda.device import Gpu
from pw_core.simulate.fast_cuda.engine import EMPTY_PUSH, SPREAD, UNSTABLE, CudaEngine, CudaOptions
from pw_core.simulate.settings import SimulationSettings
from pw_core.simulate.stepping import assembled, deformable_particles


@dataclass(frozen=True)
class WorldSetting:
    """What one world has of its own: constants of its deformables (E, ROW_SIZE) as from `tables.constants`, Coulomb's
    coefficient of its table, steady wind [m/s²] (3,), and what is done in it."""

    rows: F32
    friction: float
    wind: F64
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All worlds at one instant, on the host: arrays under the names of `Particles` (W, J', ...) of what deforms;
    states of the rigid ones (W, B, BODY_SIZE); faults (W,); lowest and highest coordinates [m] of what
    deforms (W, 3)."""

    deformed: Mapping[str, NDArray[Any]]
    bodies: F64
    faults: NDArray[np.int32]
    low: F32
    high: F32

    def suspects(self, inside: tuple[F64, F64]) -> NDArray[np.bool_]:
        """Which worlds have a fault, something at no finite place, or something that deforms not between these corners
        [m] (W,)."""
        near = 1e-6  # as `judge_positions`
        fits = (self.low > inside[0] + near).all(1) & (self.high < inside[1] - near).all(1)
        return (self.faults != 0) | ~fits | ~np.isfinite(self.bodies[..., :13]).all((1, 2))


class CudaWorlds:
    """`count` copies of a scene. Tables of actions and tools grow where they must; nothing is compiled.

    Raises:
        RolloutError: no CUDA, or more rigid bodies than the kernels take.
    """

    def __init__(
        self, scene: Scene, settings: SimulationSettings, *, count: int, bodies: Shapes | None = None,
        gpu: Gpu | None = None, options: CudaOptions = CudaOptions(),
    ) -> None:  # fmt: skip
        self.scene, self.settings, self.count = scene, settings, count
        self._gpu, self._options = gpu, options
        self._index = deformable_particles(scene)
        first, many = (int(self._index[0]) if len(self._index) else 0), len(self._index)
        together = np.array_equal(self._index, np.arange(first, first + many))
        self._where = slice(first, first + many) if together else self._index
        self._shapes = bodies or shapes(scene, settings)
        self._frictions: dict[int, float] = {}
        self._room = (0, 0, 0)
        self._engine: CudaEngine | None = None
        self._state: PhysicsState | None = None

    def write_friction(self, body: str, friction: float) -> None:
        """Coulomb's coefficient between deformables and that body, in all worlds."""
        self._frictions[self._shapes.names.index(body)] = friction
        if self._engine is not None:
            self._engine.set_body_friction(self._shapes.names.index(body), friction)

    def set_worlds(self, settings: Sequence[WorldSetting]) -> None:
        """Constants and actions of each world, from now on; times of actions count from the last reset."""
        gravity = self.scene.config.simulation.gravity_m_s2
        schedules = [tables.schedule(s.actions, self.scene, gravity=gravity, wind=s.wind) for s in settings]
        tools, keys = room_for([s.actions for s in settings])
        rows = np.stack([s.rows for s in settings])
        friction = np.array([s.friction for s in settings], np.float32)
        engine = self._with_room(max(map(len, schedules)), tools, keys, rows, friction)
        engine.set_constants(rows, friction)
        engine.set_actions(schedules)
        paths = [tool_rows(s.actions, self._shapes.names, tools=self._room[1], keys=self._room[2]) for s in settings]
        engine.set_tools(np.stack([p[0] for p in paths]), np.stack([p[1] for p in paths]))

    def _with_room(self, actions: int, tools: int, keys: int, rows: F32, friction: F32) -> CudaEngine:
        """The engine, made anew with larger tables where these do not fit, its state kept."""
        if self._engine is not None and actions <= self._room[0] and tools <= self._room[1] and keys <= self._room[2]:
            return self._engine
        before = self.snapshot() if self._engine is not None and self._state is not None else None
        self._room = (max(actions, self._room[0]), max(tools, self._room[1]), max(keys, self._room[2]))
        entity = tables.particle_entities(self.scene)[1]
        self._engine = engine = CudaEngine(
            tables.Domain.of(self.settings), entity=entity, rows=rows, friction=friction, worlds=self.count,
            actions=self._room[0], shapes=self._shapes, tools=self._room[1], keys=self._room[2], gpu=self._gpu,
            options=self._options,
        )  # fmt: skip
        for body, value in self._frictions.items():
            engine.set_body_friction(body, value)
        if before is not None:
            engine.reset(dict(before.deformed), before.bodies)
        return engine

    @property
    def engine(self) -> CudaEngine:
        """The engine under it; `set_worlds` makes it."""
        assert self._engine is not None
        return self._engine

    def reset(self, physics: PhysicsState) -> None:
        """The same state in all worlds; time is 0, and what actions had found is forgotten."""
        self._state = physics
        deformed = {k: v[self._index] for k, v in physics.particles.arrays().items()}
        self.engine.reset(deformed, body_rows(physics.bodies, self._shapes.names))

    def advance(self, steps: int) -> None:
        """That many steps in all worlds; returns at once."""
        self.engine.advance(steps)

    def snapshot(self, names: Sequence[str] = ()) -> Snapshot:
        """All worlds as they are, or the arrays of these names alone. Waits for the GPU."""
        engine = self.engine
        deformed = engine.fetch(names)
        return Snapshot(deformed, engine.read_bodies(), engine.status(), *engine.extremes())

    def whole(self, world: int) -> PhysicsState:
        """One world as it is."""
        deformed = {k: v[0] for k, v in self.engine.fetch(world=world).items()}
        return self._assembled(deformed, self.engine.read_bodies()[world])

    def physics(self, snapshot: Snapshot, world: int) -> PhysicsState:
        """One world of a whole snapshot."""
        return self._assembled({k: v[world] for k, v in snapshot.deformed.items()}, snapshot.bodies[world])

    def _assembled(self, deformed: Mapping[str, NDArray[Any]], rows: F64) -> PhysicsState:
        assert self._state is not None
        return assembled(
            self.scene, self._state.particles, self._index, deformed, bodies_of(rows, self._shapes.names)
        )  # fmt: skip

    def placed(self, snapshot: Snapshot) -> tuple[F32, F32]:
        """Positions [m] and velocities [m/s] of all particles in all worlds (W, J, 3), of a snapshot that has both."""
        assert self._state is not None
        given = self._state.particles
        if not self._shapes.names and len(self._index) == len(given.positions):
            return snapshot.deformed["positions"], snapshot.deformed["velocities"]
        positions, velocities = (np.empty((self.count, len(given.positions), 3), np.float32) for _ in range(2))
        if len(self._index) + len(self._shapes.rest) < len(given.positions):
            positions[:], velocities[:] = given.positions, given.velocities
        positions[:, self._where] = snapshot.deformed["positions"]
        velocities[:, self._where] = snapshot.deformed["velocities"]
        for row, name in enumerate(self._shapes.names):
            entity, states = self.scene.entity(name), snapshot.bodies[:, row]
            turns = states[:, TURN : TURN + 9].reshape(-1, 3, 3)
            x, y, z = states[:, SPIN : SPIN + 3].T
            zero = np.zeros_like(x)
            rates = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1) @ turns
            rest = (self.scene.rest[entity.particles] - entity.origin).astype(np.float32)
            for out, matrix, at in ((positions, turns, 0), (velocities, rates, LINEAR)):
                arms = rest @ matrix.transpose(0, 2, 1).astype(np.float32)
                out[:, entity.particles] = arms + states[:, None, at : at + 3].astype(np.float32)
        return positions, velocities

    def bodies(self, snapshot: Snapshot, world: int) -> dict[str, Body]:
        """The rigid ones in one world of a snapshot."""
        return bodies_of(snapshot.bodies[world], self._shapes.names)


def judge(fault: int, actions: Sequence[Action]) -> None:
    """What is wrong with a world of that status.

    Raises:
        Diverged; RolloutError (INVALID_ACTION): a push began where there was nothing.
    """
    if fault & (UNSTABLE | SPREAD):
        raise Diverged("spread out too far" if fault & SPREAD else "no finite position")
    if fault & EMPTY_PUSH:
        pushes = ", ".join(f"'{a.name or a.type}' at {a.start:g} s" for a in actions if a.type in ("push", "poke"))
        raise RolloutError(
            f"an action begins with nothing within its radius, one of: {pushes}: move its center or widen its radius",
            code=ErrorCode.INVALID_ACTION,
        )


class CudaWorld:
    """One world, see `engine.Runner`: a whole frame is one launch."""

    steps_at_a_time = 1 << 30

    def __init__(self, scene: Scene, settings: SimulationSettings, *, gpu: Gpu | None = None) -> None:
        nodes = int(np.prod(tables.Domain.of(settings).nodes))
        self._worlds = CudaWorlds(scene, settings, count=1, gpu=gpu, options=CudaOptions(spare_nodes=nodes))
        self._setting = WorldSetting(
            tables.constants(scene, settings), scene.config.simulation.floor_friction, np.zeros(3)
        )
        self._worlds.set_worlds([self._setting])
        self._seen: Snapshot | None = None

    def _change(self, **changes: Any) -> None:
        self._setting = replace(self._setting, **changes)
        self._worlds.set_worlds([self._setting])

    def write_materials(self, scene: Scene) -> None:
        """See `Runner`."""
        self._change(rows=tables.constants(scene, self._worlds.settings))

    def write_friction(self, body: str, friction: float) -> None:
        """See `Runner`."""
        if body:
            self._worlds.write_friction(body, friction)
        else:
            self._change(friction=friction)

    def reset(self, physics: PhysicsState) -> None:
        """See `Runner`."""
        self._seen = None
        self._worlds.reset(physics)

    def set_actions(self, actions: Sequence[Action], *, wind: F64) -> None:
        """See `Runner`."""
        self._change(actions=tuple(actions), wind=wind)

    def set_wind(self, wind: F64) -> None:
        """See `Runner`."""
        self._change(wind=wind)

    def advance(self, steps: int) -> None:
        """See `Runner`."""
        self._seen = None
        self._worlds.advance(steps)

    def wait(self) -> None:
        """See `Runner`."""
        judge(int(self._look().faults[0]), self._setting.actions)

    def _look(self) -> Snapshot:
        if self._seen is None:
            self._seen = self._worlds.snapshot()
        return self._seen

    def positions(self) -> F32:
        """See `Runner`."""
        return self._worlds.placed(self._look())[0][0]

    def read(self) -> PhysicsState:
        """See `Runner`."""
        return self._worlds.physics(self._look(), 0)
