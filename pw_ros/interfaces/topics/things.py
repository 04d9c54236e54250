"""What viewers without better show of entities and Gaussians: poses, paths of predictions, splats as points.

Poses are small and latched. What is larger is made only while someone listens, and again for who comes late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from pw_ros.convert.clouds import splats_to_cloud
from pw_ros.convert.geometry import arrays_to_pose, time_after
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.topics.views import topic_name
from pw_ros.qos import LATCHED, RELIABLE
from pw_ros.worker.protocol import FrameData
from pw_ros.worker.scene_requests import Splats, SplatsRequest


class _Heard:
    """A publisher that knows whether someone came to listen since the last time."""

    def __init__(self, node: NodeContext, kind: Any, name: str, qos: QoSProfile) -> None:
        self._came = False
        events = PublisherEventCallbacks(matched=self._matched)
        self.publisher = node.create_publisher(kind, name, qos, event_callbacks=events)

    def _matched(self, info: Any) -> None:
        self._came = self._came or info.total_count_change > 0

    @property
    def wanted(self) -> bool:
        return bool(self.publisher.get_subscription_count())

    def came(self) -> bool:
        """Someone is there who was not the last time that this was asked."""
        came, self._came = self._came, False
        return came


class EntityTopics:
    """`~/entities/<name>/pose` of the head, `~/prediction/entities/<name>/pose` and, where nav_msgs is installed,
    `.../path`: where its centroid goes."""

    def __init__(self, node: NodeContext, names: Sequence[str]) -> None:
        self._node = node
        self._poses = {n: self._publisher(PoseStamped, f"entities/{topic_name(n)}/pose") for n in names}
        base = "prediction/entities"
        self._predicted = {n: self._publisher(PoseStamped, f"{base}/{topic_name(n)}/pose") for n in names}
        kind = path_type()
        paths = names if kind is not None else ()
        self._paths = {n: _Heard(node, kind, f"~/{base}/{topic_name(n)}/path", LATCHED) for n in paths}
        self._kind, self._began = kind, Time()
        self._way: dict[str, list[PoseStamped]] = {}

    def _publisher(self, kind: Any, name: str) -> Any:
        return self._node.create_publisher(kind, f"~/{name}", LATCHED)

    def destroy(self) -> None:
        """The topics go."""
        paths = [p.publisher for p in self._paths.values()]
        for publisher in (*self._poses.values(), *self._predicted.values(), *paths):
            self._node.destroy_publisher(publisher)

    def head(self, poses: Sequence[Any], stamp: Time) -> None:
        """The world changed."""
        for pose in poses:
            if pose.name in self._poses:
                self._poses[pose.name].publish(self._stamped(pose, stamp))

    def predict(self, frame: FrameData, began: Time) -> None:
        """An instant of a prediction whose t = 0 is at `began`. Stamps of a path rise: an earlier instant begins it
        anew, as where a playback begins again."""
        at = time_after(began, frame.time_s)
        if began != self._began:
            self._way, self._began = {}, began
        for pose in frame.poses:
            if pose.name not in self._predicted:
                continue
            stamped = self._stamped(pose, at)
            self._predicted[pose.name].publish(stamped)
            way = self._way.setdefault(pose.name, [])
            if way and _after(way[-1].header.stamp, at):
                way.clear()
            way.append(stamped)
            if pose.name in self._paths and self._paths[pose.name].wanted:
                self._send(pose.name)

    def tick(self) -> None:
        """Paths, for who came late."""
        for name, heard in self._paths.items():
            if heard.came() and self._way.get(name):
                self._send(name)

    def _send(self, name: str) -> None:
        way = self._way[name]
        assert self._kind is not None
        self._paths[name].publisher.publish(self._kind(header=way[-1].header, poses=list(way)))

    def _stamped(self, pose: Any, stamp: Time) -> PoseStamped:
        header = Header(frame_id=self._node.frames.frame_id, stamp=stamp)
        return PoseStamped(header=header, pose=arrays_to_pose(pose.position, pose.orientation))


class SplatTopics:
    """`~/splats` of the head's things and `~/background/splats`, made by the worker while someone listens."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._topics = {
            background: _Heard(node, PointCloud2, f"~/{name}", RELIABLE)
            for background, name in ((False, "splats"), (True, "background/splats"))
        }
        self._version, self._sent, self._pending = 0, {False: 0, True: 0}, {False: False, True: False}

    def changed(self) -> None:
        """What was sent is out of date."""
        self._version += 1

    def tick(self) -> None:
        """Ask for what someone wants and has not got."""
        for background, heard in self._topics.items():
            if not heard.wanted or self._pending[background] or not self._node.worker.snapshot.scene_id:
                continue
            if not heard.came() and self._sent[background] == self._version:
                continue
            self._pending[background], version = True, self._version
            job = self._node.worker.submit(SplatsRequest(background=background))
            job.future.add_done_callback(partial(self._soon, background, version))

    def _soon(self, background: bool, version: int, future: Any) -> None:
        self._node.topics.later(self._drawn, future, background, version)

    def _drawn(self, future: Any, background: bool, version: int) -> None:
        self._pending[background] = False
        error = future.exception()
        if error is not None:
            self._node.get_logger().warning(f"splats: {error}", throttle_duration_sec=10.0)
            return
        self._sent[background] = version
        self._topics[background].publisher.publish(_cloud(self._node, future.result(), self._node.now()))


