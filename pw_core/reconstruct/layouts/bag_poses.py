"""Where a recording says that its cameras were: TF, PoseStamped, Odometry; and which way was up: its IMU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from pw_core.gaussians import F64
from pw_core.reconstruct.layouts.types import Matrix

WORLDS = ("map", "world", "odom", "base_link", "base")
"""Frames that stand for the world, REP 105."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """Which poses and accelerations of a recording count for a picture."""

    apart_s: float = 0.2
    """Beyond the first and last pose that a picture may be."""
    imu_window_s: float = 0.5
    """Round a picture, in which an IMU's acceleration is averaged: a hand shakes faster."""
    at_rest_m_s2: tuple[float, float] = (9.0, 10.6)
    """What that average is of something that nearly rests: else it does not tell what is up."""


def stamp_of(message: Any) -> float:
    """[s] of a message's header."""
    stamp = message.header.stamp
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def _placed(position: Any, orientation: Any) -> Matrix:
    """(4, 4) of a message's position and quaternion."""
    q, p = orientation, position
    out = np.eye(4)
    out[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    out[:3, 3] = p.x, p.y, p.z
    return out


class Transforms:
    """The way from a frame up to the root, each step in time: TF, and odometry where TF does not hold it."""

    def __init__(
        self, messages: Iterator[tuple[str, Any]], odometry: Iterator[tuple[str, Any]] = iter(()), *,
        options: PoseOptions = PoseOptions(),
    ) -> None:  # fmt: skip
        """Topics and messages of TFMessage, and of Odometry."""
        self.options = options
        self._steps: dict[str, tuple[str, bool, list[tuple[float, Matrix]]]] = {}
        for topic, message in messages:
            for t in message.transforms:
                parent, child = t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")
                placed = _placed(t.transform.translation, t.transform.rotation)
                moving = not topic.endswith("tf_static")
                _, _, steps = self._steps.setdefault(child, (parent, moving, []))
                steps.append((float(t.header.stamp.sec) + float(t.header.stamp.nanosec) * 1e-9, placed))
        known = set(self._steps)
        for _, message in odometry:
            child = message.child_frame_id.lstrip("/")
            if child and child not in known:
                self.add(message.header.frame_id, child, stamp_of(message), message.pose.pose)
        for _, _, steps in self._steps.values():
            steps.sort(key=lambda s: s[0])

    def add(self, parent: str, child: str, stamp: float, pose: Any) -> None:
        """Where a frame is in another at a time [s]."""
        _, _, steps = self._steps.setdefault(child.lstrip("/"), (parent.lstrip("/"), True, []))
        steps.append((stamp, _placed(pose.position, pose.orientation)))
        steps.sort(key=lambda s: s[0])

    def replace(self, child: str, poses: Sequence[Any]) -> None:
        """Where a frame is, by PoseStamped messages alone."""
        self._steps.pop(child.lstrip("/"), None)
        for pose in poses:
            self.add(pose.header.frame_id, child, stamp_of(pose), pose.pose)

    def knows(self, frame: str) -> bool:
        """Whether it is in another one."""
        return frame.lstrip("/") in self._steps

    def viewmat(self, frame: str, stamp: float, *, static: bool = False) -> Matrix | None:
        """World to the frame (4, 4) at a time [s]; None where nothing is known of it, or nothing on the way moves:
        such a root is the camera's own, unless all may be `static` and the root has a world's name."""
        if not self.knows(frame):
            return None
        found = self._to_root(frame, stamp)
        if found is None or not (found[2] or (static and found[1] in WORLDS)):
            return None
        return np.asarray(np.linalg.inv(found[0]))

    def between(self, a: str, b: str, stamp: float) -> Matrix | None:
        """Frame a in frame b (4, 4) at a time [s]; None where nothing joins them."""
        first, second = self._to_root(a, stamp), self._to_root(b, stamp)
        if first is None or second is None or first[1] != second[1]:
            return None
        return np.asarray(np.linalg.inv(second[0]) @ first[0])

    def _to_root(self, frame: str, stamp: float) -> tuple[Matrix, str, bool] | None:
        """The frame in its root (4, 4), the root, and whether anything on the way moves."""
        placed, moves, child = np.eye(4), False, frame.lstrip("/")
        for _ in range(len(self._steps) + 1):
            if child not in self._steps:
                break
            parent, moving, steps = self._steps[child]
            step = _between(steps, stamp, self.options) if moving else steps[-1][1]
            if step is None:
                return None
            placed, moves, child = step @ placed, moves or moving, parent
        return placed, child, moves


def _between(steps: Sequence[tuple[float, Matrix]], stamp: float, options: PoseOptions) -> Matrix | None:
    """The transform at a time [s], between the two beside it; None where it is too far outside."""
    times = np.array([t for t, _ in steps])
    if not times[0] - options.apart_s <= stamp <= times[-1] + options.apart_s:
        return None
    at = int(np.clip(np.searchsorted(times, stamp), 1, max(len(times) - 1, 1)))
    if len(steps) == 1 or times[at] == times[at - 1]:
        return steps[min(at, len(steps) - 1)][1]
    share = float(np.clip((stamp - times[at - 1]) / (times[at] - times[at - 1]), 0, 1))
    a, b = steps[at - 1][1], steps[at][1]
    out = np.eye(4)
    out[:3, :3] = Slerp([0, 1], Rotation.from_matrix(np.stack([a[:3, :3], b[:3, :3]])))(share).as_matrix()
    out[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
    return out


def pose_topic(topics: Sequence[str], image: str) -> str:
    """Of topics with poses that of an image's camera: the one that shares most of its namespace, or one that names a
    camera; empty where that does not tell: other things have poses, too."""
    def shared(topic: str) -> int:
        count = 0
        for a, b in zip(topic.strip("/").split("/")[:-1], image.strip("/").split("/")[:-1]):
            if a != b:
                break
            count += 1
        return count

    best = sorted((t for t in topics if shared(t) or "cam" in t.lower()), key=shared, reverse=True)
    if len(best) > 1 and shared(best[0]) == shared(best[1]):
        return ""
    return best[0] if best else ""


def imu_up(
    messages: Iterator[tuple[str, Any]], transforms: Transforms, frame: str, stamp: float, *,
    options: PoseOptions = PoseOptions(),
) -> F64 | None:  # fmt: skip
    """Against gravity (3,), unit, in a camera's frame (right, down, ahead) at a time [s]: what an IMU that nearly rests
    feels. None: none does, or nothing joins its frame to the camera's."""
    felt: dict[str, list[F64]] = {}
    for _, message in messages:
        a = message.linear_acceleration
        if abs(stamp_of(message) - stamp) <= options.imu_window_s:
            felt.setdefault(message.header.frame_id.lstrip("/"), []).append(np.array([a.x, a.y, a.z]))
    for theirs, values in felt.items():
        mean = np.mean(values, axis=0)
        size = float(np.linalg.norm(mean))
        same = theirs == frame.lstrip("/")
        way = np.eye(4) if same else transforms.between(theirs, frame, stamp)
        if way is not None and options.at_rest_m_s2[0] < size < options.at_rest_m_s2[1]:
            return np.asarray(way[:3, :3] @ (mean / size))
    return None
