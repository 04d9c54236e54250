"""A built simulation of a scene: reset to any physical state, act on it, step it, read it. An MPM engine underneath."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pw_core.actions import Action
from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.progress import Progress, no_progress
from pw_core.scene import Body, Entity, Particles, PhysicsState, Scene
from pw_core.simulate.actions import Active, Schedule, check_actions, weights
from pw_core.simulate.bodies import RigidBody, poses_of
from pw_core.simulate.engine import Diverged
from pw_core.simulate.engines import EngineName, engine_for, make_engine
from pw_core.simulate.materials import COLUMNS, parameters
from pw_core.simulate.settings import SimulationSettings, choose_settings, substep_limit


class Simulation:
    """Build once with `Simulation.build`, then `reset`, `set_actions`, `advance_to`, `read`, as often as wanted.

    Everything is in world coordinates. Two runs from the same state with the same actions are bit-identical on the CPU.
    """

    def __init__(
        self, scene: Scene, settings: SimulationSettings, *, device: str, engine: EngineName = "genesis"
    ) -> None:
        self.scene = scene
        self.settings = settings
        self.time_s = 0.0
        self._soft = [e for e in scene.entities if e.kind == "deformable"]
        self._index = np.concatenate(
            [np.arange(e.particles.start, e.particles.stop) for e in self._soft] or [np.zeros(0, np.int64)]
        )
        self._masses = np.zeros(len(scene.rest))
        for e in scene.entities:
            self._masses[e.particles] = e.mass_kg / max(1, e.particles.stop - e.particles.start)
        self.engine, self.engine_note = engine_for(scene, engine, device=device)
        self._engine = make_engine(self.engine, scene, settings, device=device)
        self._write_materials()
        self._bodies: dict[str, RigidBody] = {
            name: RigidBody(scene.entity(name), handle, friction=scene.config.simulation.floor_friction)
            for name, handle in self._engine.bodies.items()
        }
        self._wind = np.zeros(3)
        self._constants: dict[str, float] = {}
        self.reset(scene.initial_physics())
        self.set_actions(())

    @classmethod
    def build(
        cls,
        scene: Scene,
        *,
        device: str = "cpu",
        headroom: float = 1.0,
        engine: EngineName | None = None,
        progress: Progress | None = None,
    ) -> Simulation:
        """Choose settings, build, and compile by taking a step. Minutes on first use, seconds from the kernel cache.

        Args:
            device: "cpu", or "cuda" for an NVIDIA GPU.
            headroom: how many times stiffer and more viscous `set_materials` may make things; shortens the substep.
            engine: "genesis" or "fast"; None: the config's. What the fast engine cannot do goes to Genesis, and
                `engine_note` says why.
            progress: called with a stage and a fraction.

        Raises:
            RolloutError (UNSTABLE): the configured substep is above the limit.
        """
        settings = choose_settings(scene, headroom=headroom)
        done = progress or no_progress
        done("compiling", 0.0)
        made = cls(scene, settings, device=device, engine=engine or scene.config.simulation.engine)
        if made.engine_note:
            warnings.warn(made.engine_note, stacklevel=2)
        done("compiling", 0.5)
        made.step()
        made.read()
        made.reset(scene.initial_physics())
        done("compiling", 1.0)
        return made

    @property
    def step_s(self) -> float:
        """Length of a step [s]; it divides the scene's frame interval."""
        return self.settings.step_s

    @property
    def constants(self) -> dict[str, float]:
        """What `set_constants` gave last; all others are the config's. A copy."""
        return dict(self._constants)

    def set_constants(self, constants: dict[str, float]) -> None:
        """Give these physical constants, and the config's for all that is not among them, until they are set again.

        Args:
            constants: by name: `<entity>.<field of Material>` of a deformable entity, `floor_friction`, `wind_x`,
                `wind_y`, `wind_z` [m/s²].

        Raises:
            RolloutError: as `set_materials`, `set_floor_friction` and `set_wind`; then nothing is changed.
        """
        config = self.scene.config
        friction = constants.get("floor_friction", config.simulation.floor_friction)
        wind = (constants.get("wind_x", 0.0), constants.get("wind_y", 0.0), constants.get("wind_z", 0.0))
        _check_friction(friction)
        _check_wind(wind)
        materials = {}
        for e in self._soft:
            own = {k.rpartition(".")[2]: v for k, v in constants.items() if k.rpartition(".")[0] == e.name}
            materials[e.name] = config.entity(e.name).material.model_copy(update=own)
        self.set_materials(materials)
        self.set_floor_friction(friction)
        self.set_wind(wind)
        self._constants = dict(constants)

    def set_materials(self, materials: dict[str, Material]) -> None:
        """Give deformable entities other stiffness, viscosity or yield stress, and rigid ones other friction, at once.

        Nothing is compiled: the parameters lie in device memory. They stay until they are set again; `scene.entities`
        holds them. All are checked before any is set.

        Raises:
            RolloutError: UNKNOWN_ENTITY; INVALID_ACTION for another model or density, or a deformable's friction,
                which need a new build; UNSTABLE for a material too stiff or viscous for the substep that was built.
        """
        names = [e.name for e in self.scene.entities]
        for name, material in materials.items():
            if name not in names:
                raise RolloutError(
                    f"material of '{name}': there is no such entity; this scene has {names}",
                    code=ErrorCode.UNKNOWN_ENTITY,
                )
            self._check_material(self.scene.entity(name), material)
        entities = tuple(replace(e, material=materials.get(e.name, e.material)) for e in self.scene.entities)
        self.scene = replace(self.scene, entities=entities)
        self._soft = [e for e in entities if e.kind == "deformable"]
        self._write_materials()
        for name in set(materials) & set(self._bodies):
            self._engine.write_friction(name, materials[name].friction)

    def _check_material(self, entity: Entity, new: Material) -> None:
        old = entity.material
        fixed = ["model", "density_kg_m3"] + (["friction"] if entity.kind == "deformable" else [])
        changed = [f for f in fixed if getattr(old, f) != getattr(new, f)]
        if changed:
            raise RolloutError(
                f"material of '{entity.name}': {', '.join(changed)} cannot change in a built simulation: build another "
                "from a scene that has it",
                code=ErrorCode.INVALID_ACTION,
            )
        if entity.kind != "deformable":
            return
        limit = substep_limit(new, self.settings.cell_m)
        if self.settings.substep_s > limit:
            raise RolloutError(
                f"material of '{entity.name}' needs substeps of {limit:.3g} s and this simulation was built with "
                f"{self.settings.substep_s:.3g} s: build it with more headroom, or take a softer material",
                code=ErrorCode.UNSTABLE,
            )

    def set_floor_friction(self, friction: float) -> None:
        """Coulomb's coefficient of everything against the table, from now on. RolloutError (INVALID_ACTION) below 0."""
        _check_friction(friction)
        self._engine.write_friction("", friction)
        for body in self._bodies.values():
            body.friction = friction

    def set_wind(self, acceleration: tuple[float, float, float]) -> None:
        """A steady acceleration [m/s²] (3,) of everything beside the actions, until it is set again."""
        self._wind = wind = _check_wind(acceleration)
        self._schedule.wind = wind

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        """Put this state in place exactly, and forget actions. `read` gives it back to the bit.

        Any state is taken that is finite and lies in `settings.inside`: a corrected one need not be one that a rollout
        came to. Materials, friction and wind stay as they were set.

        Raises:
            RolloutError: ROLLOUT_UNKNOWN if the state is not one of this scene's, UNSTABLE if it is not finite or
                turned inside out, OUT_OF_BOUNDS if it lies outside the simulated domain.
        """
        count = len(self.scene.rest)
        if len(physics.particles.positions) != count or not set(self._bodies) <= set(physics.bodies):
            raise RolloutError(
                f"the state has {len(physics.particles.positions)} particles and bodies {sorted(physics.bodies)}; "
                f"this scene has {count} and {sorted(self._bodies)}"
            )
        self._judge(physics.particles.positions, "at the start of the rollout")
        self._judge_start(physics.particles)
        self._base = physics.particles
        if len(self._index):
            self._engine.write_particles({k: v[self._index] for k, v in physics.particles.arrays().items()})
        for name, body in self._bodies.items():
            body.reset(physics.bodies[name])
        self.time_s = self._start = time_s
        self._steps = 0
        self.set_actions(())

    def set_actions(self, actions: Sequence[Action]) -> None:
        """What happens from now on; action times count from the last reset.

        Raises:
            RolloutError: UNKNOWN_ENTITY or INVALID_ACTION, see `check_actions`.
        """
        check_actions(actions, self.scene, self.settings)
        self._schedule = Schedule(
            actions, self.scene, gravity=self.scene.config.simulation.gravity_m_s2, masses=self._masses,
            entity_ids=self.scene.entity_ids, wind=self._wind,
        )  # fmt: skip
        for body in self._bodies.values():
            body.tools = [t for t in self._schedule.tools if t.entity == body.entity.name]
            body.anchor.clear()

    def step(self) -> None:
        """One step of `settings.substeps` substeps.

        Raises:
            RolloutError: UNSTABLE, or INVALID_ACTION for a push that begins where there is nothing.
        """
        dt = self.step_s
        t = self._steps * dt
        positions = self._positions() if self._schedule.starts_force(t, dt) else None
        active = self._schedule.active(t, dt, positions)
        self._engine.write_slots([a for a in active if not a.entity])
        own = [a for a in active if a.entity]
        for entity in self._soft:
            mine = [a for a in own if a.entity == entity.name]
            if mine:
                self._kick(entity, mine, dt)
        for body in self._bodies.values():
            name = body.entity.name
            mine = [a for a in active if a.entity in ("", name)]
            body.act(mine, t, dt, self.scene.rest[body.entity.particles])
        try:
            self._engine.step()
        except Diverged as error:
            self.check()
            raise RolloutError(
                f"the simulation became unstable {self.time_s:.4g} s into the rollout: use a smaller "
                f"simulation.substep_s than {self.settings.substep_s:.3g} s, or gentler actions",
                code=ErrorCode.UNSTABLE,
            ) from error
        for body in self._bodies.values():
            body.settle(self.settings.substep_s)
        self._steps += 1
        self.time_s = self._start + self._steps * dt

    def advance_to(self, time_s: float) -> None:
        """Step until `time_s`, counted like `time_s` of reset; to the nearest step."""
        while self.time_s < time_s - 0.5 * self.step_s:
            self.step()

    def read(self) -> PhysicsState:
        """The whole physical state, as copies."""
        arrays = {k: v.copy() for k, v in self._base.arrays().items()}
        if len(self._index):
            for key, value in self._engine.read_particles().items():
                arrays[key][self._index] = value
        bodies: dict[str, Body] = {}
        for name, body in self._bodies.items():
            bodies[name] = state = body.read()
            where = body.entity.particles
            arrays["positions"][where], arrays["velocities"][where] = poses_of(
                state, self.scene.rest[where], body.entity.origin
            )
        return PhysicsState(Particles(**arrays), bodies)

    def check(self) -> None:
        """That nothing blew up or left.

        Raises:
            RolloutError: UNSTABLE or OUT_OF_BOUNDS; the message names entity and time, and says what to change.
        """
        self._judge(self._positions(), f"{self.time_s:.4g} s into the rollout")

    def _write_materials(self) -> None:
        size, substep = self.settings.particle_size_m, self.settings.substep_s
        self._engine.write_materials(
            np.array([parameters(e, particle_size_m=size, substep_s=substep) for e in self._soft]).reshape(-1, COLUMNS)
        )

    def _judge(self, positions: F32, when: str) -> None:
        low, high = self.settings.inside
        for entity in self.scene.entities:
            p = positions[entity.particles]
            bad = int((~np.isfinite(p)).any(1).sum())
            if bad:
                raise RolloutError(
                    f"entity '{entity.name}' {when}: {bad} particles are at no finite position: use a smaller "
                    f"simulation.substep_s than {self.settings.substep_s:.3g} s, or gentler actions",
                    code=ErrorCode.UNSTABLE,
                )
            if entity.kind != "deformable":
                continue  # the domain is the grid's: a body may roll on beyond it
            out = ((p <= low + 1e-6) | (p >= high - 1e-6)).any(1)
            if out.any():
                x, y, z = p[np.flatnonzero(out)[0]]
                raise RolloutError(
                    f"entity '{entity.name}' {when}: {int(out.sum())} particles left the domain, one at "
                    f"({x:.3f}, {y:.3f}, {z:.3f}) m: widen simulation.margin_m "
                    f"({self.scene.config.simulation.margin_m:g} m) or act more gently",
                    code=ErrorCode.OUT_OF_BOUNDS,
                )

    def _judge_start(self, particles: Particles) -> None:
        """What a rollout never breaks but a state from elsewhere may: shapes, finite numbers, no matter inside out."""
        shapes = {k: v.shape for k, v in self.scene.particles.arrays().items()}
        for entity in self._soft:
            for key, value in particles.arrays().items():
                if value.shape != shapes[key]:
                    raise RolloutError(f"the state's {key} have shape {value.shape}, this scene's have {shapes[key]}")
                if not np.isfinite(value[entity.particles]).all():
                    raise RolloutError(
                        f"entity '{entity.name}' at the start of the rollout: {key} are not all finite",
                        code=ErrorCode.UNSTABLE,
                    )
            volume = np.linalg.det(particles.F[entity.particles].astype(np.float64))
            if (volume <= 0).any():
                raise RolloutError(
                    f"entity '{entity.name}' at the start of the rollout: {int((volume <= 0).sum())} particles are "
                    "turned inside out: the determinant of their F must be positive",
                    code=ErrorCode.UNSTABLE,
                )

    def _positions(self) -> F32:
        """Positions of all particles [m], shape (J, 3)."""
        positions: F32 = self._base.positions.copy()
        if len(self._index):
            positions[self._index] = self._engine.read_particles()["positions"]
        for body in self._bodies.values():
            where = body.entity.particles
            positions[where] = poses_of(body.read(), self.scene.rest[where], body.entity.origin)[0]
        return positions

    def _kick(self, entity: Entity, actions: list[Active], dt: float) -> None:
        """Velocity impulses on one entity's particles: force fields live on the grid, which knows no entities."""
        state = self._engine.read_particles()
        where = np.flatnonzero(self.scene.entity_ids[self._index] == entity.id)
        change = np.zeros((len(where), 3))
        for a in actions:
            change += dt * weights(state["positions"][where], a.center, a.radius, a.falloff)[:, None] * a.acceleration
        state["velocities"][where] += change.astype(np.float32)
        self._engine.write_particles(state)


def _check_friction(friction: float) -> None:
    if not friction >= 0:
        raise RolloutError(f"floor friction must be 0 or more, got {friction}", code=ErrorCode.INVALID_ACTION)


def _check_wind(acceleration: tuple[float, float, float]) -> F64:
    wind = np.array(acceleration, np.float64)
    if wind.shape != (3,) or not np.isfinite(wind).all():
        raise RolloutError(
            f"wind must be three finite numbers [m/s²], got {acceleration}", code=ErrorCode.INVALID_ACTION
        )
    return wind
