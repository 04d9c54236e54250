"""Times and poses to and from messages, without a node."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion
from hypothesis import given
from hypothesis import strategies as st

from pw_core.errors import ErrorCode
from pw_msgs.msg import ErrorCodes
from pw_ros.convert import geometry as conversions

HALF = math.sqrt(0.5)


def test_error_codes_are_the_same_on_both_sides() -> None:
    text = (Path(__file__).parents[3] / "pw_msgs/msg/ErrorCodes.msg").read_text()
    declared = {name: int(value) for name, value in re.findall(r"^uint16 (\w+) = (\d+)", text, re.MULTILINE)}
    assert declared == {code.name: code.value for code in ErrorCode}
    assert ErrorCodes.WORKER_DIED == ErrorCode.WORKER_DIED


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "sec", "nanosec"),
    [(0, 0, 0), (1.25, 1, 250_000_000), (1.9999999999, 2, 0), (1e9 + 0.5, 10**9, 5 * 10**8)],
)
def test_seconds_to_time(seconds: float, sec: int, nanosec: int) -> None:
    stamp = conversions.seconds_to_time(seconds)
    assert (stamp.sec, stamp.nanosec) == (sec, nanosec)
    assert conversions.time_to_seconds(stamp) == pytest.approx(seconds, abs=1e-9)


def test_time_after_is_exact_where_doubles_are_not() -> None:
    later = conversions.time_after(Time(sec=1_900_000_000, nanosec=999_999_999), 0.000000001)
    assert (later.sec, later.nanosec) == (1_900_000_001, 0)


# --- poses ------------------------------------------------------------------------------------------------------------

unit = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1).map(lambda q: q / np.linalg.norm(q))


def test_quaternion_order() -> None:
    message = conversions.wxyz_to_quaternion([0.1, 0.2, 0.3, 0.4])
    assert (message.x, message.y, message.z, message.w) == (0.2, 0.3, 0.4, 0.1)
    np.testing.assert_allclose(
        conversions.quaternion_to_wxyz(Quaternion(x=0.0, y=HALF, z=0.0, w=HALF)), [HALF, 0, HALF, 0]
    )


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    np.testing.assert_allclose(conversions.wxyz_to_matrix([HALF, 0, 0, HALF]) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@given(unit)
def test_matrix_and_quaternion_agree(wxyz: np.ndarray) -> None:
    matrix = conversions.wxyz_to_matrix(wxyz)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)
    back = conversions.matrix_to_wxyz(matrix)
    assert abs(back @ wxyz) == pytest.approx(1, abs=1e-9)
    assert back[0] >= 0


@given(unit, st.tuples(*[st.floats(-10, 10)] * 3))
def test_pose_there_and_back(wxyz: np.ndarray, position: tuple[float, ...]) -> None:
    matrix = conversions.pose_to_matrix(conversions.arrays_to_pose(position, wxyz))
    np.testing.assert_allclose(matrix[:3, 3], position)
    np.testing.assert_allclose(conversions.pose_to_matrix(conversions.matrix_to_pose(matrix)), matrix, atol=1e-9)


@pytest.mark.parametrize("wxyz", [(0, 0, 0, 0), (math.nan, 0, 0, 1), (2, 0, 0, 0)])
def test_bad_quaternions_are_refused(wxyz: tuple[float, ...]) -> None:
    with pytest.raises(conversions.ConversionError, match="grip"):
        conversions.pose_to_arrays(conversions.arrays_to_pose([0, 0, 0], wxyz), what="grip")
