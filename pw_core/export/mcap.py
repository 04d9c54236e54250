"""A ROS 2 recording (MCAP): what the node publishes of a prediction, and the Gaussians as points.

Foxglove and Rerun open it, `ros2 bag play` plays it. No ROS is needed to write it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.export.content import Content, Frame, opacities_of
from pw_core.gaussians import Camera, Gaussians

NODE = "/perpetual_wonder"
FRAME = "world"
"""Of the messages, as the node's parameter `frame_id` is by default."""
_PARTICLE = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4"), ("vx", "f4"), ("vy", "f4"), ("vz", "f4"),
             ("entity", "u4")]  # fmt: skip
_SPLAT = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4"), ("size", "f4"), ("opacity", "f4")]
_FLOAT32, _UINT32 = 7, 6


def write_mcap(content: Content, path: Path) -> None:
    """`prediction/particles` and `prediction/splats` (PointCloud2: the latter with size [m] and opacity),
    `background/splats` once, under the shadows of the start, `prediction/entities/<name>/pose` (PoseStamped) and `path`
    (its centroid's), `/tf` of entities, `/tf_static` and camera_info of cameras."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    bag = path.with_name(path.name + ".bag")
    with Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
        messages = _Messages(writer)
        start = _nanoseconds(content.origin_s)
        messages.cameras(content.scene.cameras, start)
        for k, frame in enumerate(content.frames()):
            if k == 0:
                messages.splats("background/splats", frame.background, start, latched=True)
            messages.frame(content, frame, start + _nanoseconds(frame.time_s))
        messages.paths(start)
    (file,) = bag.glob("*.mcap")
    file.replace(path)  # the rest of the folder is an index that readers make anew


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


class _Messages:
    """Messages of ROS 2's own types, written as they are made."""

    def __init__(self, writer: Any) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._writer = writer
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._topics: dict[str, Any] = {}
        self._paths: dict[str, list[Any]] = {}

    def make(self, kind: str, **fields: Any) -> Any:
        """A message, e.g. of "std_msgs/msg/Header"."""
        return self._store.types[kind](**fields)

    def write(self, topic: str, kind: str, stamp: int, message: Any, *, latched: bool = False) -> None:
        """At `stamp` [ns]."""
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_qos(latched)]
            )
        self._writer.write(self._topics[topic], stamp, self._store.serialize_cdr(message, kind))

    def header(self, stamp: int, frame: str = FRAME) -> Any:
        """Of a message."""
        seconds, rest = divmod(stamp, 10**9)
        time = self.make("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)
        return self.make("std_msgs/msg/Header", stamp=time, frame_id=frame)

    def frame(self, content: Content, frame: Frame, stamp: int) -> None:
        """All of an instant."""
        points = np.zeros(len(frame.positions), _PARTICLE)
        _put(points, "xyz", frame.positions)
        _put(points, ("vx", "vy", "vz"), frame.physics.particles.velocities)
        points["rgb"] = _packed(content.particle_colors)
        points["entity"] = content.scene.entity_ids
        self._cloud("prediction/particles", points, stamp)
        self.splats("prediction/splats", frame.things, stamp)
        moved = []
        for pose in frame.poses:
            made = self._pose(pose.position, pose.orientation)
            stamped = self.make("geometry_msgs/msg/PoseStamped", header=self.header(stamp), pose=made)
            self.write(f"{NODE}/prediction/entities/{pose.name}/pose", "geometry_msgs/msg/PoseStamped", stamp, stamped)
            self._paths.setdefault(pose.name, []).append(stamped)
            moved.append(self._transform(stamp, pose.name, pose.position, pose.orientation))
        self.write("/tf", "tf2_msgs/msg/TFMessage", stamp, self.make("tf2_msgs/msg/TFMessage", transforms=moved))

    def splats(self, topic: str, g: Gaussians, stamp: int, *, latched: bool = False) -> None:
        """Gaussians as points."""
        points = np.zeros(len(g), _SPLAT)
        _put(points, "xyz", g.means)
        points["rgb"] = _packed((g.colors() * 255).round().astype(np.uint8))
        points["size"] = np.exp(g.log_scales.max(1))
        points["opacity"] = opacities_of(g)
        self._cloud(topic, points, stamp, latched=latched)

    def paths(self, stamp: int) -> None:
        """Where the entities went, known when all is."""
        for name, poses in self._paths.items():
            path = self.make("nav_msgs/msg/Path", header=self.header(stamp), poses=poses)
            self.write(f"{NODE}/prediction/entities/{name}/path", "nav_msgs/msg/Path", stamp, path, latched=True)

    def cameras(self, cameras: tuple[Camera, ...], stamp: int) -> None:
        """Where they stand, and their lenses."""
        from scipy.spatial.transform import Rotation

        standing = []
        for camera in cameras:
            xyzw = Rotation.from_matrix(camera.viewmat[:3, :3].T).as_quat()
            optical = f"{camera.name}_optical"
            standing.append(self._transform(stamp, optical, camera.centre, xyzw[[3, 0, 1, 2]]))
            info = self._camera_info(camera, self.header(stamp, optical))
            topic = f"{NODE}/view/{camera.name}/camera_info"
            self.write(topic, "sensor_msgs/msg/CameraInfo", stamp, info, latched=True)
        message = self.make("tf2_msgs/msg/TFMessage", transforms=standing)
        self.write("/tf_static", "tf2_msgs/msg/TFMessage", stamp, message, latched=True)

    def _cloud(self, topic: str, points: NDArray[Any], stamp: int, *, latched: bool = False) -> None:
        fields = [
            self.make("sensor_msgs/msg/PointField", name=name, offset=int(place[1]), count=1,
                      datatype=_UINT32 if name == "entity" else _FLOAT32)
            for name, place in (points.dtype.fields or {}).items()
        ]  # fmt: skip
        size = points.dtype.itemsize
        cloud = self.make(
            "sensor_msgs/msg/PointCloud2", header=self.header(stamp), height=1, width=len(points), fields=fields,
            is_bigendian=False, point_step=size, row_step=size * len(points), data=points.view(np.uint8).ravel(),
            is_dense=True,
        )  # fmt: skip
        self.write(f"{NODE}/{topic}", "sensor_msgs/msg/PointCloud2", stamp, cloud, latched=latched)

    def _pose(self, position: NDArray[Any], wxyz: NDArray[Any]) -> Any:
        x, y, z = (float(v) for v in position)
        point = self.make("geometry_msgs/msg/Point", x=x, y=y, z=z)
        return self.make("geometry_msgs/msg/Pose", position=point, orientation=self._quaternion(wxyz))

    def _quaternion(self, wxyz: NDArray[Any]) -> Any:
        w, x, y, z = (float(v) for v in wxyz)
        return self.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _transform(self, stamp: int, child: str, position: NDArray[Any], wxyz: NDArray[Any]) -> Any:
        x, y, z = (float(v) for v in position)
        moved = self.make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)
        made = self.make("geometry_msgs/msg/Transform", translation=moved, rotation=self._quaternion(wxyz))
        return self.make(
            "geometry_msgs/msg/TransformStamped", header=self.header(stamp), child_frame_id=child, transform=made
        )

    def _camera_info(self, camera: Camera, header: Any) -> Any:
        roi = self.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        lens = np.concatenate([camera.K, np.zeros((3, 1))], axis=1)
        return self.make(
            "sensor_msgs/msg/CameraInfo", header=header, height=camera.height, width=camera.width,
            distortion_model="plumb_bob", d=np.zeros(5), k=camera.K.ravel().astype(np.float64), r=np.eye(3).ravel(),
            p=lens.ravel(), binning_x=0, binning_y=0, roi=roi,
        )  # fmt: skip


def _put(points: NDArray[Any], names: Any, values: NDArray[Any]) -> None:
    for axis, name in enumerate(names):
        points[name] = values[:, axis]


def _packed(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """0x00RRGGBB, as RViz reads it from a field of four bytes."""
    wide = rgb.astype(np.uint32)
    return np.asarray(wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2], np.uint32)


def _qos(latched: bool) -> Any:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    never = QosTime(sec=2147483647, nsec=4294967295)
    kept = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(QosHistory.KEEP_LAST, 1 if latched else 10, QosReliability.RELIABLE, kept, never, never,
               QosLiveliness.AUTOMATIC, never, False)  # fmt: skip
