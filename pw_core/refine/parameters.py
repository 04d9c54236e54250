"""Physical constants from a corrected motion: a few scalars, fitted so that the simulator makes that motion itself.

Correcting the state alone repeats the same wrong physics in the next round. Names: `<entity>.youngs_modulus_pa`,
`<entity>.viscosity_pa_s`, `<entity>.yield_stress_pa`, `floor_friction`, `wind_x`, `wind_y`, `wind_z` [m/s²].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pw_core.errors import ErrorCode, RefineError, RolloutError
from pw_core.gaussians import F32, F64, I64
from pw_core.rollout import Frame, record
from pw_core.scene import PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

Estimated = Literal["stiffness", "viscosity", "yield_stress", "friction", "wind"]
HEADROOM = 2.0
"""How many times stiffer or more viscous than configured an estimate may be; shortens the simulator's substep."""
_FIELDS = {
    "stiffness": ("youngs_modulus_pa", ("elastic", "plastic", "snow")),
    "viscosity": ("viscosity_pa_s", ("liquid",)),
    "yield_stress": ("yield_stress_pa", ("plastic",)),
}
_SPREAD = 1.0
"""Prior standard deviation: of the logarithm of a positive constant, and of wind in units of 2 m/s²."""
_TRUST = (0.1, 3.0)
"""What an earlier round found is believed to three of its standard errors, never to less than 0.1: its error counts
noise, not what a wrong start or a coarser model feigns."""
_WIND_UNIT = 2.0
_STEP = 0.15


@dataclass(frozen=True)
class Estimate:
    """One constant: its value, its standard error (relative for positive ones, [m/s²] for wind), and whether the film
    told it: an error below half of what was believed before."""

    name: str
    before: float
    value: float
    error: float
    told: bool


def names_of(scene: Scene, estimate: Sequence[Estimated]) -> list[str]:
    """The constants behind the words of a config, for this scene's entities."""
    out = []
    for word in estimate:
        if word == "wind":
            out += ["wind_x", "wind_y"]
        elif word == "friction":
            out.append("floor_friction")
        else:
            key, models = _FIELDS[word]
            out += [f"{e.name}.{key}" for e in scene.entities if e.material.model in models]
    return out


def value_of(scene: Scene, parameters: dict[str, float], name: str) -> float:
    """Its present value: estimated before, or the config's."""
    if name in parameters:
        return parameters[name]
    if name.startswith("wind_"):
        return 0.0
    if name == "floor_friction":
        return scene.config.simulation.floor_friction
    entity, _, key = name.rpartition(".")
    return float(getattr(scene.config.entity(entity).material, key))


def apply(simulation: Simulation, scene: Scene, parameters: dict[str, float]) -> None:
    """Give a built simulation these constants, and the config's for all that is not among them."""
    materials = {}
    for e in scene.entities:
        if e.kind != "deformable":
            continue
        own = {k.rpartition(".")[2]: v for k, v in parameters.items() if k.rpartition(".")[0] == e.name}
        materials[e.name] = scene.config.entity(e.name).material.model_copy(update=own)
    simulation.set_materials(materials)
    simulation.set_floor_friction(value_of(scene, parameters, "floor_friction"))
    simulation.set_wind(
        (
            parameters.get("wind_x", 0.0),
            parameters.get("wind_y", 0.0),
            parameters.get("wind_z", 0.0),
        )
    )


def simulate(
    simulation: Simulation, scene: Scene, start: State, trajectory: Trajectory, parameters: dict[str, float]
) -> tuple[Trajectory, PhysicsState]:
    """The trajectory's actions from its start once more, under these constants; and the last whole state."""
    apply(simulation, scene, parameters)
    simulation.reset(start.physics)
    simulation.set_actions(trajectory.actions)
    frames = []
    for k, t in enumerate(trajectory.times):
        simulation.advance_to(float(t))
        simulation.check()
        frames.append(Frame(k, float(t), k / max(len(trajectory) - 1, 1), simulation.read()))
    again, end = record(start, frames, tuple(trajectory.actions), (trajectory.id, trajectory.end))
    return again, end.physics


