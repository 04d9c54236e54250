"""A rollout as it runs: frames to iterate over, and the trajectory and state that they add up to."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F64
from pw_core.scene import Body, PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

MAX_DURATION_S = 60.0
MAX_FRAMES = 5000


@dataclass(frozen=True)
class Frame:
    """One instant of a rollout: time_s from its start, fraction of its duration, everything physical."""

    index: int
    time_s: float
    fraction: float
    physics: PhysicsState


class Rollout:
    """A running rollout: iterate to go on, `close()` to cancel. Then `trajectory` and `end` hold what came of it."""

    def __init__(
        self, frames: Iterator[Frame], result: Callable[[], tuple[Trajectory, State]], forget: Callable[[], None]
    ) -> None:
        self._frames = frames
        self._result = result
        self._forget = forget

    def __iter__(self) -> Rollout:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Cancel: the frames so far are kept as an uncommitted trajectory; the head does not move."""
        self._frames.close()  # type: ignore[attr-defined]

    def discard(self) -> None:
        """Cancel, and keep nothing."""
        self._forget()
        self.close()

    @property
    def trajectory(self) -> Trajectory:
        """The frames so far. RolloutError before the first."""
        return self._result()[0]

    @property
    def end(self) -> State:
        """The state after the last frame. RolloutError before the first."""
        return self._result()[1]


Keep = Callable[[Trajectory, State, bool], None]
"""Given a rollout's trajectory and end, and whether it ran to its end: once, when it ends or is called off."""


def begin(
    scene: Scene,
    origin: State,
    actions: Sequence[Action],
    duration: float,
    *,
    simulation: Callable[[], Simulation],
    keep: Keep,
    frame_interval: float | None = None,
) -> Rollout:
    """A rollout of `duration` [s] from `origin` under `actions`; nothing runs before its first frame is asked for.

    Args:
        simulation: gives the scene's, built; called with the first frame.
        keep: not called where there was no frame.
        frame_interval: [s]; None: the config's.

    Raises:
        RolloutError: INVALID_DURATION, UNKNOWN_ENTITY here; INVALID_ACTION, UNSTABLE, OUT_OF_BOUNDS as it runs.
    """
    times = frame_times(duration, scene.config.frame_interval_s if frame_interval is None else frame_interval)
    names = [e.name for e in scene.entities]
    for action in actions:
        if action.entity and action.entity not in names:
            raise RolloutError(
                f"action '{action.name or action.type}': entity '{action.entity}' is none of {', '.join(names)}",
                code=ErrorCode.UNKNOWN_ENTITY,
            )
    frames: list[Frame] = []
    ids = (f"t-{uuid.uuid4().hex[:10]}", f"s-{uuid.uuid4().hex[:10]}")
    kept: list[tuple[Trajectory, State]] = []

    def result() -> tuple[Trajectory, State]:
        if kept:
            return kept[0]
        if not frames:
            raise RolloutError("the rollout has not begun: ask for its first frame")
        return record(origin, frames, tuple(actions), ids)

    def run() -> Iterator[Frame]:
        finished = False
        try:
            built = simulation()
            built.reset(origin.physics, time_s=0.0)
            built.set_actions(actions)
            for index, t in enumerate(times):
                built.advance_to(float(t))
                built.check()
                frames.append(Frame(index, float(t), float(t) / duration, built.read()))
                yield frames[-1]
            finished = True
        finally:
            if frames:
                kept.append(result())
                keep(*kept[0], finished)

    return Rollout(run(), result, frames.clear)


def frame_times(duration: float, interval: float) -> F64:
    """Times [s] of a rollout's frames: every `interval`, and the end.

    Raises:
        RolloutError (INVALID_DURATION): either is not in its range, or there would be too many frames.
    """
    for what, value, top in (("duration", duration, MAX_DURATION_S), ("frame_interval", interval, duration)):
        if not (math.isfinite(value) and 0 < value <= top):
            raise RolloutError(
                f"{what} must be over 0 and at most {top:g} s, got {value}", code=ErrorCode.INVALID_DURATION
            )
    count = math.ceil(duration / interval - 1e-9)
    if count > MAX_FRAMES:
        raise RolloutError(
            f"{count} frames are too many: at most {MAX_FRAMES}, so a frame_interval of "
            f"{duration / MAX_FRAMES:.3g} s or more",
            code=ErrorCode.INVALID_DURATION,
        )
    return np.append(np.arange(count) * interval, duration)


def record(
    origin: State, frames: list[Frame], actions: tuple[Action, ...], ids: tuple[str, str]
) -> tuple[Trajectory, State]:
    """The trajectory of `frames` (at least one) from `origin`, and the state after the last; ids are theirs."""
    last = frames[-1]
    trajectory = Trajectory(
        id=ids[0],
        start=origin.id,
        end=ids[1],
        times=np.array([f.time_s for f in frames]),
        positions=np.stack([f.physics.particles.positions for f in frames]),
        velocities=np.stack([f.physics.particles.velocities for f in frames]),
        bodies={name: np.stack([_flat(f.physics.bodies[name]) for f in frames]) for name in last.physics.bodies},
        actions=actions,
    )
    state = State(
        ids[1], origin.id, origin.time_s + last.time_s, last.physics, ids[0], time.time(),
        appearance=origin.appearance, parameters=origin.parameters, views=origin.views,
    )  # fmt: skip
    return trajectory, state


def _flat(body: Body) -> NDArray[np.float64]:
    return np.concatenate([body.position, body.orientation, body.linear, body.angular])


def physics_at(scene: Scene, trajectory: Trajectory, time_s: float) -> PhysicsState:
    """Positions, velocities and bodies of the frame nearest to `time_s` [s], enough to draw it.

    F, C and Jp are those of the scene at rest: a trajectory does not keep them.
    """
    k = int(np.argmin(np.abs(trajectory.times - time_s)))
    particles = replace(scene.particles, positions=trajectory.positions[k], velocities=trajectory.velocities[k])
    bodies = {n: Body(p[k, 0:3], p[k, 3:7], p[k, 7:10], p[k, 10:13]) for n, p in trajectory.bodies.items()}
    return PhysicsState(particles, bodies)
