"""Particles to and from point clouds: layout, other drivers' layouts, bad input, speed."""

import math
import time

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointCloud2, PointField

from pw_ros.convert import clouds
from pw_ros.convert import geometry as conversions

RNG = np.random.default_rng(3)


def test_cloud_there_and_back() -> None:
    positions, velocities = RNG.normal(size=(2, 100, 3)).astype(np.float32)
    colors = RNG.integers(0, 256, (100, 3), dtype=np.uint8)
    entities = RNG.integers(0, 4, 100)
    message = clouds.particles_to_cloud(
        positions, velocities=velocities, colors=colors, entities=entities, frame_id="world", stamp=Time(sec=3)
    )
    assert (message.width, message.point_step, message.row_step) == (100, 32, 3200)
    assert [f.name for f in message.fields] == ["x", "y", "z", "rgb", "vx", "vy", "vz", "entity"]
    assert (message.header.frame_id, message.header.stamp.sec, message.is_dense) == ("world", 3, True)
    back = clouds.cloud_to_arrays(message)
    np.testing.assert_array_equal(back["positions"], positions)
    np.testing.assert_array_equal(back["velocities"], velocities)
    np.testing.assert_array_equal(back["colors"], colors)
    np.testing.assert_array_equal(back["entity"], entities)


def test_cloud_bytes_are_what_rviz_reads() -> None:
    message = clouds.particles_to_cloud([[1.0, 2.0, 3.0]], colors=np.array([[1.0, 0.5, 0.0]]), entities=[7])
    data = bytes(message.data)
    np.testing.assert_array_equal(np.frombuffer(data[:12], "<f4"), [1, 2, 3])
    assert data[12:16] == bytes([0, 128, 255, 0])  # blue, green, red, nothing
    assert int.from_bytes(data[28:32], "little") == 7


def test_empty_and_non_finite_clouds() -> None:
    assert clouds.cloud_to_arrays(clouds.particles_to_cloud(np.zeros((0, 3))))["positions"].shape == (0, 3)
    assert not clouds.particles_to_cloud([[math.nan, 0, 0]]).is_dense


def test_organised_big_endian_cloud_with_padded_rows() -> None:
    xyz = RNG.normal(size=(2, 3, 3)).astype(">f8")
    rows = [row.tobytes() + b"pad!" for row in xyz]
    message = PointCloud2(height=2, width=3, is_bigendian=True, point_step=24, row_step=76, data=list(b"".join(rows)))
    message.fields = [
        PointField(name=n, offset=8 * i, datatype=PointField.FLOAT64, count=1) for i, n in enumerate("xyz")
    ]
    np.testing.assert_array_equal(clouds.cloud_to_arrays(message)["positions"], xyz.reshape(-1, 3))


def test_bad_clouds_are_refused() -> None:
    message = clouds.particles_to_cloud(np.zeros((4, 3)))
    message.width = 5
    message.row_step = 160
    with pytest.raises(conversions.ConversionError, match="too short"):
        clouds.cloud_to_arrays(message)
    message = clouds.particles_to_cloud(np.zeros((4, 3)))
    message.fields[0].offset = 30
    with pytest.raises(conversions.ConversionError, match="'x'"):
        clouds.cloud_to_arrays(message)
    with pytest.raises(conversions.ConversionError, match=r"\(4, 3\)"):
        clouds.particles_to_cloud(np.zeros((4, 3)), velocities=np.zeros((3, 3)))


def test_a_large_cloud_is_fast() -> None:
    positions = RNG.normal(size=(200_000, 3)).astype(np.float32)
    began = time.perf_counter()
    clouds.particles_to_cloud(positions, velocities=positions, entities=np.zeros(len(positions), int))
    # 15 ms here; assigning bytes through the slow setter takes seconds.
    assert time.perf_counter() - began < 0.5
