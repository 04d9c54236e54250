"""Recordings of ROS (rosbag2 with SQLite or MCAP, rosbag1): colour pictures, depth, camera_info, poses of TF.

No ROS is needed: `rosbags` reads the files and the messages in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import PWError
from pw_core.media.cameras import intrinsics_of
from pw_core.media.depth import metres
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.lens import Distortion, Straight, named_distortion
from pw_core.media.pictures import Picture, check_pixels, check_whole, decode_picture
from pw_core.media.raw import raw_pixels
from pw_core.reconstruct.layouts.bag_poses import PoseOptions, Transforms, imu_up, pose_topic, stamp_of
from pw_core.reconstruct.layouts.types import Listing, Matrix, Read, Source

ENDINGS = (".mcap", ".db3", ".bag")
"""Of recordings."""


@dataclass(frozen=True, kw_only=True)
class BagOptions:
    """Which messages of a recording belong together."""

    depth_apart_s: float = 0.04
    """Between a picture and its depth: little more than a frame of 30 Hz."""
    poses: PoseOptions = PoseOptions()
    """Which poses count for a picture."""


@dataclass
class _Camera:
    """A colour topic: messages (connection, log time), the depth topic that shows the same, its camera_info."""

    topic: str
    color: list[tuple[float, bytes, str]] = field(default_factory=list)
    depth: list[tuple[float, bytes, str]] = field(default_factory=list)
    depth_topic: str = ""
    info: Any = None
    depth_info: Any = None


def is_bag(path: Path) -> bool:
    """Whether it is a recording, or the folder of one."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() and any(p.suffix in ENDINGS for p in path.iterdir())
    return path.suffix.lower() in ENDINGS and path.is_file()


