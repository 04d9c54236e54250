"""Cameras to and from messages, without a node."""

import math

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from sensor_msgs.msg import CameraInfo, RegionOfInterest

from pw_core.gaussians import Camera
from pw_msgs.msg import ErrorCodes
from pw_ros.convert import cameras
from pw_ros.convert import geometry as conversions


def test_viewmat_of_a_camera_that_looks_along_x() -> None:
    # Optical: z forward, x right, y down.
    rotation = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
    pose = conversions.arrays_to_pose([1, 2, 3], conversions.matrix_to_wxyz(rotation))
    viewmat = cameras.pose_to_viewmat(pose)
    np.testing.assert_allclose((viewmat @ [6, 2, 3, 1])[:3], [0, 0, 5], atol=1e-12)  # 5 m ahead
    np.testing.assert_allclose((viewmat @ [1, 1, 3, 1])[:3], [1, 0, 0], atol=1e-12)  # 1 m to the right
    back = cameras.viewmat_to_pose(viewmat, frame_id="world").pose
    np.testing.assert_allclose(conversions.pose_to_matrix(back), conversions.pose_to_matrix(pose), atol=1e-12)


K = np.array([[600.0, 0, 320.5], [0, 610.0, 240.5], [0, 0, 1]])


def test_camera_info_there_and_back() -> None:
    message = cameras.intrinsics_to_camera_info(K, width=640, height=480, frame_id="cam_optical")
    assert message.header.frame_id == "cam_optical"
    assert message.k[2] == 320.0  # ROS counts from the centre of the first pixel, gsplat from its corner
    assert (message.p[0], message.p[5], message.p[2]) == (600.0, 610.0, 320.0)
    back = cameras.camera_info_to_intrinsics(message)
    np.testing.assert_allclose(back.K, K)
    assert (back.width, back.height) == (640, 480)


def test_roi_and_binning_move_the_principal_point_with_the_pixels() -> None:
    message = cameras.intrinsics_to_camera_info(K, width=640, height=480)
    message.roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=400)
    message.binning_x = message.binning_y = 2
    got = cameras.camera_info_to_intrinsics(message)
    assert (got.width, got.height) == (200, 200)
    ray = np.array([0.1, -0.05, 1.0])
    full, small = K @ ray, got.K @ ray
    np.testing.assert_allclose(small[:2], (full[:2] - [100, 40]) / 2)


def test_camera_of_the_core_there_and_back() -> None:
    camera = Camera.above_table(height_m=0.5, pitch_deg=30, hfov_deg=60, width=640, height=352, name="photo")
    info = cameras.camera_to_info(camera, frame_id="photo_optical")
    pose = cameras.viewmat_to_pose(camera.viewmat, frame_id="world").pose
    np.testing.assert_allclose([pose.position.x, pose.position.y, pose.position.z], [0, 0, 0.5], atol=1e-12)
    back = cameras.messages_to_camera(info, pose, name="photo")
    assert (back.name, back.width, back.height) == ("photo", 640, 352)
    np.testing.assert_allclose(back.K, camera.K)
    np.testing.assert_allclose(back.viewmat, camera.viewmat, atol=1e-12)
    to_world = np.eye(4)
    to_world[:3, 3] = [0, 0, 2]
    raised = cameras.messages_to_camera(info, pose, name="a", to_world=to_world)
    np.testing.assert_allclose(raised.centre, [0, 0, 2.5], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 0}, "no size"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, "not calibrated"),
        ({"k": [math.nan, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]}, "finite"),
        ({"k": [600.0, 5.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]}, "must be"),
        ({"d": [0.1, 0.0, 0.0, 0.0, 0.0]}, "rectified"),
    ],
)
def test_bad_cameras_are_refused(change: dict[str, object], says: str) -> None:
    message = cameras.intrinsics_to_camera_info(K, width=640, height=480)
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(conversions.ConversionError, match=says) as caught:
        cameras.camera_info_to_intrinsics(message)
    assert caught.value.code == ErrorCodes.INVALID_CAMERA


def distorted(model: str, d: list[float]) -> CameraInfo:
    message = cameras.intrinsics_to_camera_info(K, width=640, height=480)
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
    flat, intrinsics, _ = cameras.undistort(np.round(255 * blob).astype(np.uint8), message)
    weight = flat.astype(float)
    seen = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    np.testing.assert_allclose(seen, ideal, atol=0.3)
    np.testing.assert_allclose(intrinsics.K, K)


@pytest.mark.parametrize(("model", "d"), [("ftheta", [0.1]), ("plumb_bob", [0.1, 0.2])])
def test_unknown_distortion_is_refused(model: str, d: list[float]) -> None:
    with pytest.raises(conversions.ConversionError, match=model):
        cameras.undistort(np.zeros((480, 640), np.uint8), distorted(model, d))


def test_undistort_wants_the_picture_that_camera_info_describes() -> None:
    with pytest.raises(conversions.ConversionError, match="640 x 480"):
        cameras.undistort(np.zeros((10, 10), np.uint8), distorted("plumb_bob", [0.1] * 5))
