"""Times, poses, cameras and actions to and from messages, without a node."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import Camera
from pw_msgs.msg import ErrorCodes, PhysicalAction
from pw_ros import conversions

RNG = np.random.default_rng(3)
HALF = math.sqrt(0.5)


def test_error_codes_are_the_same_on_both_sides() -> None:
    text = (Path(__file__).parents[2] / "pw_msgs/msg/ErrorCodes.msg").read_text()
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


def test_viewmat_of_a_camera_that_looks_along_x() -> None:
    # Optical: z forward, x right, y down.
    rotation = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
    pose = conversions.arrays_to_pose([1, 2, 3], conversions.matrix_to_wxyz(rotation))
    viewmat = conversions.pose_to_viewmat(pose)
    np.testing.assert_allclose((viewmat @ [6, 2, 3, 1])[:3], [0, 0, 5], atol=1e-12)  # 5 m ahead
    np.testing.assert_allclose((viewmat @ [1, 1, 3, 1])[:3], [1, 0, 0], atol=1e-12)  # 1 m to the right
    back = conversions.viewmat_to_pose(viewmat, frame_id="world").pose
    np.testing.assert_allclose(conversions.pose_to_matrix(back), conversions.pose_to_matrix(pose), atol=1e-12)


# --- cameras ----------------------------------------------------------------------------------------------------------

K = np.array([[600.0, 0, 320.5], [0, 610.0, 240.5], [0, 0, 1]])


def test_camera_info_there_and_back() -> None:
    message = conversions.intrinsics_to_camera_info(K, width=640, height=480, frame_id="cam_optical")
    assert message.header.frame_id == "cam_optical"
    assert message.k[2] == 320.0  # ROS counts from the centre of the first pixel, gsplat from its corner
    assert (message.p[0], message.p[5], message.p[2]) == (600.0, 610.0, 320.0)
    back = conversions.camera_info_to_intrinsics(message)
    np.testing.assert_allclose(back.K, K)
    assert (back.width, back.height) == (640, 480)


def test_roi_and_binning_move_the_principal_point_with_the_pixels() -> None:
    message = conversions.intrinsics_to_camera_info(K, width=640, height=480)
    message.roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=400)
    message.binning_x = message.binning_y = 2
    got = conversions.camera_info_to_intrinsics(message)
    assert (got.width, got.height) == (200, 200)
    ray = np.array([0.1, -0.05, 1.0])
    full, small = K @ ray, got.K @ ray
    np.testing.assert_allclose(small[:2], (full[:2] - [100, 40]) / 2)


def test_camera_of_the_core_there_and_back() -> None:
    camera = Camera.above_table(height_m=0.5, pitch_deg=30, hfov_deg=60, width=640, height=352, name="photo")
    info = conversions.camera_to_info(camera, frame_id="photo_optical")
    pose = conversions.viewmat_to_pose(camera.viewmat, frame_id="world").pose
    np.testing.assert_allclose([pose.position.x, pose.position.y, pose.position.z], [0, 0, 0.5], atol=1e-12)
    back = conversions.messages_to_camera(info, pose, name="photo")
    assert (back.name, back.width, back.height) == ("photo", 640, 352)
    np.testing.assert_allclose(back.K, camera.K)
    np.testing.assert_allclose(back.viewmat, camera.viewmat, atol=1e-12)
    to_world = np.eye(4)
    to_world[:3, 3] = [0, 0, 2]
    raised = conversions.messages_to_camera(info, pose, name="a", to_world=to_world)
    np.testing.assert_allclose(raised.centre, [0, 0, 2.5], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 0}, "no size"),
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": [math.nan, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]}, "finite"),
        ({"k": [600.0, 5.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]}, "must be"),
        ({"d": [0.1, 0.0, 0.0, 0.0, 0.0]}, "rectified"),
    ],
)
def test_bad_cameras_are_refused(change: dict[str, object], says: str) -> None:
    message = conversions.intrinsics_to_camera_info(K, width=640, height=480)
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(conversions.ConversionError, match=says) as caught:
        conversions.camera_info_to_intrinsics(message)
    assert caught.value.code == ErrorCodes.INVALID_CAMERA


def distorted(model: str, d: list[float]) -> CameraInfo:
    message = conversions.intrinsics_to_camera_info(K, width=640, height=480)
    message.distortion_model, message.d = model, d
    return message


@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", [-0.2, 0.05, 0.001, -0.001, 0.0]),
        ("rational_polynomial", [0.1, -0.05, 0.0, 0.0, 0.01, 0.2, 0.0, 0.0]),
        ("equidistant", [-0.05, 0.01, 0.0, 0.0]),
    ],
)
def test_undistort_puts_a_point_where_a_pinhole_sees_it(model: str, d: list[float]) -> None:
    import cv2

    message = distorted(model, d)
    point = np.array([[[0.35, -0.25, 1.0]]])
    k = np.array(message.k).reshape(3, 3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixel = project(point, np.zeros(3), np.zeros(3), k, np.array(d))[0].ravel()
    ideal = (k @ point[0, 0])[:2]
    assert np.linalg.norm(pixel - ideal) > 3  # the distortion is worth correcting
    y, x = np.mgrid[0:480, 0:640]
    blob = np.exp(-((x - pixel[0]) ** 2 + (y - pixel[1]) ** 2) / (2 * 4**2))
    flat, intrinsics = conversions.undistort(np.round(255 * blob).astype(np.uint8), message)
    weight = flat.astype(float)
    seen = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    np.testing.assert_allclose(seen, ideal, atol=0.3)
    np.testing.assert_allclose(intrinsics.K, K)


@pytest.mark.parametrize(("model", "d"), [("ftheta", [0.1]), ("plumb_bob", [0.1, 0.2])])
def test_unknown_distortion_is_refused(model: str, d: list[float]) -> None:
    with pytest.raises(conversions.ConversionError, match=model):
        conversions.undistort(np.zeros((480, 640), np.uint8), distorted(model, d))


def test_undistort_wants_the_picture_that_camera_info_describes() -> None:
    with pytest.raises(conversions.ConversionError, match="640 x 480"):
        conversions.undistort(np.zeros((10, 10), np.uint8), distorted("plumb_bob", [0.1] * 5))


# --- actions ----------------------------------------------------------------------------------------------------------


def push(**changes: object) -> PhysicalAction:
    fields: dict[str, object] = {
        "type": "push", "name": "nudge", "start": 0.1, "duration": 0.2, "entity": "dough",
        "center": Point(x=0.4, y=0.1, z=0.02), "direction": Vector3(x=1.0), "radius": 0.05, "magnitude": 2.0,
        "falloff": "gaussian",
    }  # fmt: skip
    return PhysicalAction(**(fields | changes))


def test_push_there_and_back() -> None:
    fields = conversions.action_to_fields(push())
    assert fields == {
        "type": "push", "name": "nudge", "start": 0.1, "duration": 0.2, "entity": "dough", "center": [0.4, 0.1, 0.02],
        "direction": [1.0, 0.0, 0.0], "radius": 0.05, "magnitude": 2.0, "falloff": "gaussian",
    }  # fmt: skip
    assert conversions.fields_to_action(fields) == push()


def test_gravity_has_neither_centre_nor_radius() -> None:
    fields = conversions.action_to_fields(push(type="gravity", entity="", falloff=""))
    assert set(fields) == {"type", "name", "start", "duration", "magnitude", "direction"}


def test_action_in_another_frame() -> None:
    to_world = np.eye(4)
    to_world[:3, :3] = conversions.wxyz_to_matrix([HALF, 0, 0, HALF])  # a quarter turn about z
    to_world[:3, 3] = [1, 0, 0]
    fields = conversions.action_to_fields(push(), to_world=to_world)
    np.testing.assert_allclose(fields["center"], [0.9, 0.4, 0.02], atol=1e-12)
    np.testing.assert_allclose(fields["direction"], [0, 1, 0], atol=1e-12)


def test_actions_of_the_core_survive_the_message() -> None:
    for fields in (
        conversions.action_to_fields(push()),
        {"type": "gravity", "duration": 1, "direction": [0, 0, -1], "magnitude": 3.7},
        {"type": "wind", "duration": 1, "direction": [0, 1, 0], "magnitude": 4, "center": [1, 2, 3], "radius": 0.2},
        {"type": "poke", "duration": 0.1, "direction": [0, 0, -1], "magnitude": 4, "center": [1, 2, 3], "radius": 0.2},
        {
            "type": "tool",
            "duration": 1,
            "entity": "pin",
            "times": [0.5],
            "poses": [{"position": [1, 2, 3]}],
            "relative": True,
        },
    ):
        action = parse_action(fields)
        assert conversions.message_to_action(conversions.action_to_message(action)) == action


def test_the_core_refuses_what_a_message_can_say() -> None:
    for changes in (
        {"duration": 0.0},
        {"direction": Vector3()},
        {"radius": -1.0},
        {"falloff": "steep"},
        {"start": -1.0},
    ):
        with pytest.raises(RolloutError) as caught:
            conversions.message_to_action(push(**changes))
        assert caught.value.code == ErrorCodes.INVALID_ACTION


def test_relative_tool_poses_turn_with_their_frame() -> None:
    # A quarter turn about z, and somewhere else: a step along x becomes one along y, a turn about x one about y.
    to_world = np.eye(4)
    to_world[:3, :3] = conversions.wxyz_to_matrix([HALF, 0, 0, HALF])
    to_world[:3, 3] = [5, 6, 7]
    step = conversions.arrays_to_pose([0.1, 0, 0], [HALF, HALF, 0, 0])
    message = PhysicalAction(type="tool", entity="pin", duration=1.0, poses=[step], times=[1.0], relative=True)
    (pose,) = conversions.message_to_action(message, to_world=to_world).poses
    np.testing.assert_allclose(pose.position, [0, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(pose.orientation, [HALF, 0, HALF, 0], atol=1e-12)


def test_tool_there_and_back_in_another_frame() -> None:
    poses = [
        conversions.arrays_to_pose([0, 0, 0.1], [1, 0, 0, 0]),
        conversions.arrays_to_pose([0.2, 0, 0], [HALF, HALF, 0, 0]),
    ]
    message = PhysicalAction(type="tool", entity="pin", duration=1.0, poses=poses, times=[0.0, 1.0])
    fields = conversions.action_to_fields(message)
    assert fields["times"] == [0.0, 1.0]
    assert fields["poses"][0]["orientation"] == [1.0, 0.0, 0.0, 0.0]
    back = conversions.fields_to_action(fields)
    for got, want in zip(back.poses, poses, strict=True):
        np.testing.assert_allclose(conversions.pose_to_matrix(got), conversions.pose_to_matrix(want), atol=1e-12)
    to_world = np.eye(4)
    to_world[:3, 3] = [0, 0, 5]
    moved = conversions.action_to_fields(message, to_world=to_world)
    np.testing.assert_allclose(moved["poses"][1]["position"], [0.2, 0, 5])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "shove"}, "shove"),
        ({"duration": math.nan}, "duration"),
        ({"magnitude": math.inf}, "magnitude"),
        ({"center": Point(x=math.nan)}, "center"),
        ({"direction": Vector3(z=math.inf)}, "direction"),
        ({"type": "tool"}, "as many times as poses"),
        ({"type": "tool", "poses": [Pose()], "times": [0.0, 1.0]}, "1 poses, 2 times"),
        ({"type": "tool", "poses": [Pose(orientation=Quaternion(w=0.0))], "times": [0.0]}, r"poses\[0\].orientation"),
    ],
)
def test_bad_actions_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(conversions.ConversionError, match=says) as caught:
        conversions.action_to_fields(push(**changes))
    assert caught.value.code == ErrorCodes.INVALID_ACTION
