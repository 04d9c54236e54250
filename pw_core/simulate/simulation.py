"""A built simulation of a scene: reset to any physical state, act on it, step it, read it. An MPM engine underneath."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pw_core.actions import Action
from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32
from pw_core.progress import Progress, no_progress
from pw_core.scene import Particles, PhysicsState, Scene
from pw_core.simulate.actions import check_actions
from pw_core.simulate.constants import check_friction, check_materials, check_wind, resolve
from pw_core.simulate.engine import Diverged
from pw_core.simulate.engines import EngineName, engine_for, make_runner
from pw_core.simulate.settings import SimulationSettings, choose_settings


class Simulation:
    """Build once with `Simulation.build`, then `reset`, `set_actions`, `advance_to`, `read`, as often as wanted.

    Everything is in world coordinates. Two runs from the same state with the same actions are bit-identical on the CPU.
    """

    def __init__(
        self, scene: Scene, settings: SimulationSettings, *, device: str, engine: EngineName | None = None
    ) -> None:
        self.scene = scene
        self.settings = settings
        self.time_s = 0.0
        self.engine, self.engine_note = engine_for(
            scene, engine or scene.config.simulation.engine, device=device
        )
        self._runner = make_runner(self.engine, scene, settings, device=device)
        self._runner.write_materials(scene)
        self._bodies = {e.name for e in scene.entities if e.kind != "deformable"}
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
        made = cls(scene, settings, device=device, engine=engine)
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
        wanted = resolve(constants, self.scene)
        self.set_materials(wanted.materials)
        self.set_floor_friction(wanted.friction)
        self.set_wind((wanted.wind[0], wanted.wind[1], wanted.wind[2]))
        self._constants = dict(constants)

    def set_materials(self, materials: dict[str, Material]) -> None:
        """Give deformable entities other stiffness, viscosity or yield stress, and rigid ones other friction, at once.

        Nothing is compiled: the parameters lie in device memory. They stay until they are set again; `scene.entities`
        holds them. All are checked before any is set.

        Raises:
            RolloutError: UNKNOWN_ENTITY; INVALID_ACTION for another model or density, or a deformable's friction,
                which need a new build; UNSTABLE for a material too stiff or viscous for the substep that was built.
        """
        check_materials(materials, self.scene, self.settings)
        entities = tuple(replace(e, material=materials.get(e.name, e.material)) for e in self.scene.entities)
        self.scene = replace(self.scene, entities=entities)
        self._runner.write_materials(self.scene)
        for name in set(materials) & self._bodies:
            self._runner.write_friction(name, materials[name].friction)

    def set_floor_friction(self, friction: float) -> None:
        """Coulomb's coefficient of everything against the table, from now on. RolloutError (INVALID_ACTION) below 0."""
        check_friction(friction)
        self._runner.write_friction("", friction)

    def set_wind(self, acceleration: tuple[float, float, float]) -> None:
        """A steady acceleration [m/s²] (3,) of everything beside the actions, until it is set again."""
        self._wind = check_wind(acceleration)
        self._runner.set_wind(self._wind)

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        """Put this state in place exactly, and forget actions. `read` gives it back to the bit.

        Any state is taken that is finite and lies in `settings.inside`: a corrected one need not be one that a rollout
        came to. Materials, friction and wind stay as they were set.

        Raises:
            RolloutError: ROLLOUT_UNKNOWN if the state is not one of this scene's, UNSTABLE if it is not finite or
                turned inside out, OUT_OF_BOUNDS if it lies outside the simulated domain.
        """
        count = len(self.scene.rest)
        if len(physics.particles.positions) != count or not self._bodies <= set(physics.bodies):
            raise RolloutError(
                f"the state has {len(physics.particles.positions)} particles and bodies {sorted(physics.bodies)}; "
                f"this scene has {count} and {sorted(self._bodies)}"
            )
        judge_positions(physics.particles.positions, self.scene, self.settings, when="at the start of the rollout")
        self._judge_start(physics.particles)
        self._runner.reset(physics)
        self.time_s = self._start = time_s
        self._steps = 0
        self.set_actions(())

    def set_actions(self, actions: Sequence[Action]) -> None:
        """What happens from now on; action times count from the last reset.

        Raises:
            RolloutError: UNKNOWN_ENTITY or INVALID_ACTION, see `check_actions`.
        """
        check_actions(actions, self.scene, self.settings)
        self._runner.set_actions(actions, wind=self._wind)

    def step(self) -> None:
        """One step of `settings.substeps` substeps.

        Raises:
            RolloutError: UNSTABLE, or INVALID_ACTION for a push that begins where there is nothing.
        """
        self._advance(1)

    def _advance(self, steps: int) -> None:
        try:
            while steps > 0:
                many = min(steps, self._runner.steps_at_a_time)
                self._runner.advance(many)
                steps -= many
                self._steps += many
                self.time_s = self._start + self._steps * self.step_s
            self._runner.wait()
        except Diverged as error:
            self.check()
            raise unstable(self.time_s, self.settings) from error

    def advance_to(self, time_s: float) -> None:
        """Step until `time_s`, counted like `time_s` of reset; to the nearest step. Raises what `step` does."""
        self._advance(math.ceil((time_s - self.time_s) / self.step_s - 0.5))

    def read(self) -> PhysicsState:
        """The whole physical state, as copies."""
        return self._runner.read()

    def check(self) -> None:
        """That nothing blew up or left.

        Raises:
            RolloutError: UNSTABLE or OUT_OF_BOUNDS; the message names entity and time, and says what to change.
        """
        when = f"{self.time_s:.4g} s into the rollout"
        judge_positions(self._runner.positions(), self.scene, self.settings, when=when)

    def _judge_start(self, particles: Particles) -> None:
        """What a rollout never breaks but a state from elsewhere may: shapes, finite numbers, no matter inside out."""
        shapes = {k: v.shape for k, v in self.scene.particles.arrays().items()}
        for entity in self.scene.entities:
            if entity.kind != "deformable":
                continue
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


def unstable(time_s: float, settings: SimulationSettings) -> RolloutError:
    """What to say of a simulation that could not go on at that time [s]."""
    return RolloutError(
        f"the simulation became unstable {time_s:.4g} s into the rollout: use a smaller simulation.substep_s than "
        f"{settings.substep_s:.3g} s, or gentler actions",
        code=ErrorCode.UNSTABLE,
    )


def judge_positions(positions: F32, scene: Scene, settings: SimulationSettings, *, when: str) -> None:
    """That particles at these positions [m] (J, 3) neither blew up nor left.

    Raises:
        RolloutError: UNSTABLE or OUT_OF_BOUNDS; the message names entity and time, and says what to change.
    """
    low, high = settings.inside
    for entity in scene.entities:
        p = positions[entity.particles]
        bad = int((~np.isfinite(p)).any(1).sum())
        if bad:
            raise RolloutError(
                f"entity '{entity.name}' {when}: {bad} particles are at no finite position: use a smaller "
                f"simulation.substep_s than {settings.substep_s:.3g} s, or gentler actions",
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
                f"({scene.config.simulation.margin_m:g} m) or act more gently",
                code=ErrorCode.OUT_OF_BOUNDS,
            )
