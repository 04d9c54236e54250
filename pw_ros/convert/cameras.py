"""Cameras to and from `sensor_msgs/CameraInfo` and poses of optical frames: pure functions that need no node.

Cameras are world-to-camera matrices with pixel centres at +0.5 in `pw_core`; in messages they are poses of the optical
frame (z forward, x right, y down), with pixel centres at whole numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from pw_core.errors import ErrorCode
from pw_core.gaussians import Camera
from pw_core.render import cameras
from pw_ros.convert.geometry import ConversionError, Matrix, finite, matrix_to_pose, pose_to_matrix

Pixel = TypeVar("Pixel", np.uint8, np.uint16, np.float32)


def viewmat_to_pose(viewmat: ArrayLike, *, frame_id: str = "", stamp: Time | None = None) -> PoseStamped:
    """The pose of the optical frame (z forward, x right, y down) in the world of a world-to-camera matrix (4, 4)."""
    pose = PoseStamped(header=Header(frame_id=frame_id), pose=matrix_to_pose(np.linalg.inv(np.asarray(viewmat))))
    if stamp is not None:
        pose.header.stamp = stamp
    return pose


def pose_to_viewmat(message: Pose, *, what: str = "camera pose") -> Matrix:
    """The world-to-camera matrix (4, 4) of the pose of an optical frame in the world."""
    placed = pose_to_matrix(message, what=what, code=ErrorCode.INVALID_CAMERA)
    return np.asarray(np.linalg.inv(placed), dtype=np.float64)


class Intrinsics(NamedTuple):
    """A pinhole camera: K (3, 3) [px], pixel centres at +0.5, and its picture's size [px]."""

    K: Matrix
    width: int
    height: int


_DISTORTION_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


def intrinsics_to_camera_info(
    K: ArrayLike, *, width: int, height: int, frame_id: str = "", stamp: Time | None = None
) -> CameraInfo:
    """The camera_info of an undistorted camera."""
    message = CameraInfo(**cameras.to_camera_info(K, (int(width), int(height))))
    message.header.frame_id = frame_id
    if stamp is not None:
        message.header.stamp = stamp
    return message


