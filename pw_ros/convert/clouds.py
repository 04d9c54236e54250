"""Particles to and from `sensor_msgs/PointCloud2`: pure functions that need no node."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import PointCloud2, PointField

from pw_ros.convert.geometry import ConversionError
from pw_ros.convert.images import bytes_to_array

_CLOUD = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "vx", "vy", "vz", "entity"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<f4", "<f4", "<f4", "<u4"],
    }
)
_SPLATS = np.dtype(
    {"names": ["x", "y", "z", "rgb", "size", "opacity"], "formats": ["<f4", "<f4", "<f4", "<u4", "<f4", "<f4"]}
)
_FIELD_DTYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}


def particles_to_cloud(
    positions: ArrayLike,
    *,
    velocities: ArrayLike | None = None,
    colors: ArrayLike | None = None,
    entities: ArrayLike | None = None,
    frame_id: str = "",
    stamp: Time | None = None,
) -> PointCloud2:
    """Particles as a cloud with x y z [m], rgb, vx vy vz [m/s] and entity: 32 bytes a particle, one copy.

    Args:
        positions: (J, 3) [m].
        velocities: (J, 3) [m/s]; none: zero.
        colors: uint8 (J, 3) RGB, or float in 0 to 1; none: white. Packed as 0x00RRGGBB in a float field, as RViz wants.
        entities: (J,) entity ids; none: zero.
        frame_id: the scene's world frame.
        stamp: the instant.
    """
    positions = np.asarray(positions)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ConversionError(f"positions have shape (J, 3), not {positions.shape}")
    points = np.zeros(len(positions), _CLOUD)
    for values, names in ((positions, "x y z"), (velocities, "vx vy vz")):
        if values is not None:
            columns = np.asarray(values)
            if columns.shape != positions.shape:
                raise ConversionError(f"{names} have shape {positions.shape}, not {columns.shape}")
            for axis, name in enumerate(names.split()):
                points[name] = columns[:, axis]
    points["rgb"] = 0xFFFFFF
    if colors is not None:
        rgb = np.asarray(colors)
        if rgb.shape != positions.shape:
            raise ConversionError(f"colors have shape {positions.shape}, not {rgb.shape}")
        if rgb.dtype.kind == "f":
            rgb = np.round(np.clip(rgb, 0, 1) * 255)
        rgb = rgb.astype(np.uint32)
        points["rgb"] = rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]
    if entities is not None:
        points["entity"] = np.asarray(entities)
    return _message(points, frame_id, stamp)


def splats_to_cloud(
    means: ArrayLike, *, colors: ArrayLike, sizes: ArrayLike, opacities: ArrayLike, frame_id: str = "",
    stamp: Time | None = None,
) -> PointCloud2:  # fmt: skip
    """Gaussians as points, for viewers that have nothing better: x y z [m], rgb as in `particles_to_cloud`, size [m],
    opacity: 24 bytes each.

    Args:
        means: (N, 3) [m].
        colors: uint8 (N, 3) RGB.
        sizes: (N,) [m], the longest standard deviation.
        opacities: (N,), 0 to 1.
        frame_id: the scene's world frame.
        stamp: the instant.
    """
    xyz, rgb = np.asarray(means), np.asarray(colors).astype(np.uint32)
    points = np.zeros(len(xyz), _SPLATS)
    for axis, name in enumerate("xyz"):
        points[name] = xyz[:, axis]
    points["rgb"] = rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]
    points["size"], points["opacity"] = np.asarray(sizes), np.asarray(opacities)
    return _message(points, frame_id, stamp)


def _message(points: NDArray[np.void], frame_id: str, stamp: Time | None) -> PointCloud2:
    dense = all(bool(np.isfinite(points[axis]).all()) for axis in "xyz")
    message = PointCloud2(height=1, width=len(points), is_bigendian=False, is_dense=dense)
    message.header.frame_id = frame_id
    if stamp is not None:
        message.header.stamp = stamp
    message.fields = [
        PointField(
            name=name,
            offset=column[1],
            datatype=PointField.UINT32 if name == "entity" else PointField.FLOAT32,
            count=1,
        )
        for name, column in (points.dtype.fields or {}).items()
    ]
    message.point_step = points.dtype.itemsize
    message.row_step = message.point_step * message.width
    message.data = bytes_to_array(points.view(np.uint8))
    return message


def cloud_to_arrays(message: PointCloud2) -> dict[str, NDArray[np.generic]]:
    """The columns of a cloud by field name, each (width * height,), plus `positions` (J, 3) and, where the fields are
    there, `velocities` (J, 3) and `colors` uint8 (J, 3).

    Raises:
        ConversionError: no x y z, data shorter than announced, or a field outside its point.
    """
    formats, order = {}, ">" if message.is_bigendian else "<"
    for field in message.fields:
        dtype = _FIELD_DTYPES.get(field.datatype)
        if dtype is None or field.offset + np.dtype(dtype).itemsize * max(field.count, 1) > message.point_step:
            raise ConversionError(
                f"field '{field.name}' (datatype {field.datatype}, offset {field.offset}) does not fit a point of "
                f"{message.point_step} bytes"
            )
        if field.count <= 1:
            formats[field.name] = (order + dtype, field.offset)
    if not {"x", "y", "z"} <= formats.keys():
        raise ConversionError(f"a cloud needs the fields x, y and z; it has {', '.join(formats) or 'none'}")
    height, width = int(message.height), int(message.width)
    row_step = int(message.row_step) or width * int(message.point_step)
    data = np.frombuffer(message.data, np.uint8)
    if row_step < width * message.point_step or data.size < row_step * height:
        raise ConversionError(
            f"the cloud's data are too short: {data.size} bytes in rows of {row_step}, but {height} x {width} points "
            f"of {message.point_step} bytes are announced"
        )
    layout = np.dtype(
        {
            "names": list(formats),
            "formats": [f for f, _ in formats.values()],
            "offsets": [o for _, o in formats.values()],
            "itemsize": int(message.point_step),
        }
    )
    rows = data[: row_step * height].reshape(height, row_step)[:, : width * message.point_step]
    points = np.ascontiguousarray(rows).reshape(-1).view(layout)
    columns = {name: np.array(points[name], dtype=points[name].dtype.newbyteorder("=")) for name in formats}
    columns["positions"] = np.stack([columns[n] for n in "xyz"], axis=1)
    if {"vx", "vy", "vz"} <= formats.keys():
        columns["velocities"] = np.stack([columns[n] for n in ("vx", "vy", "vz")], axis=1)
    if "rgb" in formats and columns["rgb"].dtype.itemsize == 4:
        packed = np.ascontiguousarray(columns["rgb"]).view(np.uint32)
        columns["colors"] = np.stack([packed >> s & 255 for s in (16, 8, 0)], axis=1).astype(np.uint8)
    return columns