class Fit:
    """Gauss-Newton over a few constants, from the trajectory that the present ones gave.

    Derivatives are finite differences of whole rollouts: the simulator has none to give. A prior keeps what the film
    does not tell where it was. `improve` may be called again with a better goal: what was tracked from a better
    prediction. `parameters`, `trajectory`, `end` and `estimates()` hold what is best so far.

    Args:
        trajectory, end: what the simulator made of `parameters`: those estimated before, the others of the config.
    """

    def __init__(
        self, simulation: Simulation, scene: Scene, start: State, trajectory: Trajectory, end: PhysicsState, *,
        names: Sequence[str], parameters: dict[str, float],
    ) -> None:  # fmt: skip
        self.simulation, self.scene, self.start, self.names = simulation, scene, start, list(names)
        self.before, self.parameters = dict(parameters), dict(parameters)
        self.trajectory, self.end = trajectory, end
        soft = [e for e in scene.entities if e.kind == "deformable"]
        self._size = min((e.particle_size_m for e in soft), default=0.01)
        self._x = np.zeros(len(self.names))
        self._prior = np.array([self._believed(n) for n in self.names])
        self._J = np.zeros((0, len(self.names)))
        self._when = np.arange(len(trajectory) - 1, 0, -3)  # neighbouring frames say the same
        self._spread = 1.0

    @property
    def rollouts(self) -> int:
        """How many an improvement takes, at most."""
        return len(self.names) + 2

    def improve(self, goal: F32, seen: I64) -> Iterator[int]:
        """One linearisation towards `goal` [m] (T, J, 3), judged by the particles `seen`; yields the rollouts done.

        Raises:
            RefineError: with no constants near the present ones does the simulator get through the trajectory.
        """
        # An error of half a particle is expected, and that neighbours err alike: 40 of them are worth counting.
        where = seen[:: max(1, len(seen) // 400)]
        unit = 0.5 * self._size * math.sqrt(len(where) / 40)
        wanted = goal[self._when][:, where]

        def residual(trajectory: Trajectory) -> F64:
            gap = (trajectory.positions[self._when][:, where] - wanted).astype(np.float64) / unit
            return np.asarray(np.clip(gap, -20, 20).reshape(-1))

        here, done, ran = residual(self.trajectory), 0, False
        x, J = self._x, np.zeros((len(here), len(self._x)))
        for i in range(len(x)):
            for step in (_STEP, -_STEP):  # a stiffer one may not be simulable: then look the other way
                there = self._rollout(x + step * np.eye(len(x))[i])
                yield (done := done + 1)
                if there is not None:
                    J[:, i], ran = (residual(there[0]) - here) / step, True
                    break
        if not ran:
            raise RefineError(
                f"constants cannot be fitted: near the present {', '.join(self.names)} the simulator does not "
                "get through the trajectory's actions from its start",
                code=ErrorCode.REFINE_UNKNOWN,
            )
        move = np.linalg.solve(J.T @ J + np.diag(self._prior**-2), -J.T @ here - x / self._prior**2)
        move *= min(1.0, 1.2 / max(float(np.abs(move).max()), 1e-9))
        for scale in (1.0, 0.4):
            there = self._rollout(x + scale * move)
            yield (done := done + 1)
            if there is None:
                continue
            then = residual(there[0])
            if self._cost(then, x + scale * move) < self._cost(here, x):
                self._x, here = x + scale * move, then
                self.trajectory, self.end = there
                self.parameters = self._at(self._x)
                break
        # Clipped residuals of one frame are as good as 40 particles, in three directions.
        self._J, self._spread = J, max(float(here @ here) / max(len(self._when) * 120 - len(x), 1), 1.0)

    def estimates(self) -> list[Estimate]:
        """What is known of each constant after the last improvement."""
        normal = self._J.T @ self._J / self._spread + np.diag(self._prior**-2)
        errors = np.sqrt(np.diag(np.linalg.inv(normal)))
        out = []
        for name, error in zip(self.names, errors, strict=True):
            unit = _unit(name)
            before, told = value_of(self.scene, self.before, name), bool(error < 0.5 * _SPREAD)
            out.append(Estimate(name, before, self.parameters[name], float(error) * unit, told))
        return out

    def _at(self, x: F64) -> dict[str, float]:
        out = dict(self.before)
        for name, step in zip(self.names, x, strict=True):
            value = value_of(self.scene, self.before, name)
            wind = name.startswith("wind_")
            out[name] = float(value + _WIND_UNIT * step) if wind else float(max(value, 1e-3) * math.exp(step))
        return out

    def _rollout(self, x: F64) -> tuple[Trajectory, PhysicsState] | None:
        """None where the simulator cannot run with these."""
        try:
            return simulate(self.simulation, self.scene, self.start, self.trajectory, self._at(x))
        except RolloutError:
            return None

    def _cost(self, residual: F64, x: F64) -> float:
        return float(residual @ residual + ((x / self._prior) ** 2).sum())

    def _believed(self, name: str) -> float:
        """Prior standard deviation of a constant: what the refinement that made the start state left, if one did."""
        low, times = _TRUST
        error = self.start.figures.get(error_key(name))
        return _SPREAD if error is None else float(np.clip(times * error / _unit(name), low, _SPREAD))


def error_key(name: str) -> str:
    """Under which a corrected state's figures hold the standard error of a constant."""
    return f"error of {name}"


def _unit(name: str) -> float:
    return _WIND_UNIT if name.startswith("wind_") else 1.0
