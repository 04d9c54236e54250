"""Physical constants fitted to a corrected motion, so that the simulator makes that motion itself."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pw_core.calibrate.constants import stepped, unit_of, value_of
from pw_core.calibrate.posterior import Posterior, PosteriorOptions
from pw_core.calibrate.replay import replay
from pw_core.errors import ErrorCode, RefineError, RolloutError
from pw_core.gaussians import F32, F64, I64
from pw_core.scene import PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


@dataclass(frozen=True, kw_only=True)
class GaussNewtonOptions:
    """How constants are fitted."""

    independent_particles: int = 4
    """A tracked motion is off by half a particle size, and alike for neighbours, cameras and frames: all of it together
    tells as much as so many independent particles of each entity."""
    most_steps: int = 3
    """At most so many steps an improvement."""
    finite_difference: float = 0.15
    """Step, in a constant's units, of the rollouts that derivatives are taken from: well above the chaos of single
    particles, well below what changes the kind of motion."""
    longest_move: float = 1.2
    """No constant moves further in one step, in its units: the derivatives hold near where they were taken."""
    least_gain: float = 0.1
    """A step that promises less is not tried; in squared standard errors."""
    robust_scale: float = 4.0
    """Tracking errors (see `tracking_error_ratio`) beyond which a gap counts ever less (Cauchy's loss)."""
    tracking_error_ratio: float = 0.5
    """The error of a tracked motion, in sizes of the smallest particle: gaps are counted in it."""
    default_particle_size_m: float = 0.01
    """Stands for the smallest particle where a scene has rigid entities alone."""
    frame_stride: int = 3
    """Every so many frames from the last are compared: neighbouring frames say the same."""
    sampled_particles: int = 400
    """About so many of the particles seen of each entity are compared."""
    fewest_particles: int = 20
    """An entity of which less is seen does not count as much as the others."""
    nudge_ratio: float = 0.25
    """Particle sizes by which a rigid body's start is off in the rollout that shows what small errors grow to."""
    nudge_rad: float = 0.02
    """The same, of its turn."""
    posterior: PosteriorOptions = field(default_factory=PosteriorOptions)
    """The prior, and the constants' units."""


@dataclass(frozen=True)
class Estimate:
    """One constant: its value, its standard error (relative for positive ones, [m/s²] for wind), and whether it was
    observable in the film: an error below half of the prior's."""

    name: str
    before: float
    value: float
    error: float
    observable: bool


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
        names: Sequence[str], parameters: dict[str, float], options: GaussNewtonOptions = GaussNewtonOptions(),
    ) -> None:  # fmt: skip
        self.simulation, self.scene, self.start, self.names = simulation, scene, start, list(names)
        self.before, self.parameters = dict(parameters), dict(parameters)
        self.trajectory, self.end, self.options = trajectory, end, options
        soft = [e for e in scene.entities if e.kind == "deformable"]
        self._size = min((e.particle_size_m for e in soft), default=options.default_particle_size_m)
        self._x = np.zeros(len(self.names))
        prior = Posterior.read(start.figures, names, options=options.posterior)
        self._prior = np.linalg.inv(prior.covariance)
        self._information = np.zeros((len(self.names), len(self.names)))
        self._when = np.arange(len(trajectory) - 1, 0, -options.frame_stride)
        self._where, self._each, self._weight = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
        self._J: F64 | None = None

    @property
    def rollouts(self) -> int:
        """How many an improvement takes, about: a derivative each, and the steps."""
        return len(self.names) + self.options.most_steps + bool(self.start.physics.bodies)

    def improve(self, goal: F32, seen: I64, *, afresh: bool = True) -> Iterator[int]:
        """Some steps towards `goal` [m] (T, J, 3), judged by the particles `seen`; yields the rollouts done.

        Derivatives are taken once; after a step they are mended by what it did (Broyden 1965). Without `afresh` those
        of the last improvement, and its sample particles, go on.

        Raises:
            RefineError: with no constants near the present ones does the simulator get through the trajectory.
        """
        done = 0
        afresh = afresh or self._J is None
        if afresh:
            self._where, self._each = self._sample_particles(seen)
            nudged = None
            if self.start.physics.bodies:
                nudged = self._rollout(self._x, _nudged(self.start.physics, self._size, self.options))
                yield (done := done + 1)
            self._weight = self._weights(nudged and nudged[0])
        here = self._gaps(self.trajectory, goal)
        if afresh:
            done = yield from self._differentiate(here, goal, done)
        assert self._J is not None
        J = self._J
        cost = self._cost(here, self._x)
        for _ in range(self.options.most_steps):
            w = self._weight * self._robust(here)
            slope = -np.einsum("mci,mc,m->i", J, here, w) - self._prior @ self._x
            move = np.linalg.solve(np.einsum("mci,mcj,m->ij", J, J, w) + self._prior, slope)
            if slope @ move < self.options.least_gain:
                break
            move *= min(1.0, self.options.longest_move / max(float(np.abs(move).max()), 1e-9))
            there = self._rollout(self._x + move)
            yield (done := done + 1)
            if there is None:
                break
            then = self._gaps(there[0], goal)
            J += (then - here - J @ move)[..., None] * move / (move @ move)
            reached = self._cost(then, self._x + move)
            if reached < cost:  # otherwise the mended derivatives are asked again, from where it was
                self._x, here, cost = self._x + move, then, reached
                self.trajectory, self.end = there
                self.parameters = self._at(self._x)
        w = self._weight * self._robust(here)
        spread = max(float((w * (here**2).sum(1)).sum() / (3 * self._weight.sum())), 1.0)
        self._information = np.einsum("mci,mcj,m->ij", J, J, w) / spread

    def _differentiate(self, here: F64, goal: F32, done: int) -> Generator[int, None, int]:
        """Take the gaps' derivatives (M, 3, P) anew; yields and returns the rollouts done."""
        J, ran = np.zeros((*here.shape, len(self._x))), False
        for i in range(len(self._x)):
            # A stiffer one may not be simulable: then look the other way.
            for step in (self.options.finite_difference, -self.options.finite_difference):
                there = self._rollout(self._x + step * np.eye(len(self._x))[i])
                yield (done := done + 1)
                if there is not None:
                    J[..., i], ran = (self._gaps(there[0], goal) - here) / step, True
                    break
        if not ran:
            raise RefineError(
                f"constants cannot be fitted: near the present {', '.join(self.names)} the simulator does not "
                "get through the trajectory's actions from its start",
                code=ErrorCode.REFINE_UNKNOWN,
            )
        self._J = J
        return done

    def _gaps(self, trajectory: Trajectory, goal: F32) -> F64:
        """From the goal, in tracking errors, (M, 3): the sample particles in every third frame."""
        gap = trajectory.positions[self._when][:, self._where] - goal[self._when][:, self._where]
        return np.asarray(gap.reshape(-1, 3).astype(np.float64) / (self.options.tracking_error_ratio * self._size))

    def _sample_particles(self, seen: I64) -> tuple[I64, F64]:
        """Some hundred of the particles seen of each entity, and the weight of each: entities count alike."""
        o = self.options
        index, weight = [], []
        for e in self.scene.entities:
            mine = seen[(seen >= e.particles.start) & (seen < e.particles.stop)]
            mine = mine[:: max(1, len(mine) // o.sampled_particles)]
            index.append(mine)
            weight.append(np.full(len(mine), o.independent_particles / max(len(mine), o.fewest_particles)))
        return np.concatenate(index), np.concatenate(weight)

    def _weights(self, nudged: Trajectory | None) -> F64:
        """Of each gap (M,): less where the outcome hangs on more than the constants. A pin that falls on its end may
        tip over either way, and where it does, its motion tells chance apart, not stiffness from friction. So what a
        start that is off by less than can be seen makes of an entity by each instant counts as an error."""
        weight = np.tile(self._each, (len(self._when), 1)) / len(self._when)
        if nudged is not None:
            ids = self.scene.entity_ids[self._where]
            apart = nudged.positions - self.trajectory.positions
            grown = np.linalg.norm(apart - apart[:1], axis=-1)[self._when][:, self._where]
            grown = grown / (self.options.tracking_error_ratio * self._size)
            for e in np.unique(ids):
                weight[:, ids == e] /= 1 + (grown[:, ids == e] ** 2).mean(1, keepdims=True)
        return np.asarray(weight.reshape(-1))

    def posterior(self) -> Posterior:
        """What is known of the constants after the last improvement, this film and those before it together."""
        covariance = np.linalg.inv(self._information + self._prior)
        return Posterior(tuple(self.names), covariance, self.options.posterior)

    def estimates(self) -> list[Estimate]:
        """The same, constant by constant."""
        posterior, units = self.posterior(), self.options.posterior.constants
        out = []
        for name, error, observable in zip(self.names, posterior.errors, posterior.observable(), strict=True):
            before, deviation = value_of(self.scene, self.before, name), float(error) * unit_of(name, options=units)
            out.append(Estimate(name, before, self.parameters[name], deviation, observable))
        return out

    def _at(self, x: F64) -> dict[str, float]:
        steps = dict(zip(self.names, x.tolist(), strict=True))
        return stepped(self.scene, self.before, steps, options=self.options.posterior.constants)

    def _rollout(self, x: F64, start: PhysicsState | None = None) -> tuple[Trajectory, PhysicsState] | None:
        """None where the simulator cannot run with these."""
        begin = self.start if start is None else replace(self.start, physics=start)
        try:
            return replay(self.simulation, begin, self.trajectory, self._at(x))
        except RolloutError:
            return None

    def _cost(self, gaps: F64, x: F64) -> float:
        knee = self.options.robust_scale
        cost = knee**2 * np.log1p((gaps**2).sum(1) / knee**2)
        return float(self._weight @ cost + x @ self._prior @ x)

    def _robust(self, gaps: F64) -> F64:
        """Weights (M,) of gaps (M, 3): a rolling thing may end anywhere, and must not outvote all that is near."""
        return np.asarray(1 / (1 + (gaps**2).sum(1) / self.options.robust_scale**2))


def _nudged(physics: PhysicsState, size: float, options: GaussNewtonOptions) -> PhysicsState:
    """The same, with rigid bodies a little beside and turned from where they are; always alike."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    bodies = {}
    for name, b in physics.bodies.items():
        angle, axis = rng.uniform(0, 2 * np.pi), rng.normal(size=3)
        turn = Rotation.from_rotvec(options.nudge_rad * axis / np.linalg.norm(axis))
        turned = (turn * Rotation.from_quat(b.orientation[[1, 2, 3, 0]])).as_quat()[[3, 0, 1, 2]]
        beside = options.nudge_ratio * size * np.array([np.cos(angle), np.sin(angle), 0.0])
        bodies[name] = replace(b, position=b.position + beside, orientation=turned)
    return replace(physics, bodies=bodies)
