"""The view topics of one camera: raw, compressed, depth and camera_info, all with one stamp."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pw_core.gaussians import Camera
from pw_ros.convert.cameras import camera_to_info
from pw_ros.convert.geometry import time_after
from pw_ros.convert.images import numpy_to_compressed, numpy_to_image
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Picture
from pw_ros.worker.requests import RenderRequest


class ViewTopics:
    """Four publishers. Pictures are drawn only while someone subscribes."""

    def __init__(self, node: NodeContext, camera: Camera, prefix: str) -> None:
        self.node, self.camera = node, camera
        best = node.get_parameter("image_reliability").value == "best_effort"
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT if best else ReliabilityPolicy.RELIABLE)
        base = f"~/{prefix}view/{topic_name(camera.name)}"
        self.raw = node.create_publisher(Image, f"{base}/image_raw", qos)
        self.compressed = node.create_publisher(CompressedImage, f"{base}/image_raw/compressed", qos)
        self.info = node.create_publisher(CameraInfo, f"{base}/camera_info", qos)
        self.depth = node.create_publisher(Image, f"{base}/depth", qos)
        self._version, self._pending, self._gone = 0, False, False
        self._have: tuple[int, Picture] | None = None
        self._of = 0
        """Counts what is shown one after the other: a picture that was asked for before belongs to the last."""

    def destroy(self) -> None:
        """The topics go; what is still being drawn is not shown."""
        self._gone = True
        for publisher in (self.raw, self.compressed, self.info, self.depth):
            self.node.destroy_publisher(publisher)

    @property
    def wanted(self) -> tuple[bool, ...]:
        """Whether someone subscribes to the raw, the compressed, the depth picture."""
        return tuple(p.get_subscription_count() > 0 for p in (self.raw, self.compressed, self.depth))

    @property
    def watched(self) -> bool:
        """Whether someone subscribes to any of them."""
        return any(self.wanted)

    def ask(self, **request: Any) -> Any:
        """A job of the worker's that draws what the subscribers want."""
        deep = bool(self.depth.get_subscription_count())
        return self.node.worker.submit(RenderRequest(camera=self.camera, depth=deep, **request))

    def messages(self, picture: Picture) -> list[tuple[Any, Any]]:
        """Publishers that have subscribers and what goes out on them, camera_info first; `send` stamps them."""
        frame = self.node.frames.optical(self.camera.name)
        out = [(self.info, camera_to_info(self.camera, frame_id=frame))]
        if self.raw.get_subscription_count():
            out.append((self.raw, numpy_to_image(picture.rgb, frame_id=frame)))
        if self.compressed.get_subscription_count():
            quality = int(self.node.get_parameter("jpeg_quality").value)
            out.append((self.compressed, numpy_to_compressed(picture.rgb, quality=quality, frame_id=frame)))
        if picture.depth is not None and self.depth.get_subscription_count():
            out.append((self.depth, numpy_to_image(picture.depth, frame_id=frame)))
        return out

    def changed(self) -> None:
        """What was drawn is out of date."""
        self._version += 1

    def refresh(self, **request: Any) -> None:
        """Ask for a picture if there is none of what is shown now, one at a time."""
        have = self._have
        if self._pending or (have is not None and have[0] == self._version and self._deep_enough(have[1])):
            return
        self._pending, version, of = True, self._version, self._of
        self.ask(**request).future.add_done_callback(lambda f: self.node.topics.later(self._drawn, f, version, of))

    def _deep_enough(self, picture: Picture) -> bool:
        return picture.depth is not None or not self.depth.get_subscription_count()

    def _drawn(self, future: Any, version: int, of: int) -> None:
        self._pending = False
        if self._gone:
            return
        error = future.exception()
        if of != self._of or (error is None and math.isnan(future.result().time_s)):
            self.passed_over()
        elif error is None:
            self._have = (version, future.result())
            self.drawn()
        else:
            self.node.get_logger().warning(f"view {self.camera.name}: {future.exception()}", throttle_duration_sec=10.0)

    def drawn(self) -> None:
        """A new picture is there."""

    def passed_over(self) -> None:
        """A picture came when what it shows was over."""


class HeadView(ViewTopics):
    """The head, repeated at view_rate with the node's time."""

    def tick(self, stamp: Time) -> None:
        """Publish what is there, and ask for what is out of date."""
        if self.watched:
            self.refresh()
            if self._have is not None:
                send(self.messages(self._have[1]), stamp)
        elif self.info.get_subscription_count():
            frame = self.node.frames.optical(self.camera.name)
            send([(self.info, camera_to_info(self.camera, frame_id=frame))], stamp)


class PredictedView(ViewTopics):
    """A prediction: its pictures have the goal's stamp plus simulated time, and go out as soon as they are drawn."""

    def __init__(self, node: NodeContext, camera: Camera, prefix: str) -> None:
        super().__init__(node, camera, prefix)
        self._request: dict[str, Any] | None = None
        self._began = Time()
        self._again = False
        self._last = -math.inf
        self._heard: tuple[int, ...] = ()
        self.skipped = 0
        """Instants that were shown while someone subscribed and of which no picture went out."""

    def show(self, request: dict[str, Any] | None, began: Time, *, again: bool = False) -> None:
        """What to draw from now on (see RenderRequest), of a prediction whose t = 0 is at `began`.

        Stamps of a prediction's pictures rise; `again`: several pictures of the same instant may follow each other.
        """
        if began != self._began or request is None:
            self._of, self._have, self._last = self._of + 1, None, -math.inf
        self._request, self._began, self._again = request, began, again
        self.changed()
        self.skipped += request is not None and self.watched  # until a picture of it went out
        if request is not None and self.watched:
            self.refresh(**request)

    def drawn(self) -> None:
        """Publish, and go on where a newer instant is there."""
        have = self._have
        if have is not None and (have[1].time_s > self._last or (self._again and have[1].time_s == self._last)):
            self.skipped -= 1
            self._send()
        self.passed_over()

    def passed_over(self) -> None:
        """Go on with what is shown now."""
        if self._request is not None and self.watched:
            self.refresh(**self._request)

    def tick(self) -> None:
        """Again what was last shown, for who came late; while it runs, a frame has one picture, but for newcomers."""
        if self._request is None or not self.watched:
            return
        late = any(now > then for now, then in zip(self._subscribers(), self._heard or (0, 0, 0)))
        if (late or not self._request.get("live")) and self._have is not None and self._have[0] == self._version:
            self._send()
        self.refresh(**self._request)

    def _subscribers(self) -> tuple[int, ...]:
        return tuple(p.get_subscription_count() for p in (self.raw, self.compressed, self.depth))

    def _send(self) -> None:
        if self._have is not None and self._request is not None:
            picture = self._have[1]
            self._last, self._heard = picture.time_s, self._subscribers()
            send(self.messages(picture), time_after(self._began, picture.time_s))


def send(messages: Sequence[tuple[Any, Any]], stamp: Time) -> None:
    """Publish, all with one stamp."""
    for publisher, message in messages:
        message.header.stamp = stamp
        publisher.publish(message)


def topic_name(name: str) -> str:
    """A camera's name as part of a topic: letters, digits and _, no digit first."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{clean}" if clean[:1].isdigit() else clean
