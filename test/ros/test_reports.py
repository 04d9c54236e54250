"""Entities, tracks, states and status as messages."""

import math

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time

from pw_core.errors import ErrorCode
from pw_msgs.msg import EntityState, WorldStatus
from pw_ros import conversions, reports

RNG = np.random.default_rng(3)
HALF = math.sqrt(0.5)


def state(name: str = "dough", kind: str = "deformable") -> EntityState:
    return reports.entity_to_state(
        name=name, kind=kind, position=[0.4, 0, 0.02], orientation=[HALF, 0, 0, HALF], linear=[0, 1, 0],
        angular=[0, 0, 2], bounds=[[0.3, -0.1, 0], [0.5, 0.1, 0.04]], frame_id="world", stamp=Time(sec=9),
    )  # fmt: skip


def test_entity_state() -> None:
    message = state()
    assert (message.name, message.kind, message.header.frame_id, message.header.stamp.sec) == (
        "dough",
        "deformable",
        "world",
        9,
    )
    assert message.pose.orientation.z == pytest.approx(HALF)
    assert (message.twist.linear.y, message.twist.angular.z) == (1.0, 2.0)
    assert (message.bounds_min.x, message.bounds_max.z) == (0.3, 0.04)


def test_track_there_and_back() -> None:
    given = {
        "times": np.linspace(0, 1, 6),
        "positions": RNG.normal(size=(6, 3)),
        "orientations": np.tile([HALF, 0, HALF, 0], (6, 1)),
        "linear": RNG.normal(size=(6, 3)),
        "angular": RNG.normal(size=(6, 3)),
        "bounds": RNG.normal(size=(6, 2, 3)),
    }
    back = reports.track_to_arrays(reports.entity_to_track(name="pin", kind="rigid", **given))
    assert set(back) == set(given)
    for key, value in given.items():
        np.testing.assert_array_equal(back[key], value)
    with pytest.raises(conversions.ConversionError, match="linear"):
        reports.entity_to_track(name="pin", kind="rigid", **(given | {"linear": np.zeros((5, 3))}))


def test_an_empty_track_keeps_its_shapes() -> None:
    shapes = {"positions": (3,), "orientations": (4,), "linear": (3,), "angular": (3,), "bounds": (2, 3)}
    empty = {key: np.zeros((0, *shape)) for key, shape in shapes.items()}
    back = reports.track_to_arrays(reports.entity_to_track(name="a", kind="rigid", times=[], **empty))
    assert back["bounds"].shape == (0, 2, 3)


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
    info = reports.state_to_info(state_id="b", parent="a", time=0.5, committed=True, created=1.5)
    assert (info.parent, info.trajectory_id, info.created.nanosec) == ("a", "", 500_000_000)


def test_status_names_cover_the_message() -> None:
    constants = {
        name: getattr(WorldStatus, name)
        for name in ("IDLE", "RECONSTRUCTING", "COMPILING", "ROLLING_OUT", "REFINING", "STARTING", "ERROR")
    }
    assert {name.replace(" ", "_").upper(): value for name, value in reports.STATUS.items()} == constants
