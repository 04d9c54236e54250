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

from pw_core.actions import Action
from pw_core.errors import ErrorCode, RefineError, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import PhysicsState, Scene

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
    simulation: Simulation, scene: Scene, start: PhysicsState, actions: Sequence[Action], times: F64,
    parameters: dict[str, float],
) -> tuple[F32, PhysicsState]:  # fmt: skip
    """Positions [m] (T, J, 3) at `times` [s] under these constants, and the last whole state."""
    apply(simulation, scene, parameters)
    simulation.reset(start)
    simulation.set_actions(actions)
    out = []
    for t in times:
        simulation.advance_to(float(t))
        simulation.check()
        last = simulation.read()
        out.append(last.particles.positions)
    return np.stack(out), last


class Fit:
    """Gauss-Newton over a few constants; `run` yields after each rollout, then `estimates` and `parameters` hold.

    Derivatives are finite differences of whole rollouts: the simulator has none to give. A prior keeps what the film
    does not tell where it was.

    Args:
        goal: corrected positions [m] (T, J, 3) at `times`.
        parameters: estimated before; the others of the config.
        rounds: of linearisation; each costs one rollout a constant, and one or two more.
    """

    def __init__(
        self, simulation: Simulation, scene: Scene, start: PhysicsState, actions: Sequence[Action], times: F64,
        goal: F32, *, names: Sequence[str], parameters: dict[str, float], rounds: int = 2,
    ) -> None:  # fmt: skip
        self.simulation, self.scene, self.start, self.actions, self.times = simulation, scene, start, actions, times
        self.names, self.before, self.rounds = list(names), dict(parameters), rounds
        self.parameters = dict(parameters)
        self.estimates: list[Estimate] = []
        self.rollouts = rounds * (len(names) + 1) + 1
        soft = [e for e in scene.entities if e.kind == "deformable"]
        size = min((e.particle_size_m for e in soft), default=0.01)
        # Every tenth particle and third frame: neighbours say the same. An error of half a particle is expected.
        self._where = np.arange(0, len(scene.rest), 10)
        self._when = np.arange(len(times) - 1, 0, -3)
        self._unit = 0.5 * size * math.sqrt(len(self._where) / 40)
        self._goal = goal[self._when][:, self._where]

    def run(self) -> Iterator[int]:
        """Yields the number of rollouts done.

        Raises:
            RefineError: the present constants do not get through the trajectory.
        """
        x = np.zeros(len(self.names))
        done = 0
        here = self._residual(x)
        if here is None:
            raise RefineError(
                "constants cannot be fitted: with the present ones the simulator does not get through the trajectory's "
                "actions from its start",
                code=ErrorCode.REFINE_UNKNOWN,
            )
        yield (done := done + 1)
        J = np.zeros((len(here), len(x)))
        for _ in range(self.rounds):
            for i in range(len(x)):
                for step in (_STEP, -_STEP):  # a stiffer one may not be simulable: then look the other way
                    there = self._residual(x + step * np.eye(len(x))[i])
                    yield (done := done + 1)
                    if there is not None:
                        J[:, i] = (there - here) / step
                        break
            normal = J.T @ J + np.eye(len(x)) / _SPREAD**2
            move = np.linalg.solve(normal, -J.T @ here - x / _SPREAD**2)
            move *= min(1.0, 1.2 / max(float(np.abs(move).max()), 1e-9))
            for scale in (1.0, 0.4):
                there = self._residual(x + scale * move)
                yield (done := done + 1)
                if there is not None and self._cost(there, x + scale * move) < self._cost(here, x):
                    x, here = x + scale * move, there
                    break
            else:
                break
        spread = max(float(here @ here) / max(len(self._when) * 120 - len(x), 1), 1.0)
        errors = np.sqrt(np.diag(np.linalg.inv(J.T @ J / spread + np.eye(len(x)) / _SPREAD**2)))
        self.parameters = self._at(x)
        for i, name in enumerate(self.names):
            unit = _WIND_UNIT if name.startswith("wind_") else 1.0
            self.estimates.append(
                Estimate(
                    name, value_of(self.scene, self.before, name), self.parameters[name], float(errors[i]) * unit,
                    bool(errors[i] < 0.5 * _SPREAD),
                )
            )  # fmt: skip

    def _at(self, x: F64) -> dict[str, float]:
        out = dict(self.before)
        for name, step in zip(self.names, x, strict=True):
            value = value_of(self.scene, self.before, name)
            wind = name.startswith("wind_")
            out[name] = float(value + _WIND_UNIT * step) if wind else float(max(value, 1e-3) * math.exp(step))
        return out

    def _residual(self, x: F64) -> F64 | None:
        """None where the simulator cannot run with these."""
        try:
            positions, _ = simulate(self.simulation, self.scene, self.start, self.actions, self.times, self._at(x))
        except RolloutError:
            return None
        gap = (positions[self._when][:, self._where] - self._goal).astype(np.float64) / self._unit
        return np.asarray(np.clip(gap, -20, 20).reshape(-1))

    def _cost(self, residual: F64, x: F64) -> float:
        return float(residual @ residual + x @ x / _SPREAD**2)
