"""Cameras to and from `sensor_msgs/CameraInfo` and poses of optical frames: pure functions that need no node.

Cameras are world-to-camera matrices with pixel centres at +0.5 in `pw_core`; in messages they are poses of the optical
frame (z forward, x right, y down), with pixel centres at whole numbers.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from pw_core.errors import ErrorCode
from pw_core.gaussians import Camera
from pw_core.media.errors import CameraFileError
from pw_core.media.lens import Distortion, Straight, named_distortion
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
    k = _matrix_of(message)
    if k[0, 0] <= 0 or k[1, 1] <= 0:
        raise ConversionError(
            f"camera_info.k is not calibrated: focal lengths {k[0, 0]} and {k[1, 1]} px must be positive", code=code
        )
    if abs(k[0, 1]) > 1e-6 * k[0, 0] or not np.allclose([k[1, 0], *k[2]], [0, 0, 0, 1]):
        raise ConversionError(
            f"camera_info.k must be [fx 0 cx; 0 fy cy; 0 0 1], got {np.round(k, 3).tolist()}", code=code
        )
    if not undistorted and lens_of(message) is not None:
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


def _matrix_of(message: CameraInfo) -> Matrix:
    """k (3, 3), or of a rectified topic whose k is left at zero what p says."""
    k = finite(message.k, "camera_info.k", ErrorCode.INVALID_CAMERA).reshape(3, 3)
    if not k.any() and any(message.p):
        k = finite(message.p, "camera_info.p", ErrorCode.INVALID_CAMERA).reshape(3, 4)[:, :3]
    return np.array(k, dtype=np.float64)


def lens_of(message: CameraInfo) -> Distortion | None:
    """The distortion of a camera_info, None where there is none: names in capitals or as other drivers have them, and
    coefficients with zeros at the end, mean what they say. A k of zeros with p set is of a rectified topic.

    Raises:
        ConversionError (INVALID_CAMERA): another model, or a wrong number of coefficients.
    """
    code = ErrorCode.INVALID_CAMERA
    d = finite(message.d, "camera_info.d", code).ravel().tolist()
    if not any(d) or (not any(message.k) and any(message.p)):
        return None
    try:
        return named_distortion(message.distortion_model, d)
    except CameraFileError as error:
        raise ConversionError(str(error), code=code) from None


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


def undistort(
    pixels: NDArray[Pixel], message: CameraInfo
) -> tuple[NDArray[Pixel], Intrinsics, NDArray[np.bool_] | None]:
    """The picture a pinhole camera of the same K would have taken, that camera, and which pixels (H, W) the lens saw
    (None: all).

    Takes plumb_bob, rational_polynomial (OpenCV's model) and equidistant (its fisheye), of a region of interest or
    binned too. Colour is interpolated; depth (uint16, float32) takes the nearest pixel, since a mean across an edge is
    a point in the air. Without distortion the picture comes back as it is.

    Raises:
        ConversionError (INVALID_CAMERA): another model, a wrong number of coefficients, or a picture of another size
            than camera_info says.
    """
    lens = lens_of(message)
    intrinsics = camera_info_to_intrinsics(message, undistorted=True)
    if pixels.shape[:2] != (intrinsics.height, intrinsics.width):
        raise ConversionError(
            f"camera_info is of {intrinsics.width} x {intrinsics.height} px, the picture of {pixels.shape[1]} x "
            f"{pixels.shape[0]}",
            code=ErrorCode.INVALID_CAMERA,
        )
    if lens is None:
        return pixels, intrinsics, None
    straight = Straight(intrinsics.K, lens, (intrinsics.width, intrinsics.height))
    made: NDArray[Pixel] = straight.picture(pixels) if pixels.dtype == np.uint8 else straight.nearest(pixels)
    return made, intrinsics, None if straight.valid.all() else straight.valid
