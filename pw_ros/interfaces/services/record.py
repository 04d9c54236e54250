"""~/record: pictures of camera topics, kept as they came while the robot acts, and turned into films for ~/refine."""

from __future__ import annotations

import bisect
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.exceptions import InvalidTopicNameException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pw_core.errors import ErrorCode, ImageError, PWError
from pw_core.gaussians import Camera
from pw_core.refine.targets.footage import unseen_where_dark
from pw_msgs.msg import RecordedCamera, RecordSource
from pw_ros.convert.cameras import camera_info_to_intrinsics, lens_of, pose_to_viewmat, undistort
from pw_ros.convert.images import message_to_picture
from pw_ros.convert.refine import nanoseconds_of
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import ServiceGroup
from pw_ros.worker.requests import Film

SMALLEST = 1e-6
"""Of rates [Hz] and durations [s] that are taken for meant."""
BACK_NS = 1_000_000_000
"""A stamp that is so much before the last is no late message, but of a clock that was set back: a bag that loops, a
simulation that was reset."""
LEAST_PICTURES = 2
"""Of a film: one picture tells nothing of how things moved."""
SENSOR = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Best effort hears every publisher, reliable ones too."""


@dataclass
class Track:
    """What is kept of one camera: stamps [ns], rising, and the messages as they came. unstamped: pictures whose stamp
    was 0, which have the time when they were received."""

    source: RecordSource
    stamps: list[int] = field(default_factory=list)
    pictures: list[Any] = field(default_factory=list)
    info: CameraInfo | None = None
    dropped: int = 0
    bytes: int = 0
    unstamped: int = 0


class Recorder(ServiceGroup):
    """One recording at a time; a new one takes the place of the old."""

    def __init__(self, node: NodeContext) -> None:
        self.record_id = ""
        self.recording = False
        self._tracks: dict[str, Track] = {}
        self._subscriptions: list[Any] = []
        self._lock = threading.Lock()
        self._sources: list[RecordSource] = []
        self._interval_ns, self._until, self._limit = 0, 0.0, 0
        self._ended: PWError | None = None
        super().__init__(node, {"Record": self.record})

    def record(self, request: Any, response: Any) -> None:
        """The service.

        Raises:
            PWError: INVALID_TARGET for sources or limits that cannot be; RECORD_FULL, with the response filled in.
        """
        command = request.command
        if command not in ("", request.START, request.STOP, request.CLEAR):
            text = f"command '{command}' is none of start, stop, clear, or empty"
            raise PWError(text, code=ErrorCode.INVALID_TARGET)
        if command == request.START:
            self._start(request)
        elif command:
            self._stop()
        if command == request.CLEAR:
            self.record_id, self._ended = "", None
            with self._lock:
                self._tracks = {}
        if self.recording and time.monotonic() > self._until:
            self._stop()
        with self._lock:
            response.cameras = [_report(t) for t in self._tracks.values()]
        response.recording, response.record_id = self.recording, self.record_id
        if self._ended is not None:
            self._stop()
            response.recording = False
            raise self._ended

    def _start(self, request: Any) -> None:
        node, sources = self.node, list(request.sources) or self._sources
        names = [s.camera for s in sources]
        if not sources or len(set(names)) < len(names) or not all(names) or not all(s.image_topic for s in sources):
            text = f"sources: found cameras {names}, expected one or more with an image_topic, each named once"
            raise PWError(text, code=ErrorCode.INVALID_TARGET)
        for what in ("max_rate", "max_duration"):
            value = getattr(request, what)
            if not (value == 0 or SMALLEST <= value <= 1 / SMALLEST):
                text = f"{what}: found {value}, expected 0 or {SMALLEST:g} to {1 / SMALLEST:g}"
                raise PWError(text, code=ErrorCode.INVALID_TARGET)
        for source in sources:
            _check(source)
        self._stop()
        with self._lock:
            self._sources, self._tracks = sources, {s.camera: Track(s) for s in sources}
            self._ended = None
            self._interval_ns = int(1e9 / request.max_rate) if request.max_rate else 0
            self._limit = int(node.get_parameter("record_memory_mb").value) * 1_000_000
            seconds = request.max_duration or float(node.get_parameter("record_duration").value)
            self._until = time.monotonic() + seconds
            self.record_id, self.recording = f"r-{uuid.uuid4().hex[:10]}", True
        for source in sources:
            packed = source.image_topic.endswith("/compressed")
            self._listen(CompressedImage if packed else Image, source.image_topic, source.camera, self._picture)
            if source.camera_info_topic:
                self._listen(CameraInfo, source.camera_info_topic, source.camera, self._info)

    def _listen(self, kind: Any, topic: str, camera: str, heard: Any) -> None:
        node = self.node
        made = node.create_subscription(
            kind, topic, lambda message: heard(camera, message), SENSOR, callback_group=node.group
        )
        self._subscriptions.append(made)

    def _stop(self) -> None:
        with self._lock:
            self.recording = False
            gone, self._subscriptions = self._subscriptions, []
        for subscription in gone:
            self.node.destroy_subscription(subscription)

    def _info(self, camera: str, message: CameraInfo) -> None:
        try:  # a lens that nobody can straighten is told now, not when a refinement asks for the film
            lens_of(message)
            camera_info_to_intrinsics(message, undistorted=True)
        except PWError as error:
            self._end(f"camera_info of '{camera}': {error}", error.code)
            return
        with self._lock:
            if self.recording and camera in self._tracks:
                self._tracks[camera].info = message

    def _end(self, text: str, code: int) -> None:
        """What was kept until now stays, and nothing more is; the next call says why."""
        self._ended = PWError(text, code=code)
        self.node.get_logger().warning(text)

    def _picture(self, camera: str, message: Any) -> None:
        with self._lock:
            track = self._tracks.get(camera)
            if not self.recording or track is None or self._ended is not None or time.monotonic() > self._until:
                return
            first = not track.pictures
        if first:  # what nobody can decode is told now, too
            try:
                message_to_picture(message)
            except ImageError as error:
                with self._lock:
                    self._end(f"pictures of camera '{camera}': {error}", ErrorCode.INVALID_TARGET)
                return
        with self._lock:
            self._keep(track, message)

    def _keep(self, track: Track, message: Any) -> None:
        """In the order of the stamps."""
        camera, stamp, size = track.source.camera, nanoseconds_of(message.header.stamp), len(message.data)
        if stamp == 0:
            stamp = int(self.node.get_clock().now().nanoseconds)
            if not track.unstamped:
                text = f"camera '{camera}' sends pictures without stamps: the time of their arrival is taken"
                self.node.get_logger().warning(text)
            track.unstamped += 1
        last = track.stamps[-1] if track.stamps else stamp
        if stamp < last - BACK_NS:
            self._end(
                f"the clock of camera '{camera}' went back by {(last - stamp) * 1e-9:.3f} s after {len(track.stamps)} "
                "pictures (a bag that loops, a simulation that was reset): what came before is kept",
                ErrorCode.INVALID_STAMPS,
            )
            return
        at = bisect.bisect_left(track.stamps, stamp)
        beside = [abs(stamp - s) for s in track.stamps[max(at - 1, 0) : at + 1]]
        if not size or (beside and (min(beside) == 0 or min(beside) < 0.95 * self._interval_ns)):
            track.dropped += 1
            return
        held = sum(t.bytes for t in self._tracks.values())
        if held + size > self._limit:
            track.dropped += 1
            self._end(
                f"recording stopped at {held / 1e6:.0f} MB of record_memory_mb = {self._limit / 1e6:.0f}: what was "
                "kept until then can be refined with; record with max_rate, compressed topics, or more memory",
                ErrorCode.RECORD_FULL,
            )
            return
        track.stamps.insert(at, stamp)
        track.pictures.insert(at, message)
        track.bytes += size

    # --- films --------------------------------------------------------------------------------------------------------

    def films(self, record_id: str, origin: Time) -> list[Film]:
        """Of each camera, stamps [s] from `origin` (zero: the earliest picture's).

        Raises:
            PWError: INVALID_TARGET for another id than that of what is kept, no pictures, or ones nobody can read;
                INVALID_CAMERA, INVALID_FRAME for a camera_info or pose that cannot be.
        """
        with self._lock:
            if record_id not in ("", self.record_id):
                text = f"record '{record_id}' is not there; what is buffered is '{self.record_id or 'nothing'}'"
                raise PWError(text, code=ErrorCode.INVALID_TARGET)
            tracks = [(t, list(t.stamps), list(t.pictures)) for t in self._tracks.values()]
        empty = [t.source.camera for t, stamps, _ in tracks if not stamps]
        if empty or not tracks:
            text = f"recording '{self.record_id}': no pictures of camera '{', '.join(empty)}'"
            raise PWError(text, code=ErrorCode.INVALID_TARGET)
        thin = [(t.source.camera, len(stamps), t.dropped) for t, stamps, _ in tracks if len(stamps) < LEAST_PICTURES]
        if thin:
            camera, kept, dropped = thin[0]
            text = (f"recording '{self.record_id}': camera '{camera}' has {kept} picture, {dropped} more were dropped: "
                    f"at least {LEAST_PICTURES} at different times are needed to see how things moved")  # fmt: skip
            raise PWError(text, code=ErrorCode.INVALID_TARGET)
        zero = nanoseconds_of(origin) or min(stamps[0] for _, stamps, _ in tracks)
        return [self._film(t, stamps, pictures, zero) for t, stamps, pictures in tracks]

    def _film(self, track: Track, stamps: list[int], pictures: list[Any], zero: int) -> Film:
        name, intrinsics = track.source.camera, None
        frames: list[NDArray[np.uint8]] = []
        seen: list[NDArray[np.bool_] | None] = []
        for k, message in enumerate(pictures):
            try:
                picture = message_to_picture(message)
            except ImageError as error:
                text = f"recorded picture {k} of camera '{name}': {error}"
                raise PWError(text, code=ErrorCode.INVALID_TARGET) from None
            rgb, valid = picture.rgb, picture.valid
            if track.info is not None:
                rgb, intrinsics, straight = undistort(rgb, track.info)
                if valid is not None and straight is not None:
                    straight = straight & (undistort(valid.astype(np.float32), track.info)[0] > 0)
                valid = valid if straight is None else straight
            if frames and rgb.shape != frames[0].shape:
                sizes = f"found {rgb.shape}, expected {frames[0].shape} as before"
                text = f"recorded picture {k} of camera '{name}': {sizes}"
                raise PWError(text, code=ErrorCode.INVALID_TARGET)
            frames.append(rgb)
            seen.append(valid)
        everywhere = np.ones(frames[0].shape[:2], np.bool_)
        known = None
        if any(v is not None for v in seen):
            known = np.stack([everywhere if v is None else v for v in seen])
        shown = np.stack(frames)
        known, dark = unseen_where_dark(shown, known)
        if dark:
            text = f"recording of camera '{name}': {len(dark)} dark pictures of {len(frames)} count as unseen"
            self.node.get_logger().warning(text)
        camera = self._camera(track, intrinsics, pictures[0].header.frame_id, frames[0].shape)
        return Film(camera, np.array([(s - zero) * 1e-9 for s in stamps]), shown, known)

    def _camera(self, track: Track, intrinsics: Any, frame_id: str, shape: tuple[int, ...]) -> Camera | str:
        """By name where the scene's camera of that name says all; else of camera_info and pose."""
        node, source = self.node, track.source
        placed = bool(source.pose.header.frame_id)
        scene = {c.name: c for c in node.worker.snapshot.cameras}.get(source.camera)
        if scene is not None and intrinsics is None and not placed:
            return str(source.camera)
        if intrinsics is None and scene is None:
            text = f"camera '{source.camera}' is not in the scene and sent no camera_info: name its camera_info_topic"
            raise PWError(text, code=ErrorCode.TARGET_CAMERA_UNKNOWN)
        if placed:
            local = pose_to_viewmat(source.pose.pose, what=f"pose of '{source.camera}'")
            frame_id = source.pose.header.frame_id
        elif scene is not None:
            local, frame_id = scene.viewmat, ""
        else:
            local = np.eye(4)
        to_world = node.frames.to_world(frame_id)
        viewmat = local if to_world is None else local @ np.linalg.inv(to_world)
        height, width = shape[:2]
        K = intrinsics.K if intrinsics is not None else scene.resized(width, height).K  # type: ignore[union-attr]
        return Camera(source.camera, K, viewmat, width, height)


def _check(source: RecordSource) -> None:
    """That its topics can be subscribed to, and its name and pose used later. PWError: INVALID_TARGET."""
    if not re.fullmatch(r"[\w-][\w. -]{0,99}", source.camera):
        text = f"sources: camera '{source.camera}' is not a name: use up to 100 letters, digits, '_', '-', '.'"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    for what in ("image_topic", "camera_info_topic"):
        topic = getattr(source, what)
        try:
            if topic:
                validate_topic_name(topic.removeprefix("~/"))
        except InvalidTopicNameException as error:
            text = f"sources: {what} '{topic}' of camera '{source.camera}': {error}"
            raise PWError(text, code=ErrorCode.INVALID_TARGET) from None
    if source.pose.header.frame_id:
        pose_to_viewmat(source.pose.pose, what=f"pose of '{source.camera}'")


def _report(track: Track) -> RecordedCamera:
    out = RecordedCamera(camera=track.source.camera, frames=len(track.stamps), dropped=track.dropped, bytes=track.bytes)
    if track.stamps:
        out.first, out.last = track.pictures[0].header.stamp, track.pictures[-1].header.stamp
    return out
