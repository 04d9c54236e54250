"""The topics: head state and prediction as particles, markers and views; status and diagnostics."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from pw_core.gaussians import Camera
from pw_msgs.msg import PhysicalAction, WorldStatus
from pw_ros.cameras import camera_to_info
from pw_ros.clouds import particles_to_cloud
from pw_ros.frames import optical_frame
from pw_ros.images import numpy_to_compressed, numpy_to_image
from pw_ros.markers import scene_to_markers
from pw_ros.reports import pose_to_state, status_to_message
from pw_ros.worker_process import FrameData, Snapshot

if TYPE_CHECKING:
    from pw_ros.node import WorldNode

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


class ViewTopics:
    """One camera's four topics; the picture is made while someone subscribes, and kept until the state changes."""

    def __init__(self, node: WorldNode, camera: Camera, prefix: str) -> None:
        self.node, self.camera = node, camera
        self.request: dict[str, Any] = {}
        self.version = 0
        self._have: tuple[int, Any] | None = None
        self._pending = False
        best = node.get_parameter("image_reliability").value == "best_effort"
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT if best else ReliabilityPolicy.RELIABLE)
        base = f"~/{prefix}view/{topic_name(camera.name)}"
        self._raw = node.create_publisher(Image, f"{base}/image_raw", qos)
        self._compressed = node.create_publisher(CompressedImage, f"{base}/image_raw/compressed", qos)
        self._info = node.create_publisher(CameraInfo, f"{base}/camera_info", qos)
        self._depth = node.create_publisher(Image, f"{base}/depth", qos)

    def destroy(self) -> None:
        """The topics go."""
        for publisher in (self._raw, self._compressed, self._info, self._depth):
            self.node.destroy_publisher(publisher)

    def tick(self, stamp: Time) -> None:
        """Publish what is there, and ask for what is out of date."""
        pictures = [p for p in (self._raw, self._compressed, self._depth) if p.get_subscription_count()]
        frame = optical_frame(self.camera.name)
        if self._info.get_subscription_count() or pictures:
            self._info.publish(camera_to_info(self.camera, frame_id=frame, stamp=stamp))
        if not pictures:
            return
        if (self._have is None or self._have[0] != self.version) and not self._pending:
            self._pending, version = True, self.version
            job = self.node.worker.submit("render", camera=self.camera, **self.request)
            job.future.add_done_callback(lambda f: self._rendered(f, version))
        if self._have is None:
            return
        view = self._have[1]
        if self._raw in pictures:
            self._raw.publish(numpy_to_image(view.rgb, frame_id=frame, stamp=stamp))
        if self._compressed in pictures:
            quality = int(self.node.get_parameter("jpeg_quality").value)
            self._compressed.publish(numpy_to_compressed(view.rgb, quality=quality, frame_id=frame, stamp=stamp))
        if self._depth in pictures:
            self._depth.publish(numpy_to_image(visible_depth(view), frame_id=frame, stamp=stamp))

    def _rendered(self, future: Any, version: int) -> None:
        self._pending = False
        if future.exception() is None:
            self._have = (version, future.result())
        else:
            self.node.get_logger().warning(f"view {self.camera.name}: {future.exception()}", throttle_duration_sec=10.0)


