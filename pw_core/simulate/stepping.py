"""A scene's physics step by step on an engine: actions, impulses and rigid bodies' contacts are computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, Entity, Particles, PhysicsState, Scene
from pw_core.simulate.actions import Active, Schedule, weights
from pw_core.simulate.bodies import RigidBody, poses_of
from pw_core.simulate.engine import Engine
from pw_core.simulate.materials import COLUMNS, parameters
from pw_core.simulate.settings import SimulationSettings


def deformable_particles(scene: Scene) -> NDArray[np.int64]:
    """Which of the scene's particles deform, entity by entity."""
    soft = [np.arange(e.particles.start, e.particles.stop) for e in scene.entities if e.kind == "deformable"]
    return np.concatenate(soft or [np.zeros(0, np.int64)])


def particle_masses(scene: Scene) -> F64:
    """Of all particles [kg] (J,)."""
    masses = np.zeros(len(scene.rest))
    for e in scene.entities:
        masses[e.particles] = e.mass_kg / max(1, e.particles.stop - e.particles.start)
    return masses


def held_particles(scene: Scene) -> NDArray[np.bool_]:
    """Which of all particles (J,) are held in place: those of deformable entities near where these are `fixed`.

    Sides are as the first camera sees them: right and back are horizontal.
    """
    out = np.zeros(len(scene.rest), bool)
    ahead, right = np.array([1.0, 0, 0]), np.array([0.0, -1, 0])
    if scene.cameras:
        right = scene.cameras[0].viewmat[0, :3] * [1, 1, 0]
        right = right / max(float(np.linalg.norm(right)), 1e-9)
        ahead = np.cross([0.0, 0, 1], right)
    sides: dict[str, Any] = {"top": [0, 0, 1.0], "bottom": [0, 0, -1.0], "right": right, "left": -right, "back": ahead}
    for entity in scene.entities:
        told = scene.config.entity(entity.name)
        if entity.kind != "deformable" or told.fixed == "no":
            continue
        if told.fixed == "all":
            out[entity.particles] = True
            continue
        along = scene.rest[entity.particles] @ np.asarray(sides[told.fixed], np.float64)
        out[entity.particles] = along >= along.max() - told.fixed_share * np.ptp(along)
    return out


def assembled(
    scene: Scene, base: Particles, index: NDArray[np.int64], deformed: Mapping[str, NDArray[Any]],
    bodies: Mapping[str, Body],
) -> PhysicsState:  # fmt: skip
    """A whole state from what deforms and the rigid bodies; `base` for whatever is neither."""
    arrays = {k: v.copy() for k, v in base.arrays().items()}
    if len(index):
        for key, value in deformed.items():
            arrays[key][index] = value
    for name, body in bodies.items():
        entity = scene.entity(name)
        where = entity.particles
        arrays["positions"][where], arrays["velocities"][where] = poses_of(body, scene.rest[where], entity.origin)
    return PhysicsState(Particles(**arrays), dict(bodies))


class Stepping:
    """See `engine.Runner`: one step at a time, on an engine that knows deformables and free rigid bodies."""

    steps_at_a_time = 1

    def __init__(self, scene: Scene, settings: SimulationSettings, engine: Engine) -> None:
        self._scene, self._settings, self._engine = scene, settings, engine
        self._soft = [e for e in scene.entities if e.kind == "deformable"]
        self._index = deformable_particles(scene)
        self._masses = particle_masses(scene)
        self.bodies: dict[str, RigidBody] = {
            name: RigidBody(
                scene.entity(name), handle, friction=scene.config.simulation.floor_friction,
                floor=scene.config.has_table, fixed=scene.config.entity(name).fixed != "no",
            )
            for name, handle in engine.bodies.items()
        }
        self._held = np.flatnonzero(held_particles(scene))
        self._base = scene.initial_physics().particles
        self._steps = 0

    def write_materials(self, scene: Scene) -> None:
        """See `Runner`."""
        size, substep = self._settings.particle_size_m, self._settings.substep_s
        self._soft = [e for e in scene.entities if e.kind == "deformable"]
        self._engine.write_materials(
            np.array([parameters(e, particle_size_m=size, substep_s=substep) for e in self._soft]).reshape(-1, COLUMNS)
        )

    def write_friction(self, body: str, friction: float) -> None:
        """See `Runner`."""
        self._engine.write_friction(body, friction)
        if not body:
            for one in self.bodies.values():
                one.friction = friction

    def reset(self, physics: PhysicsState) -> None:
        """See `Runner`."""
        self._base = physics.particles
        if len(self._index):
            self._engine.write_particles({k: v[self._index] for k, v in physics.particles.arrays().items()})
            self._engine.hold(physics.particles.positions[self._held])
        for name, body in self.bodies.items():
            body.reset(physics.bodies[name])
        self._steps = 0

    def set_actions(self, actions: Sequence[Action], *, wind: F64) -> None:
        """See `Runner`."""
        self._schedule = Schedule(
            actions, self._scene, gravity=self._scene.config.simulation.gravity_m_s2, masses=self._masses,
            entity_ids=self._scene.entity_ids, wind=wind,
        )  # fmt: skip
        for body in self.bodies.values():
            body.tools = [t for t in self._schedule.tools if t.entity == body.entity.name]
            body.anchor.clear()

    def set_wind(self, wind: F64) -> None:
        """See `Runner`."""
        self._schedule.wind = wind

    def advance(self, steps: int) -> None:
        """See `Runner`."""
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        dt = self._settings.step_s
        t = self._steps * dt
        positions = self.positions() if self._schedule.starts_force(t, dt) else None
        active = self._schedule.active(t, dt, positions)
        self._engine.write_slots([a for a in active if not a.entity])
        own = [a for a in active if a.entity]
        for entity in self._soft:
            mine = [a for a in own if a.entity == entity.name]
            if mine:
                self._kick(entity, mine, dt)
        for body in self.bodies.values():
            name = body.entity.name
            mine = [a for a in active if a.entity in ("", name)]
            body.act(mine, t, dt, self._scene.rest[body.entity.particles])
        self._engine.step()
        for body in self.bodies.values():
            body.settle(self._settings.substep_s)
        self._steps += 1

    def wait(self) -> None:
        """See `Runner`: nothing is pending."""

    def read(self) -> PhysicsState:
        """See `Runner`."""
        deformed = self._engine.read_particles() if len(self._index) else {}
        bodies = {name: body.read() for name, body in self.bodies.items()}
        return assembled(self._scene, self._base, self._index, deformed, bodies)

    def positions(self) -> F32:
        """See `Runner`."""
        positions: F32 = self._base.positions.copy()
        if len(self._index):
            positions[self._index] = self._engine.read_particles()["positions"]
        for body in self.bodies.values():
            where = body.entity.particles
            positions[where] = poses_of(body.read(), self._scene.rest[where], body.entity.origin)[0]
        return positions

    def _kick(self, entity: Entity, actions: list[Active], dt: float) -> None:
        """Velocity impulses on one entity's particles: force fields live on the grid, which knows no entities."""
        state = self._engine.read_particles()
        where = np.flatnonzero(self._scene.entity_ids[self._index] == entity.id)
        change = np.zeros((len(where), 3))
        for a in actions:
            change += dt * weights(state["positions"][where], a.center, a.radius, a.falloff)[:, None] * a.acceleration
        state["velocities"][where] += change.astype(np.float32)
        self._engine.write_particles(state)
