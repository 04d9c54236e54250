"""Physical constants fitted to a corrected motion, so that the simulator makes that motion itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pw_core.errors import ErrorCode, RefineError, RolloutError
from pw_core.gaussians import F32, F64, I64
from pw_core.refine.belief import SPREAD, Belief
from pw_core.refine.parameters import simulate, stepped, unit_of, value_of
from pw_core.scene import PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

INDEPENDENT = 4
"""A tracked motion is off by half a particle size, and alike for neighbours, cameras and frames: all of it together
tells as much as so many independent particles."""
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
        self._prior = np.linalg.inv(Belief.read(start.figures, names).covariance)
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
        where = seen[:: max(1, len(seen) // 400)]
        unit = 0.5 * self._size * math.sqrt(len(where) * len(self._when) / INDEPENDENT)
        wanted, limit = goal[self._when][:, where], 30 * self._size

        def residual(trajectory: Trajectory) -> F64:
            gap = (trajectory.positions[self._when][:, where] - wanted).astype(np.float64)
            return np.asarray(np.clip(gap, -limit, limit).reshape(-1) / unit)

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
        move = np.linalg.solve(J.T @ J + self._prior, -J.T @ here - self._prior @ x)
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
        self._J, self._spread = J, max(float(here @ here) / (3 * INDEPENDENT), 1.0)

    def belief(self) -> Belief:
        """What is known of the constants after the last improvement, this film and those before it together."""
        normal = self._J.T @ self._J / self._spread + self._prior
        return Belief(tuple(self.names), np.linalg.inv(normal))

    def estimates(self) -> list[Estimate]:
        """The same, constant by constant."""
        out = []
        for name, error in zip(self.names, self.belief().errors, strict=True):
            before, told = value_of(self.scene, self.before, name), bool(error < 0.5 * SPREAD)
            out.append(Estimate(name, before, self.parameters[name], float(error) * unit_of(name), told))
        return out

    def _at(self, x: F64) -> dict[str, float]:
        return stepped(self.scene, self.before, dict(zip(self.names, x.tolist(), strict=True)))

    def _rollout(self, x: F64) -> tuple[Trajectory, PhysicsState] | None:
        """None where the simulator cannot run with these."""
        try:
            return simulate(self.simulation, self.scene, self.start, self.trajectory, self._at(x))
        except RolloutError:
            return None

    def _cost(self, residual: F64, x: F64) -> float:
        return float(residual @ residual + x @ self._prior @ x)
