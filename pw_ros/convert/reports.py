"""Entities, states and the world's status as messages, and tracks back as arrays: pure functions that need no node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import Header

from pw_core.appearance import EntityPose
from pw_core.scene import Entity, State
from pw_msgs.msg import EntityInfo, EntityState, EntityTrack, StateInfo, WorldStatus
from pw_ros.convert.geometry import ConversionError, arrays_to_pose, seconds_to_time, xyz_to_point, xyz_to_vector

Matrix = NDArray[np.float64]


def entity_to_info(entity: Entity) -> EntityInfo:
    """What an entity is."""
    return EntityInfo(
        name=entity.name,
        kind=entity.kind,
        material=entity.material.model,
        entity_id=entity.id,
        particles=entity.particles.stop - entity.particles.start,
        gaussians=entity.gaussians.stop - entity.gaussians.start,
        mass=float(entity.mass_kg),
    )


def pose_to_state(pose: EntityPose, *, frame_id: str = "", stamp: Time | None = None) -> EntityState:
    """Where an entity is, in the scene's world frame."""
    message = EntityState(
        header=Header(frame_id=frame_id),
        name=pose.name,
        kind=pose.kind,
        pose=arrays_to_pose(pose.position, pose.orientation),
        twist=_twist(pose.linear, pose.angular),
        bounds_min=xyz_to_point(pose.bounds[0]),
        bounds_max=xyz_to_point(pose.bounds[1]),
    )
    if stamp is not None:
        message.header.stamp = stamp
    return message


def poses_to_track(
    times: ArrayLike, poses: Sequence[EntityPose], *, frame_id: str = "", stamp: Time | None = None
) -> EntityTrack:
    """Where one entity goes: its pose at each of the times (T,) [s] from the trajectory's start; stamp: of t = 0.

    Raises:
        ConversionError: no pose, as many times as there are not poses, or poses of more than one entity.
    """
    seconds = [float(t) for t in np.asarray(times, dtype=np.float64)]
    names = sorted({pose.name for pose in poses})
    if len(names) != 1 or len(seconds) != len(poses):
        raise ConversionError(
            f"a track needs one pose of one entity a time: {len(seconds)} times, {len(poses)} of {names}"
        )
    message = EntityTrack(
        header=Header(frame_id=frame_id),
        name=poses[0].name,
        kind=poses[0].kind,
        times=seconds,
        poses=[arrays_to_pose(p.position, p.orientation) for p in poses],
        twists=[_twist(p.linear, p.angular) for p in poses],
        bounds_min=[xyz_to_point(p.bounds[0]) for p in poses],
        bounds_max=[xyz_to_point(p.bounds[1]) for p in poses],
    )
    if stamp is not None:
        message.header.stamp = stamp
    return message


def track_to_arrays(message: EntityTrack) -> dict[str, Matrix]:
    """The arrays of a track, times (T,) [s], positions (T, 3) [m], orientations (T, 4) wxyz,
    linear [m/s] and angular [rad/s] velocities (T, 3), bounds (T, 2, 3) [m]."""

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


def state_to_info(state: State, *, committed: bool = False, head: bool = False, saved: bool = False) -> StateInfo:
    """A node of the state tree."""
    return StateInfo(
        state_id=state.id,
        parent=state.parent,
        trajectory_id=state.trajectory_id,
        time=float(state.time_s),
        committed=committed,
        head=head,
        saved=saved,
        label=state.label,
        created=seconds_to_time(state.created),
    )


def poses_to_tracks(
    times: Sequence[float], poses: Sequence[Sequence[EntityPose]], *, frame_id: str, stamp: Time
) -> list[EntityTrack]:
    """One track an entity, from the poses of all of them at each time [s]; at least one time."""
    return [poses_to_track(times, [p[i] for p in poses], frame_id=frame_id, stamp=stamp) for i in range(len(poses[0]))]


STATUS = {
    "idle": WorldStatus.IDLE,
    "reconstructing": WorldStatus.RECONSTRUCTING,
    "compiling": WorldStatus.COMPILING,
    "rolling out": WorldStatus.ROLLING_OUT,
    "refining": WorldStatus.REFINING,
    "planning": WorldStatus.PLANNING,
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
