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
from pw_core.limits import LIMITS, Limits
from pw_core.scene import Body, PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


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
        frame_interval: [s]; None: the config's, but no longer than the rollout.

    Raises:
        RolloutError: INVALID_DURATION, UNKNOWN_ENTITY, INVALID_ACTION (too many, or one that would never begin) here;
            INVALID_ACTION, UNSTABLE, OUT_OF_BOUNDS as it runs.
    """
    if frame_interval is None:
        frame_interval = min(scene.config.frame_interval_s, duration)
    times = frame_times(duration, frame_interval)
    _check_size(len(times), len(scene.rest), len(actions))
    names = [e.name for e in scene.entities]
    for action in actions:
        if action.start >= duration:
            raise RolloutError(
                f"action '{action.name or action.type}' would begin at {action.start:g} s, when the rollout of "
                f"{duration:g} s is over: let it begin earlier, or give a longer duration",
                code=ErrorCode.INVALID_ACTION,
            )
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


def _check_size(frames: int, particles: int, actions: int) -> None:
    if actions > LIMITS.actions:
        raise RolloutError(f"{actions} actions: at most {LIMITS.actions}", code=ErrorCode.INVALID_ACTION)
    if frames * particles > LIMITS.frame_particles:
        raise RolloutError(
            f"{frames} frames of {particles} particles are more than memory is meant for: at most "
            f"{LIMITS.frame_particles // particles} frames, so a longer frame_interval",
            code=ErrorCode.INVALID_DURATION,
        )


def frame_times(duration: float, interval: float, *, limits: Limits = LIMITS) -> F64:
    """Times [s] of a rollout's frames: every `interval`, and the end.

    Raises:
        RolloutError (INVALID_DURATION): either is not in its range, or there would be too many frames.
    """
    for what, value, top in (("duration", duration, limits.duration_s), ("frame_interval", interval, duration)):
        if not (math.isfinite(value) and 0 < value <= top):
            raise RolloutError(
                f"{what} must be over 0 and at most {top:g} s, got {value}", code=ErrorCode.INVALID_DURATION
            )
    ratio = duration / interval if interval > duration / (2 * limits.frames) else math.inf  # may be beyond all numbers
    if ratio - 1e-9 > limits.frames:
        raise RolloutError(
            f"a frame_interval of {interval:.3g} s makes too many frames: at most {limits.frames}, so "
            f"{duration / limits.frames:.3g} s or more",
            code=ErrorCode.INVALID_DURATION,
        )
    count = math.ceil(ratio - 1e-9)
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

    Raises:
        RolloutError (INVALID_TIME): it is not within the trajectory.
    """
    k = nearest_frame(trajectory, time_s)
    particles = replace(scene.particles, positions=trajectory.positions[k], velocities=trajectory.velocities[k])
    bodies = {n: Body(p[k, 0:3], p[k, 3:7], p[k, 7:10], p[k, 10:13]) for n, p in trajectory.bodies.items()}
    return PhysicsState(particles, bodies)


def nearest_frame(trajectory: Trajectory, time_s: float) -> int:
    """Index of the frame nearest to `time_s` [s].

    Raises:
        RolloutError (INVALID_TIME): it is not within the trajectory, give or take half a frame.
    """
    times = trajectory.times
    slack = 0.5 * float(times[-1] - times[-2]) if len(times) > 1 else 1e-6
    if not times[0] - slack <= time_s <= times[-1] + slack:
        raise RolloutError(
            f"time {time_s:g} s is not in trajectory '{trajectory.id}', which goes from {times[0]:g} to "
            f"{times[-1]:g} s",
            code=ErrorCode.INVALID_TIME,
        )
    return int(np.argmin(np.abs(times - time_s)))


def frames_between(trajectory: Trajectory, start: float = 0.0, end: float = 0.0, *, stride: int = 1) -> range:
    """Indices of the frames from `start` to `end` [s] (0: to the last), every `stride`-th.

    Raises:
        RolloutError (INVALID_TIME): a time that is not within the trajectory, or a start after the end.
    """
    first = nearest_frame(trajectory, start)
    last = nearest_frame(trajectory, end) if end != 0 else len(trajectory.times) - 1
    if end != 0 and start > end:
        raise RolloutError(f"start {start:g} s is after end {end:g} s", code=ErrorCode.INVALID_TIME)
    # The first frame not before the start and the last not after the end, but for rounding.
    if trajectory.times[first] < start - 1e-6:
        first += 1
    if end != 0 and trajectory.times[last] > end + 1e-6:
        last -= 1
    return range(first, last + 1, max(stride, 1))
