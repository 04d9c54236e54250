"""Films as a ROS recording, as a robot's cameras that stay leave one behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Camera
from pw_core.refine.targets.observed import CameraFilm


def film_recording(path: Path, films: Sequence[CameraFilm], *, mcap: bool = True, late_s: float = 0.0) -> Path:
    """A rosbag2 folder: of each film its pictures (PNG) under `/<name>/image_raw/compressed`; of a film that has its
    camera, too, camera_info and where it stands, on /tf_static below `world`. late_s: how much later than their stamps
    messages were received [s]."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types

    def header(t: float, frame: str) -> Any:
        stamp = types["builtin_interfaces/msg/Time"](int(t), round((t - int(t)) * 1e9))
        return types["std_msgs/msg/Header"](stamp, frame)

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3) as writer:
        known: dict[str, Any] = {}

        def send(topic: str, kind: str, t: float, message: Any) -> None:
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(known[topic], round((t + late_s) * 1e9), store.serialize_cdr(message, kind))

        for film in films:
            frame = f"{film.name}_optical_frame"
            if isinstance(film.camera, Camera):
                _place(send, types, header, film, film.camera, frame)
            for t, picture in zip(film.stamps, film.frames, strict=True):
                png = cv2.imencode(".png", picture[..., ::-1])[1].ravel()
                send(f"/{film.name}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", t,
                     types["sensor_msgs/msg/CompressedImage"](header(t, frame), "png", png))  # fmt: skip
    return path


def _place(send: Any, types: Any, header: Any, film: CameraFilm, camera: Camera, frame: str) -> None:
    pose = np.linalg.inv(camera.viewmat)
    q = types["geometry_msgs/msg/Quaternion"](*map(float, Rotation.from_matrix(pose[:3, :3]).as_quat()))
    at = types["geometry_msgs/msg/Transform"](types["geometry_msgs/msg/Vector3"](*map(float, pose[:3, 3])), q)
    first = float(film.stamps[0])
    placed = types["geometry_msgs/msg/TransformStamped"](header(first, "world"), frame, at)
    send("/tf_static", "tf2_msgs/msg/TFMessage", first, types["tf2_msgs/msg/TFMessage"]([placed]))
    K = camera.K.copy()
    K[:2, 2] -= 0.5  # there, pixel centres are whole numbers
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    for t in film.stamps:
        send(f"/{film.name}/camera_info", "sensor_msgs/msg/CameraInfo", t, types["sensor_msgs/msg/CameraInfo"](
            header(t, frame), camera.height, camera.width, "plumb_bob", np.zeros(5), K.ravel(), np.eye(3).ravel(),
            np.column_stack([K, np.zeros(3)]).ravel(), 0, 0, roi))  # fmt: skip
