"""Entities, states and the world's status as messages, and tracks back as arrays: pure functions that need no node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import Header

from pw_msgs.msg import EntityInfo, EntityState, EntityTrack, StateInfo, WorldStatus
from pw_ros.conversions import ConversionError, arrays_to_pose, seconds_to_time, xyz_to_point, xyz_to_vector

Matrix = NDArray[np.float64]


def entity_to_info(
    *,
    name: str,
    kind: str,
    material: str = "",
    entity_id: int = 0,
    particles: int = 0,
    gaussians: int = 0,
    mass: float = 0.0,
) -> EntityInfo:
    """What an entity is; mass in [kg]."""
    return EntityInfo(
        name=name,
        kind=kind,
        material=material,
        entity_id=entity_id,
        particles=particles,
        gaussians=gaussians,
        mass=float(mass),
    )


def entity_to_state(
    *,
    name: str,
    kind: str,
    position: ArrayLike,
    orientation: ArrayLike,
    linear: ArrayLike = (0, 0, 0),
    angular: ArrayLike = (0, 0, 0),
    bounds: ArrayLike,
    frame_id: str = "",
    stamp: Time | None = None,
) -> EntityState:
    """Where an entity is: position (3,) [m], orientation (4,) wxyz, linear [m/s] and angular [rad/s] velocity (3,),
    bounds (2, 3) [m], all in the frame."""
    low, high = np.asarray(bounds, dtype=np.float64).reshape(2, 3)
    message = EntityState(
        header=Header(frame_id=frame_id),
        name=name,
        kind=kind,
        pose=arrays_to_pose(position, orientation),
        twist=_twist(linear, angular),
        bounds_min=xyz_to_point(low),
        bounds_max=xyz_to_point(high),
    )
    if stamp is not None:
        message.header.stamp = stamp
    return message


def entity_to_track(
    *,
    name: str,
    kind: str,
    times: ArrayLike,
    positions: ArrayLike,
    orientations: ArrayLike,
    linear: ArrayLike,
    angular: ArrayLike,
    bounds: ArrayLike,
    frame_id: str = "",
    stamp: Time | None = None,
) -> EntityTrack:
    """Where an entity goes: times (T,) [s], positions (T, 3) [m], orientations (T, 4) wxyz, linear [m/s] and angular
    [rad/s] velocities (T, 3), bounds (T, 2, 3) [m].

    Raises:
        ConversionError: arrays of different lengths.
    """
    times = np.asarray(times, dtype=np.float64)
    given = {
        "positions": positions,
        "orientations": orientations,
        "linear": linear,
        "angular": angular,
        "bounds": bounds,
    }
    arrays = {key: np.asarray(value, dtype=np.float64) for key, value in given.items()}
    wrong = {key: len(value) for key, value in arrays.items() if len(value) != len(times)}
    if wrong:
        raise ConversionError(f"track of '{name}': {len(times)} times, but {wrong}")
    message = EntityTrack(
        header=Header(frame_id=frame_id),
        name=name,
        kind=kind,
        times=times.tolist(),
        poses=[arrays_to_pose(p, q) for p, q in zip(arrays["positions"], arrays["orientations"])],
        twists=[_twist(v, w) for v, w in zip(arrays["linear"], arrays["angular"])],
        bounds_min=[xyz_to_point(b[0]) for b in arrays["bounds"]],
        bounds_max=[xyz_to_point(b[1]) for b in arrays["bounds"]],
    )
    if stamp is not None:
        message.header.stamp = stamp
    return message


def track_to_arrays(message: EntityTrack) -> dict[str, Matrix]:
    """The arrays of a track, by the names and shapes of `entity_to_track`."""

    def rows(items: Sequence[Any], names: str) -> Matrix:
        values = [[getattr(item, n) for n in names] for item in items]
        return np.array(values, dtype=np.float64).reshape(-1, len(names))

    return {
        "times": np.array(message.times, dtype=np.float64),
        "positions": rows([p.position for p in message.poses], "xyz"),
        "orientations": rows([p.orientation for p in message.poses], "wxyz"),
        "linear": rows([t.linear for t in message.twists], "xyz"),
        "angular": rows([t.angular for t in message.twists], "xyz"),
        "bounds": np.stack([rows(message.bounds_min, "xyz"), rows(message.bounds_max, "xyz")], axis=1),
    }


def state_to_info(
    *,
    state_id: str,
    parent: str | None = None,
    trajectory_id: str | None = None,
    time: float = 0.0,
    committed: bool = False,
    head: bool = False,
    saved: bool = False,
    label: str = "",
    created: float = 0.0,
) -> StateInfo:
    """A node of the state tree; time is simulated, created is wall time, both [s]."""
    return StateInfo(
        state_id=state_id,
        parent=parent or "",
        trajectory_id=trajectory_id or "",
        time=float(time),
        committed=committed,
        head=head,
        saved=saved,
        label=label,
        created=seconds_to_time(created),
    )


STATUS = {
    "idle": WorldStatus.IDLE,
    "reconstructing": WorldStatus.RECONSTRUCTING,
    "compiling": WorldStatus.COMPILING,
    "rolling out": WorldStatus.ROLLING_OUT,
    "refining": WorldStatus.REFINING,
    "starting": WorldStatus.STARTING,
    "error": WorldStatus.ERROR,
}


def status_to_message(
    *,
    status: str,
    stage: str = "",
    fraction: float | None = None,
    eta: float | None = None,
    scene_id: str | None = None,
    head_state: str | None = None,
    head_time: float = 0.0,
    goals_waiting: int = 0,
    error_code: int = 0,
    error_msg: str = "",
    frame_id: str = "",
    stamp: Time | None = None,
) -> WorldStatus:
    """What the world is doing, by the names of `STATUS`; `None` is unknown (-1 in the message) or none.

    Raises:
        ConversionError: an unknown status.
    """
    if status not in STATUS:
        raise ConversionError(f"status '{status}' is not known; use one of {', '.join(STATUS)}")
    message = WorldStatus(
        header=Header(frame_id=frame_id),
        status=STATUS[status],
        stage=stage,
        fraction=-1.0 if fraction is None else float(fraction),
        eta=-1.0 if eta is None else float(eta),
        scene_id=scene_id or "",
        head_state=head_state or "",
        head_time=float(head_time),
        goals_waiting=goals_waiting,
        error_code=int(error_code),
        error_msg=error_msg,
    )
    if stamp is not None:
        message.header.stamp = stamp
    return message


def _twist(linear: ArrayLike, angular: ArrayLike) -> Twist:
    return Twist(linear=xyz_to_vector(linear), angular=xyz_to_vector(angular))