def camera_info_to_intrinsics(message: CameraInfo, *, undistorted: bool = False) -> Intrinsics:
    """The pinhole camera of a camera_info: of the picture as sent, so that region of interest and binning are applied.

    A distorted camera is refused unless `undistorted` says that its pictures went through `undistort`: our renderer has
    none, and dropping the coefficients silently would shift things by many pixels.

    Raises:
        ConversionError (INVALID_CAMERA): no size, K not that of a camera, skew, or distortion.
    """
    code = ErrorCode.INVALID_CAMERA
    width, height = int(message.width), int(message.height)
    if width == 0 or height == 0:
        raise ConversionError(f"camera_info has no size: width {width}, height {height}", code=code)
    k = finite(message.k, "camera_info.k", code).reshape(3, 3)
    if k[0, 0] <= 0 or k[1, 1] <= 0:
        raise ConversionError(
            f"camera_info.k is not calibrated: focal lengths {k[0, 0]} and {k[1, 1]} px must be positive", code=code
        )
    if abs(k[0, 1]) > 1e-6 * k[0, 0] or not np.allclose([k[1, 0], *k[2]], [0, 0, 0, 1]):
        raise ConversionError(
            f"camera_info.k must be [fx 0 cx; 0 fy cy; 0 0 1], got {np.round(k, 3).tolist()}", code=code
        )
    if not undistorted and any(message.d):
        raise ConversionError(
            f"the camera is distorted ({message.distortion_model}, d = {[round(v, 4) for v in message.d]}): send the "
            "rectified picture (image_rect of image_proc) with a camera_info without distortion",
            code=code,
        )
    K = cameras.from_camera_info(k)
    roi, bin_x, bin_y = message.roi, max(int(message.binning_x), 1), max(int(message.binning_y), 1)
    if roi.width and roi.height:
        K[0, 2] -= roi.x_offset
        K[1, 2] -= roi.y_offset
        width, height = int(roi.width), int(roi.height)
    K[0] /= bin_x
    K[1] /= bin_y
    return Intrinsics(K, width // bin_x, height // bin_y)


def camera_to_info(camera: Camera, *, frame_id: str = "", stamp: Time | None = None) -> CameraInfo:
    """The camera_info of a camera; its pose is `viewmat_to_pose(camera.viewmat)`."""
    return intrinsics_to_camera_info(camera.K, width=camera.width, height=camera.height, frame_id=frame_id, stamp=stamp)


def messages_to_camera(
    info: CameraInfo, pose: Pose, *, name: str, to_world: ArrayLike | None = None, undistorted: bool = False
) -> Camera:
    """A camera from its camera_info and the pose of its optical frame.

    Args:
        info: intrinsics; see `camera_info_to_intrinsics` for what is refused.
        pose: of the optical frame, z forward.
        name: the camera's.
        to_world: transform (4, 4) from the frame the pose is in to the world; none: it is in the world frame.
        undistorted: the pictures went through `undistort`.

    Raises:
        ConversionError (INVALID_CAMERA).
    """
    K, width, height = camera_info_to_intrinsics(info, undistorted=undistorted)
    world = np.eye(4) if to_world is None else np.asarray(to_world, dtype=np.float64)
    placed = world @ pose_to_matrix(pose, what=f"pose of camera '{name}'", code=ErrorCode.INVALID_CAMERA)
    return Camera(name, K, np.asarray(np.linalg.inv(placed), dtype=np.float64), width, height)


def undistort(pixels: NDArray[Pixel], message: CameraInfo) -> tuple[NDArray[Pixel], Intrinsics]:
    """The picture a pinhole camera of the same K would have taken, and that camera.

    Takes plumb_bob, rational_polynomial (OpenCV's model) and equidistant (its fisheye). Colour is interpolated; depth
    (uint16, float32) takes the nearest pixel, since a mean across an edge is a point in the air. Without distortion
    the picture comes back as it is.

    Raises:
        ConversionError (INVALID_CAMERA): another model, a wrong number of coefficients, a region of interest or binning
            together with distortion, or a picture of another size than camera_info says.
    """
    code = ErrorCode.INVALID_CAMERA
    intrinsics = camera_info_to_intrinsics(message, undistorted=True)
    if pixels.shape[:2] != (intrinsics.height, intrinsics.width):
        raise ConversionError(
            f"camera_info is of {intrinsics.width} x {intrinsics.height} px, the picture of {pixels.shape[1]} x "
            f"{pixels.shape[0]}",
            code=code,
        )
    if not any(message.d):
        return pixels, intrinsics
    counts = _DISTORTION_COEFFICIENTS.get(message.distortion_model)
    if counts is None:
        raise ConversionError(
            f"distortion model '{message.distortion_model}' is not known; use one of "
            f"{', '.join(_DISTORTION_COEFFICIENTS)}, or send the rectified picture",
            code=code,
        )
    if len(message.d) not in counts:
        raise ConversionError(
            f"{message.distortion_model} has {' or '.join(map(str, counts))} coefficients, camera_info.d has "
            f"{len(message.d)}",
            code=code,
        )
    if (intrinsics.width, intrinsics.height) != (message.width, message.height):
        raise ConversionError(
            "a region of interest or binning of a distorted camera is not supported; send the rectified picture",
            code=code,
        )
    import cv2

    k = np.array(message.k, dtype=np.float64).reshape(3, 3)  # OpenCV's pixel centres, as the message's
    d = finite(message.d, "camera_info.d", code)
    size = (intrinsics.width, intrinsics.height)
    if message.distortion_model == "equidistant":
        maps = cv2.fisheye.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_32FC1)
    else:
        maps = cv2.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_32FC1)
    how = cv2.INTER_LINEAR if pixels.dtype == np.uint8 else cv2.INTER_NEAREST
    straight: NDArray[Any] = cv2.remap(pixels, *maps, interpolation=how, borderMode=cv2.BORDER_CONSTANT)
    return straight, intrinsics