class PredictedSplats:
    """`~/prediction/splats`: Gaussians of the things at the instant that is shown, made by the worker while someone
    listens, one instant at a time: those that come meanwhile are passed over, but for the newest."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._heard = _Heard(node, PointCloud2, "~/prediction/splats", RELIABLE)
        self._shown: dict[str, Any] | None = None
        self._began, self._last = Time(), -math.inf
        self._version, self._sent, self._pending = 0, 0, False

    def show(self, shown: dict[str, Any] | None, began: Time) -> None:
        """Of what, from now on (see SplatsRequest), its t = 0 at `began`; None: of nothing. Stamps of what began at the
        same instant rise."""
        if began != self._began or shown is None:
            self._last = -math.inf
        self._shown, self._began = shown, began
        self._version += 1
        self.tick()

    def tick(self) -> None:
        """Ask for what someone wants and has not got."""
        shown = self._shown
        if shown is None or self._pending or not self._heard.wanted:
            return
        again = self._heard.came()
        if not again and self._sent == self._version:
            return
        self._pending = True
        version, began = self._version, self._began
        job = self._node.worker.submit(SplatsRequest(**shown))
        job.future.add_done_callback(lambda f: self._node.topics.later(self._made, f, version, began, again))

    def _made(self, future: Any, version: int, began: Time, again: bool) -> None:
        self._pending, self._sent = False, version
        error = future.exception()
        if error is not None:
            self._node.get_logger().warning(f"predicted splats: {error}", throttle_duration_sec=10.0)
            return
        made = future.result()
        if began == self._began and self._shown is not None and (
            made.time_s > self._last or (again and made.time_s == self._last)
        ):  # fmt: skip
            self._last = made.time_s
            self._heard.publisher.publish(_cloud(self._node, made, time_after(began, made.time_s)))
        self.tick()


def _cloud(node: NodeContext, s: Splats, stamp: Time) -> PointCloud2:
    return splats_to_cloud(
        s.means, colors=s.colors, sizes=s.sizes, opacities=s.opacities, frame_id=node.frames.frame_id, stamp=stamp
    )


def _after(a: Time, b: Time) -> bool:
    return (a.sec, a.nanosec) > (b.sec, b.nanosec)


def path_type() -> Any:
    """nav_msgs/Path, or None where that package is not installed."""
    try:
        from nav_msgs.msg import Path
    except ImportError:
        return None
    return Path
