"""Frames other than the scene's, by tf2 where it is installed; where it is not, a clear error."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from pw_core.appearance import EntityPose
from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import F64, Camera
from pw_ros.convert.cameras import viewmat_to_pose
from pw_ros.convert.geometry import arrays_to_pose, pose_to_matrix, transform_to_matrix


@dataclass(frozen=True, kw_only=True)
class FramesOptions:
    """When a transform of a name of ours is somebody else's."""

    remembered: int = 128
    """Of what was sent, by stamp: seconds at the usual rate, while messages take milliseconds."""
    apart: float = 1e-5
    """By which places [m] and quaternions may differ from what was sent: tf2 adds and multiplies."""
    told_for: int = 10
    """Looks, after one that found something: of two that send by turns the last is ours every other time."""


class Frames:
    """Knows the scene's frame and, with tf2, how others lie to it; puts the cameras' frames on /tf_static and those of
    things on /tf.

    Args:
        node: whose frames they are.
        frame_id: the scene's frame.
        prefix: put in front of the names of cameras' and things' frames, as robot_state_publisher's `frame_prefix` is.

    Raises:
        ValueError: a prefix that no frame's name may begin with.
    """

    def __init__(
        self, node: Node, frame_id: str, prefix: str = "", *, options: FramesOptions = FramesOptions()
    ) -> None:
        if not re.fullmatch(r"([A-Za-z0-9_][\w./-]*)?", prefix, re.ASCII):
            raise ValueError(
                f"parameter frame_prefix must have letters, digits and _ . - / and no / first, not '{prefix}'"
            )
        self.node, self.frame_id, self.prefix, self.options = node, frame_id, prefix, options
        self._lock = threading.Lock()  # of what was sent
        self._sent: OrderedDict[int, dict[str, F64]] = OrderedDict()  # of things, by stamp [ns]
        self._fixed: dict[str, F64] = {}  # of cameras
        self._doubled: dict[str, int] = {}  # names that somebody else sends too, and for how many looks that is told
        self._cameras: frozenset[str] = frozenset()
        self._things: frozenset[str] = frozenset()
        self._buffer: Any = None
        self._static: Any = None
        self._moving: Any = None
        try:
            import tf2_ros

            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, node)
            self._static = tf2_ros.StaticTransformBroadcaster(node)
            self._moving = tf2_ros.TransformBroadcaster(node)
        except ImportError:
            node.get_logger().info(
                "tf2_ros is not installed: goals must be in the scene's frame, cameras and things are not on TF"
            )

    def to_world(self, frame_id: str) -> NDArray[np.float64] | None:
        """The transform (4, 4) from that frame to the scene's; None where they are the same.

        Raises:
            PWError (INVALID_FRAME): tf2 is not there, or does not know it.
        """
        frame_id = frame_id.removeprefix("/")  # as tf had it before tf2
        if frame_id in ("", self.frame_id):
            return None
        if self._buffer is None:
            raise PWError(
                f"frame '{frame_id}' is not the scene's '{self.frame_id}', and tf2_ros is not there to transform it",
                code=ErrorCode.INVALID_FRAME,
            )
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(self.frame_id, frame_id, Time())
        except Exception as error:  # tf2's own classes
            raise PWError(
                f"frame '{frame_id}' cannot be transformed to '{self.frame_id}': {error}", code=ErrorCode.INVALID_FRAME
            ) from None
        return transform_to_matrix(found.transform)

    def publish_cameras(self, cameras: tuple[Camera, ...]) -> None:
        """Put optical frames on TF, if it is there."""
        self._cameras = frozenset(self.optical(c.name) for c in cameras)
        if self._static is None:
            return
        made = [
            self._transform(viewmat_to_pose(c.viewmat, frame_id=self.frame_id), self.optical(c.name)) for c in cameras
        ]
        self._fixed = {each.child_frame_id: _numbers(each) for each in made}
        self._static.sendTransform(made)

    def publish_entities(self, poses: Sequence[EntityPose]) -> None:
        """Put entities on TF, each as a frame of its name, if it is there: as they are now, so again and again."""
        self._things = frozenset(self.of_entity(p.name) for p in poses)
        if self._moving is None or not poses:
            return
        header = Header(frame_id=self.frame_id)
        at = [PoseStamped(header=header, pose=arrays_to_pose(p.position, p.orientation)) for p in poses]
        made = [self._transform(pose, self.of_entity(p.name)) for pose, p in zip(at, poses)]
        with self._lock:
            for each in made:
                self._sent.setdefault(_stamp(each), {})[each.child_frame_id] = _numbers(each)
            while len(self._sent) > self.options.remembered:
                self._sent.popitem(last=False)
        self._moving.sendTransform(made)

    def optical(self, camera: str) -> str:
        """The frame of a scene's camera (REP 103: z forward, x right, y down)."""
        return f"{self.prefix}{camera}_optical"

    def of_entity(self, name: str) -> str:
        """The frame of a thing."""
        return f"{self.prefix}{name}"

    def contested(self) -> str:
        """What is to be said where a name of ours is not ours alone; empty: all are."""
        own = self._cameras | self._things
        if self._buffer is None or not own:
            return ""
        twice = sorted((self._cameras & self._things) | ({self.frame_id} & own))
        if twice:
            return (
                f"this scene has two TF frames called {', '.join(twice)}: a thing's and a camera's or the scene's; "
                "set the parameter frame_prefix or frame_id"
            )
        return self._elsewhere(own) or self._sent_twice()

    def _sent_twice(self) -> str:
        """Names of ours that come below our frame, but not as they were sent: another world's, most likely."""
        for name in self._cameras | self._things:
            if self._is_ours(name):
                left = self._doubled.pop(name, 0) - 1
                if left > 0:
                    self._doubled[name] = left
            else:
                self._doubled[name] = self.options.told_for
        taken = sorted(set(self._doubled) & (self._cameras | self._things))
        if not taken:
            return ""
        return (
            f"somebody else sends TF frames called {', '.join(taken)} below '{self.frame_id}' too, as another world "
            "node does whose scene has things or cameras of these names: they jump between both; set the parameter "
            "frame_prefix of one of them"
        )

    def _is_ours(self, name: str) -> bool:
        """Whether the last transform of that name is one that was sent here, as far as is known."""
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(self.frame_id, name, Time())
        except Exception:  # tf2's own classes: it has not come yet
            return True
        with self._lock:
            if name in self._fixed:
                sent: F64 | None = self._fixed[name]
            elif not self._sent or _stamp(found) < next(iter(self._sent)):
                return True  # of before what is remembered
            else:
                sent = self._sent.get(_stamp(found), {}).get(name)
        return sent is not None and _apart(sent, _numbers(found)) < self.options.apart

    def _elsewhere(self, own: frozenset[str]) -> str:
        """Names of ours that are below another frame."""
        import yaml

        try:
            known = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        except yaml.YAMLError:  # a frame of a name that tf2 does not quote
            return ""
        parents = {name: str(known[name].get("parent", "")) for name in own & set(known)}
        taken = sorted(f"{name} (below {p})" for name, p in parents.items() if p and p != self.frame_id)
        if not taken:
            return ""
        return (
            f"somebody else has TF frames called {', '.join(taken)}, as things or cameras of this scene are: "
            "transforms of both come by turns; set the parameter frame_prefix"
        )

    def check_place(self, table: PoseStamped) -> None:
        """Whether `place` can be done; asked before anything is made.

        Raises:
            PWError (INVALID_FRAME): tf2 is not there, the pose is in the scene's own frame, or is none.
        """
        code = ErrorCode.INVALID_FRAME
        if self._static is None:
            raise PWError("table_pose needs tf2_ros, which is not installed; leave it out", code=code)
        if table.header.frame_id == self.frame_id:
            text = f"table_pose is in '{self.frame_id}', the scene's own frame; give it in the robot's"
            raise PWError(text, code=code)
        pose_to_matrix(table.pose, what="table_pose", code=code)

    def place(self, table: PoseStamped) -> None:
        """Put the scene's frame into the robot's, after `check_place`."""
        self._static.sendTransform([self._transform(table, self.frame_id)])

    def _transform(self, pose: PoseStamped, child: str) -> TransformStamped:
        message = TransformStamped(header=pose.header, child_frame_id=child)
        message.header.stamp = self.node.get_clock().now().to_msg()
        p, t = pose.pose.position, message.transform.translation
        t.x, t.y, t.z = p.x, p.y, p.z
        message.transform.rotation = pose.pose.orientation
        return message


def _stamp(transform: TransformStamped) -> int:
    """Its time [ns]."""
    return int(transform.header.stamp.sec) * 1_000_000_000 + int(transform.header.stamp.nanosec)


def _numbers(transform: TransformStamped) -> F64:
    """Translation [m] and quaternion xyzw (7,)."""
    t, q = transform.transform.translation, transform.transform.rotation
    return np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])


def _apart(one: F64, other: F64) -> float:
    """By how much two of them differ; a quaternion and its negative are one rotation."""
    turn = min(float(np.abs(one[3:] - other[3:]).max()), float(np.abs(one[3:] + other[3:]).max()))
    return max(float(np.abs(one[:3] - other[:3]).max()), turn)
