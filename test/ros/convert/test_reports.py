"""Entities, tracks, states and status as messages."""

import math

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time

from pw_core.appearance import EntityPose
from pw_core.config import Material
from pw_core.errors import ErrorCode
from pw_core.scene import Entity, Mesh, Particles, PhysicsState, State
from pw_msgs.msg import WorldStatus
from pw_ros.convert import geometry as conversions
from pw_ros.convert import reports

HALF = math.sqrt(0.5)


def pose(name: str = "dough", at: float = 0.0) -> EntityPose:
    return EntityPose(
        name=name,
        kind="deformable",
        position=np.array([0.4 + at, 0, 0.02]),
        orientation=np.array([HALF, 0, 0, HALF]),
        linear=np.array([0, 1.0, 0]),
        angular=np.array([0, 0, 2.0]),
        bounds=np.array([[0.3, -0.1, 0], [0.5, 0.1, 0.04]]),
    )


def test_entity_state() -> None:
    message = reports.pose_to_state(pose(), frame_id="world", stamp=Time(sec=9))
    assert (message.name, message.kind) == ("dough", "deformable")
    assert (message.header.frame_id, message.header.stamp.sec) == ("world", 9)
    assert (message.pose.position.x, message.pose.orientation.z) == (0.4, pytest.approx(HALF))
    assert (message.twist.linear.y, message.twist.angular.z) == (1.0, 2.0)
    assert (message.bounds_min.x, message.bounds_max.z) == (0.3, 0.04)


def test_track_there_and_back() -> None:
    poses = [pose(at=0.1 * i) for i in range(4)]
    message = reports.poses_to_track(np.arange(4) / 50, poses, frame_id="world")
    assert (message.name, message.kind, message.header.frame_id) == ("dough", "deformable", "world")
    back = reports.track_to_arrays(message)
    np.testing.assert_allclose(back["times"], [0, 0.02, 0.04, 0.06])
    for key, field in {"positions": "position", "orientations": "orientation", "linear": "linear"}.items():
        np.testing.assert_array_equal(back[key], [getattr(p, field) for p in poses])
    np.testing.assert_array_equal(back["angular"], [[0, 0, 2]] * 4)
    np.testing.assert_array_equal(back["bounds"], [poses[0].bounds] * 4)


@pytest.mark.parametrize(("times", "poses"), [([0.0], [pose(), pose()]), ([0, 1], [pose("a"), pose("b")]), ([], [])])
def test_bad_tracks_are_refused(times: list[float], poses: list[EntityPose]) -> None:
    with pytest.raises(conversions.ConversionError, match="one pose of one entity"):
        reports.poses_to_track(times, poses)


def test_entity_info() -> None:
    mesh = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    material = Material(model="liquid", density_kg_m3=1200)
    entity = Entity("jam", 2, "deformable", material, mesh, np.zeros(3), 1e-4, 0.004, slice(5, 12), slice(50, 80))
    message = reports.entity_to_info(entity)
    assert (message.name, message.kind, message.material, message.entity_id) == ("jam", "deformable", "liquid", 2)
    assert (message.particles, message.gaussians, message.mass) == (7, 30, pytest.approx(0.12))


def test_status_and_state_info() -> None:
    message = reports.status_to_message(
        status="compiling", stage="kernels", eta=12, scene_id="jam", error_code=ErrorCode.BUSY
    )
    assert (message.status, message.stage, message.fraction, message.eta) == (
        WorldStatus.COMPILING,
        "kernels",
        -1.0,
        12.0,
    )
    assert (message.scene_id, message.head_state, message.error_code) == ("jam", "", 901)
    with pytest.raises(conversions.ConversionError, match="sleeping"):
        reports.status_to_message(status="sleeping")


def test_state_info() -> None:
    empty = PhysicsState(Particles.at_rest(np.zeros((1, 3), np.float32)))
    state = State("b", "a", 0.5, empty, trajectory_id="t", created=1.5, label="nice")
    info = reports.state_to_info(state, committed=True)
    assert (info.state_id, info.parent, info.trajectory_id, info.time, info.label) == ("b", "a", "t", 0.5, "nice")
    assert (info.committed, info.head, info.saved, info.created.nanosec) == (True, False, False, 500_000_000)


def test_status_names_cover_the_message() -> None:
    constants = {
        name: getattr(WorldStatus, name)
        for name in ("IDLE", "RECONSTRUCTING", "COMPILING", "ROLLING_OUT", "REFINING", "PLANNING", "STARTING", "ERROR")
    }
    assert {name.replace(" ", "_").upper(): value for name, value in reports.STATUS.items()} == constants