def read_bag(
    path: Path, *, max_frames: int, depth_scale: float = 0.0, options: BagOptions = BagOptions()
) -> Listing:
    """Evenly spaced pictures of all colour topics, `max_frames` in all, each with depth registered to it (the same K
    and size), the lens, and its pose in the root of TF where something between root and camera moves.

    Raises:
        MediaError: no recording that can be read, or no picture in it.
        CameraFileError: a camera_info that is none.
    """
    with open_recording(path) as reader:
        topics = {c.topic: c for c in reader.connections}
        colors = color_topics(reader)
        if not colors:
            names = ", ".join(sorted(topics))[:400] or "none"
            raise MediaError(f"{path}: holds no colour pictures; its topics are {names}")
        each = max(max_frames // len(colors), 1)
        cameras = [_camera(reader, topic, colors, each) for topic in colors]
        transforms = transforms_of(reader, options=options)
        posing = [posed_by_topic(reader, transforms, c.topic, *c.color[len(c.color) // 2][1:]) for c in cameras]
        sources = []
        for number, camera in enumerate(cameras):
            for k, (_, raw, kind) in enumerate(camera.color):
                message = reader.deserialize(raw, kind)
                deep = _near_depth(reader, camera, stamp_of(message), options)
                K, lens = _lens(camera.info, f"{path}, camera_info of {camera.topic}")
                pose = transforms.viewmat(message.header.frame_id, stamp_of(message)) if K is not None else None
                load = partial(_read, message, deep, K, lens, depth_scale)
                sources.append(Source(path, f"camera{number}_{k:06d}.png", K, pose, load=load))
        first = reader.deserialize(*cameras[0].color[0][1:])
        up = imu_up(
            _messages(reader, "sensor_msgs/msg/Imu"), transforms, first.header.frame_id, stamp_of(first),
            options=options.poses,
        )  # fmt: skip
    posed = [s.viewmat is not None for s in sources]
    if any(posed) and not all(posed):  # before TF began, or after it ended
        sources = [s for s, known in zip(sources, posed) if known]
    files = [path] if path.is_file() else [p for p in path.iterdir() if p.suffix in ENDINGS]
    used = {p: f"recording: {', '.join(colors)}" for p in files}
    if path.is_dir():
        used[path / "metadata.yaml"] = "what the recording holds"
    notes = (*_told(cameras, topics, len(posed) - len(sources)), *(p for p in posing if p))
    return Listing("a ROS recording", tuple(sources), ordered=len(cameras) == 1, beside=used, notes=notes, up=up)


def transforms_of(reader: Any, *, options: BagOptions = BagOptions()) -> Transforms:
    """TF and odometry of an open recording."""
    tf, odometry = (_messages(reader, kind) for kind in ("tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry"))
    return Transforms(tf, odometry, options=options.poses)


def posed_by_topic(reader: Any, transforms: Transforms, image: str, raw: bytes, kind: str) -> str:
    """Where neither TF nor odometry says where the camera of a topic is, of which a message is given, its PoseStamped
    topic does, if it has one; what to say of that."""
    message = reader.deserialize(raw, kind)
    frame = message.header.frame_id
    if transforms.viewmat(frame, stamp_of(message)) is not None:
        return ""
    kind = "geometry_msgs/msg/PoseStamped"
    topic = pose_topic([c.topic for c in reader.connections if c.msgtype == kind and c.msgcount], image)
    if not topic:
        return ""
    transforms.replace(frame, [pose for of, pose in _messages(reader, kind) if of == topic])
    return f"poses of {topic} are taken for those of {image}, in its optical frame"


@contextmanager
def open_recording(path: Path) -> Iterator[Any]:
    """A reader of the recording.

    Raises:
        MediaError: none that can be read, or what reads it is not installed.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        text = "recordings of ROS are read with rosbags: pip install 'perpetual-wonder[inputs]'"
        raise MediaError(f"{path}: {text}") from None
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            yield reader
    except (MediaError, PWError):
        raise
    except Exception as error:  # SQLite's, MCAP's, the library's own
        raise MediaError(f"{path}: not a recording that can be read: {type(error).__name__}: {error}") from None


def base_topic(topic: str) -> str:
    """Of image_transport: the topic without what says how it is packed."""
    for end in ("/compressedDepth", "/compressed"):
        topic = topic.removesuffix(end)
    return topic


def _is_depth(topic: str) -> bool:
    return "depth" in topic.lower()


def color_topics(reader: Any) -> list[str]:
    """Topics of colour pictures, raw ones before compressed ones of the same."""
    kinds = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
    found = [c.topic for kind in kinds for c in reader.connections if c.msgtype == kind and c.msgcount]
    out: dict[str, str] = {}
    for topic in found:
        if not _is_depth(topic):
            out.setdefault(base_topic(topic), topic)
    return sorted(out.values())


def _info_of(reader: Any, image: str) -> Any:
    """The first camera_info beside a topic of pictures."""
    wanted = f"{base_topic(image).rsplit('/', 1)[0]}/camera_info"
    own = [c for c in reader.connections if c.msgtype == "sensor_msgs/msg/CameraInfo" and c.topic == wanted]
    first = next(iter(reader.messages(connections=own)), None) if own else None
    return None if first is None else reader.deserialize(first[2], first[0].msgtype)


def lens_of(reader: Any, topic: str, what: str) -> tuple[Matrix | None, Distortion | None]:
    """K (3, 3) of a topic's pictures, pixel centres at +0.5, and the lens, as the camera_info beside it says."""
    return _lens(_info_of(reader, topic), what)


def read_message(message: Any, K: Matrix | None, lens: Distortion | None) -> Read:
    """The picture of a message, straight."""
    return _read(message, None, K, lens, 0.0)


def _camera(reader: Any, topic: str, colors: Sequence[str], count: int) -> _Camera:
    """Evenly spaced messages of a colour topic, and all of the depth topic with the same camera."""
    out = _Camera(topic)
    out.info = _info_of(reader, topic)
    total = sum(c.msgcount for c in reader.connections if c.topic == topic)
    wanted = set(np.round(np.linspace(0, total - 1, min(count, total))).astype(int).tolist())
    own = [c for c in reader.connections if c.topic == topic]
    for k, (c, t, raw) in enumerate(reader.messages(connections=own)):
        if k in wanted:
            out.color.append((t * 1e-9, raw, c.msgtype))
    for connection in reader.connections:
        if connection.topic in colors or not _is_depth(connection.topic) or "mage" not in connection.msgtype:
            continue
        theirs = _info_of(reader, connection.topic)
        if theirs is not None and out.info is not None and _same(theirs, out.info):
            times = np.array([t for t, _, _ in out.color])
            out.depth_topic, out.depth_info = connection.topic, theirs
            out.depth = [
                (t * 1e-9, raw, connection.msgtype) for _, t, raw in reader.messages(connections=[connection])
                if np.abs(times - t * 1e-9).min() < 0.5
            ]  # fmt: skip
            break
    return out


def _same(a: Any, b: Any) -> bool:
    return (a.width, a.height) == (b.width, b.height) and np.allclose(_numbers(a, "k"), _numbers(b, "k"), atol=0.5)


def _numbers(info: Any, name: str) -> NDArray[np.float64]:
    """ROS 2 has small letters, ROS 1 capitals."""
    found = getattr(info, name, None)
    return np.asarray(getattr(info, name.upper(), ()) if found is None else found, np.float64)


def _lens(info: Any, what: str) -> tuple[Matrix | None, Distortion | None]:
    """K (3, 3) of the picture as sent, pixel centres at +0.5, and the lens."""
    if info is None:
        return None, None
    k, p = _numbers(info, "k"), _numbers(info, "p")
    rectified = not k.any() and p.any()
    K = intrinsics_of(p.reshape(3, 4)[:, :3] if rectified else k, what=what)
    roi = info.roi
    K[:2, 2] += 0.5
    if roi.width and roi.height:
        K[0, 2] -= roi.x_offset
        K[1, 2] -= roi.y_offset
    K[0] /= max(info.binning_x, 1)
    K[1] /= max(info.binning_y, 1)
    try:
        lens = None if rectified else named_distortion(info.distortion_model, _numbers(info, "d").tolist())
    except MediaError as error:
        raise CameraFileError(f"{what}: {error}") from None
    return K, lens


def _near_depth(reader: Any, camera: _Camera, stamp: float, options: BagOptions) -> Any:
    """The depth message nearest to a stamp [s]; None: none is near, or the camera has none."""
    found = [reader.deserialize(raw, kind) for _, raw, kind in camera.depth]
    best = min(found, key=lambda m: abs(stamp_of(m) - stamp), default=None)
    return best if best is not None and abs(stamp_of(best) - stamp) <= options.depth_apart_s else None


def _pixels(message: Any, what: str) -> Any:
    if hasattr(message, "format"):
        return None
    check_pixels(int(message.width), int(message.height), what=what)
    return raw_pixels(
        encoding=message.encoding, width=int(message.width), height=int(message.height), step=int(message.step),
        big_endian=bool(message.is_bigendian), data=message.data.tobytes(),
    )  # fmt: skip


def _read(message: Any, deep: Any, K: Matrix | None, lens: Distortion | None, depth_scale: float) -> Read:
    """A picture of the recording with its depth, straight."""
    pixels = _pixels(message, "a recorded picture")
    picture = decode_picture(message.data.tobytes(), what="a recorded picture") if pixels is None else _colors(pixels)
    depth = None
    if deep is not None:
        values = _pixels(deep, "recorded depth")
        if values is None:
            import cv2

            packed = deep.data.tobytes()[12:]
            check_whole(packed, what="recorded depth")
            values = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED)
            if values is None:
                raise MediaError(f"recorded depth of {len(packed)} bytes is damaged")
        depth = metres(values, what="recorded depth", scale=depth_scale)
    rgb, valid = picture.rgb, picture.valid
    if lens is not None and K is not None:
        straight = Straight(K, lens, (rgb.shape[1], rgb.shape[0]))
        rgb, depth = straight.picture(rgb), None if depth is None else straight.nearest(depth)
        valid = None if straight.valid.all() else straight.valid
    return Read(rgb, depth, K, valid, picture.focal_px, picture.notes)


def _colors(pixels: NDArray[Any]) -> Picture:
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257.0).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise MediaError(f"a recorded picture has 8 or 16 bits a channel, not {pixels.dtype}")
    return Picture(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.array(pixels[..., :3]))


def _messages(reader: Any, kind: str) -> Iterator[tuple[str, Any]]:
    own = [c for c in reader.connections if c.msgtype == kind]
    for connection, _, raw in reader.messages(connections=own) if own else ():  # none would be all
        yield connection.topic, reader.deserialize(raw, kind)


def _told(cameras: Sequence[_Camera], topics: dict[str, Any], unposed: int) -> tuple[str, ...]:
    """What of the recording was not used, and why."""
    out = []
    used = {c.topic for c in cameras} | {c.depth_topic for c in cameras}
    for topic, connection in topics.items():
        if connection.msgtype in ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage") and topic not in used:
            same = any(base_topic(topic) == base_topic(u) for u in used if u)
            why = "the same pictures as another topic" if same else "its camera_info is not that of a colour topic"
            out.append(f"topic {topic} is left out: {why}" + ("" if same else ": record depth registered to colour"))
    out += [f"{c.topic} has no camera_info beside it" for c in cameras if c.info is None]
    return (*out, f"{unposed} pictures outside the time of TF are left out") if unposed else tuple(out)