class Publishers:
    """All topics of the node."""

    def __init__(self, node: WorldNode) -> None:
        self.node = node
        self._particles = node.create_publisher(PointCloud2, "~/particles", LATCHED)
        self._entities = node.create_publisher(MarkerArray, "~/entities", LATCHED)
        self._predicted_particles = node.create_publisher(PointCloud2, "~/prediction/particles", LATCHED)
        self._predicted_entities = node.create_publisher(MarkerArray, "~/prediction/entities", LATCHED)
        self._status = node.create_publisher(WorldStatus, "~/status", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._views: list[ViewTopics] = []
        self._predicted: list[ViewTopics] = []
        self._cameras: tuple[Any, ...] = ()
        self._actions: Sequence[PhysicalAction] = ()
        self._lock = threading.Lock()
        self._playing: threading.Event | None = None

    # --- the head -----------------------------------------------------------------------------------------------------

    def head(self, snapshot: Snapshot) -> None:
        """The world changed."""
        key = (snapshot.scene_id, snapshot.created, tuple(c.name for c in snapshot.cameras))
        with self._lock:
            if key != self._cameras:
                for view in self._views + self._predicted:
                    view.destroy()
                self._views = [ViewTopics(self.node, c, "") for c in snapshot.cameras]
                self._predicted = [ViewTopics(self.node, c, "prediction/") for c in snapshot.cameras]
                for view in self._predicted:
                    view.request = {"live": True}
                self._cameras = key
                self.node.frames.publish_cameras(snapshot.cameras)
            for view in self._views:
                view.version += 1
        if snapshot.scene_id:
            frame = FrameData(0.0, 0.0, snapshot.positions, snapshot.velocities, snapshot.poses)
            self._publish(frame, self.node.now(), self._particles, self._entities, ())

    def _publish(self, frame: FrameData, stamp: Time, cloud: Any, markers: Any, actions: Sequence[Any]) -> None:
        snapshot, frame_id = self.node.worker.snapshot, self.node.frames.frame_id
        fits = len(snapshot.entity_ids) == len(frame.positions)
        cloud.publish(
            particles_to_cloud(
                frame.positions,
                velocities=frame.velocities,
                colors=snapshot.colors if fits else None,
                entities=snapshot.entity_ids if fits else None,
                frame_id=frame_id,
                stamp=stamp,
            )
        )
        states = [pose_to_state(p, frame_id=frame_id, stamp=stamp) for p in frame.poses]
        markers.publish(scene_to_markers(states, actions, frame_id=frame_id, stamp=stamp))

    # --- predictions --------------------------------------------------------------------------------------------------

    def predict_actions(self, actions: Sequence[PhysicalAction]) -> None:
        """Whose arrows go with the next predictions."""
        self.stop()
        self._actions = actions

    def predict(self, frame: FrameData, stamp: Time, request: dict[str, Any] | None = None) -> None:
        """An instant of a running or played trajectory; request: how its views are rendered."""
        self._publish(frame, stamp, self._predicted_particles, self._predicted_entities, self._actions)
        with self._lock:
            for view in self._predicted:
                view.request = request or {"live": True}
                view.version += 1

    def play(self, frames: Sequence[FrameData], actions: Sequence[PhysicalAction], request: dict[str, Any],
             *, rate: float, loop: bool) -> None:  # fmt: skip
        """Play in a thread, `rate` simulated seconds a second."""
        self.predict_actions(actions)
        stop = self._playing = threading.Event()

        def run() -> None:
            while not stop.is_set():
                began, stamp = time.monotonic(), self.node.now()
                for frame in frames:
                    if stop.wait(max(0.0, began + frame.time_s / rate - time.monotonic())):
                        return
                    from pw_ros.conversions import time_after

                    at = time_after(stamp, frame.time_s)
                    self.predict(frame, at, {**request, "time_s": frame.time_s})
                if not loop:
                    return
                stop.wait(0.05)  # a trajectory of one frame must not spin

        threading.Thread(target=run, name="playback", daemon=True).start()

    def stop(self) -> None:
        """End the playback."""
        if self._playing is not None:
            self._playing.set()
            self._playing = None

    # --- regularly ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Called at view_rate."""
        stamp = self.node.now()
        with self._lock:
            views = self._views + self._predicted
            for view in views:
                view.tick(stamp)

    def status(self, fields: dict[str, Any]) -> None:
        """Publish the world's status."""
        self._status.publish(status_to_message(**fields, frame_id=self.node.frames.frame_id, stamp=self.node.now()))

    def diagnose(self) -> None:
        """Called once a second."""
        node = self.node
        level = {"failed": DiagnosticStatus.ERROR, "starting": DiagnosticStatus.WARN}.get(
            node.worker.state, DiagnosticStatus.OK
        )
        values = {
            "worker": node.worker.state, "worker pid": node.worker.pid, "worker starts": node.worker.starts,
            "job": node.gate.running or "none", "waiting": node.gate.waiting,
            "scene": node.worker.snapshot.scene_id or "none", "states": len(node.worker.snapshot.states),
        }  # fmt: skip
        status = DiagnosticStatus(level=level, name=f"{node.get_name()}: world", message=node.worker.state)
        status.hardware_id = str(node.get_parameter("device").value)
        status.values = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = node.now()
        self._diagnostics.publish(message)


def visible_depth(view: Any) -> np.ndarray:
    """Depth [m] (H, W), NaN where nothing is."""
    return np.where(view.alpha > 0.5, view.depth, np.nan).astype(np.float32)


def topic_name(name: str) -> str:
    """A camera's name as part of a topic: letters, digits and _, no digit first."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{clean}" if clean[:1].isdigit() else clean
