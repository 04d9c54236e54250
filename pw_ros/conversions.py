"""Times, poses, cameras and actions to and from ROS messages: pure functions that need no node.

Quaternions are wxyz in `pw_core` and xyzw in messages. Cameras are world-to-camera matrices with pixel centres at +0.5
in `pw_core`; in messages they are poses of the optical frame, with pixel centres at whole numbers. Pictures are in
`pw_ros.images`, particles in `pw_ros.clouds`, entities, states and status in `pw_ros.reports`, markers in
`pw_ros.markers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, Vector3
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from pw_core.actions import Action, parse_action
from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_core.render import cameras
from pw_msgs.msg import PhysicalAction

Matrix = NDArray[np.float64]


class ConversionError(PWError, ValueError):
    """A message that cannot be understood; the message says which field, and what would be right."""

    default_code = ErrorCode.NODE_UNKNOWN


def _finite(values: ArrayLike, what: str, code: int) -> Matrix:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ConversionError(f"{what} must be finite, got {array.tolist()}", code=code)
    return array


# --- time -------------------------------------------------------------------------------------------------------------


def seconds_to_time(seconds: float) -> Time:
    """[s] since the epoch, not negative, as a message, to the nanosecond."""
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    return Time(sec=whole + nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def time_to_seconds(stamp: Time) -> float:
    """[s]; a double holds today's dates to about 0.2 microseconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def time_after(stamp: Time, seconds: float) -> Time:
    """`stamp` plus simulated seconds, exact to the nanosecond (a sum of doubles is not)."""
    total = stamp.sec * 1_000_000_000 + stamp.nanosec + round(seconds * 1e9)
    return Time(sec=total // 1_000_000_000, nanosec=total % 1_000_000_000)


# --- poses ------------------------------------------------------------------------------------------------------------


def wxyz_to_quaternion(wxyz: ArrayLike) -> Quaternion:
    """A quaternion (4,) wxyz as a message (xyzw)."""
    w, x, y, z = (float(v) for v in np.asarray(wxyz, dtype=np.float64).reshape(4))
    return Quaternion(x=x, y=y, z=z, w=w)


def quaternion_to_wxyz(message: Quaternion, *, what: str = "orientation", code: int = ErrorCode.NODE_UNKNOWN) -> Matrix:
    """The unit quaternion (4,) wxyz of a message.

    Raises:
        ConversionError: not finite, or so far from unit length (more than 1 %) that it is a mistake, all zero included.
    """
    wxyz = _finite([message.w, message.x, message.y, message.z], what, code)
    length = float(np.linalg.norm(wxyz))
    if abs(length - 1.0) > 0.01:
        raise ConversionError(
            f"{what} is no unit quaternion: length {length:.4g} of xyzw [{message.x}, {message.y}, {message.z}, "
            f"{message.w}]; no rotation is [0, 0, 0, 1]",
            code=code,
        )
    return wxyz / length


def wxyz_to_matrix(wxyz: ArrayLike) -> Matrix:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4) wxyz."""
    w, x, y, z = np.moveaxis(np.asarray(wxyz, dtype=np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_wxyz(rotation: ArrayLike) -> Matrix:
    """The unit quaternion (4,) wxyz, w >= 0, of a rotation matrix (3, 3): the eigenvector method of Bar-Itzhack, 2000,
    which has no bad cases and takes the nearest rotation of a slightly skewed matrix."""
    m = np.asarray(rotation, dtype=np.float64)
    k = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    wxyz = np.linalg.eigh(k)[1][:, -1]
    return wxyz if wxyz[0] >= 0 else -wxyz


def arrays_to_pose(position: ArrayLike, wxyz: ArrayLike) -> Pose:
    """A pose message of a position (3,) [m] and a quaternion (4,) wxyz."""
    x, y, z = (float(v) for v in np.asarray(position, dtype=np.float64).reshape(3))
    return Pose(position=Point(x=x, y=y, z=z), orientation=wxyz_to_quaternion(wxyz))


def pose_to_arrays(message: Pose, *, what: str = "pose", code: int = ErrorCode.NODE_UNKNOWN) -> tuple[Matrix, Matrix]:
    """Position (3,) [m] and unit quaternion (4,) wxyz of a pose message. Raises ConversionError for bad numbers."""
    position = _finite([message.position.x, message.position.y, message.position.z], f"{what}.position", code)
    return position, quaternion_to_wxyz(message.orientation, what=f"{what}.orientation", code=code)


def matrix_to_pose(matrix: ArrayLike) -> Pose:
    """A pose message of a transform (4, 4)."""
    transform = np.asarray(matrix, dtype=np.float64)
    return arrays_to_pose(transform[:3, 3], matrix_to_wxyz(transform[:3, :3]))


def pose_to_matrix(message: Pose, *, what: str = "pose", code: int = ErrorCode.NODE_UNKNOWN) -> Matrix:
    """The transform (4, 4) of a pose message, from the posed frame to the frame it is given in."""
    position, wxyz = pose_to_arrays(message, what=what, code=code)
    return _transform(position, wxyz)


def transform_to_matrix(message: Transform) -> Matrix:
    """The transform (4, 4) of what tf2's lookup returns."""
    t = message.translation
    position = _finite([t.x, t.y, t.z], "translation", ErrorCode.INVALID_FRAME)
    return _transform(position, quaternion_to_wxyz(message.rotation, what="rotation", code=ErrorCode.INVALID_FRAME))


def _transform(position: Matrix, wxyz: Matrix) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = wxyz_to_matrix(wxyz), position
    return matrix


def viewmat_to_pose(viewmat: ArrayLike, *, frame_id: str = "", stamp: Time | None = None) -> PoseStamped:
    """The pose of the optical frame (z forward, x right, y down) in the world of a world-to-camera matrix (4, 4)."""
    pose = PoseStamped(header=Header(frame_id=frame_id), pose=matrix_to_pose(np.linalg.inv(np.asarray(viewmat))))
    if stamp is not None:
        pose.header.stamp = stamp
    return pose


def pose_to_viewmat(message: Pose, *, what: str = "camera pose") -> Matrix:
    """The world-to-camera matrix (4, 4) of the pose of an optical frame in the world."""
    return np.linalg.inv(pose_to_matrix(message, what=what, code=ErrorCode.INVALID_CAMERA))


def xyz_to_point(xyz: ArrayLike) -> Point:
    """A position (3,) [m] as a message."""
    x, y, z = (float(v) for v in np.asarray(xyz, dtype=np.float64).reshape(3))
    return Point(x=x, y=y, z=z)


def xyz_to_vector(xyz: ArrayLike) -> Vector3:
    """Three numbers as a message."""
    x, y, z = (float(v) for v in np.asarray(xyz, dtype=np.float64).reshape(3))
    return Vector3(x=x, y=y, z=z)


# --- cameras ----------------------------------------------------------------------------------------------------------


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
    k = _finite(message.k, "camera_info.k", code).reshape(3, 3)
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
    return Camera(name, K, np.linalg.inv(placed), width, height)


def undistort(pixels: NDArray[np.generic], message: CameraInfo) -> tuple[NDArray[np.generic], Intrinsics]:
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
    d = _finite(message.d, "camera_info.d", code)
    size = (intrinsics.width, intrinsics.height)
    if message.distortion_model == "equidistant":
        maps = cv2.fisheye.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_32FC1)
    else:
        maps = cv2.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_32FC1)
    how = cv2.INTER_LINEAR if pixels.dtype == np.uint8 else cv2.INTER_NEAREST
    return cv2.remap(pixels, *maps, interpolation=how, borderMode=cv2.BORDER_CONSTANT), intrinsics


# --- actions ----------------------------------------------------------------------------------------------------------

ACTION_TYPES = ("gravity", "wind", "push", "poke", "tool")


def action_to_fields(message: PhysicalAction, *, to_world: ArrayLike | None = None) -> dict[str, Any]:
    """The fields of an action as they stand in a scene's YAML file, in the scene's world frame, ready for `pw_core`'s
    own checks. A field that its type does not use, or that is empty, is left out, so that defaults apply.

    Args:
        message: the action.
        to_world: transform (4, 4) from `message.header.frame_id` to the world; none: it is in the world frame.

    Raises:
        ConversionError (INVALID_ACTION): an unknown type, a number that is not finite, or bad poses.
    """
    code = ErrorCode.INVALID_ACTION
    kind = message.type
    where = f"action '{message.name or kind}'"
    if kind not in ACTION_TYPES:
        raise ConversionError(f"{where}: type '{kind}' is not known; use one of {', '.join(ACTION_TYPES)}", code=code)
    world = np.eye(4) if to_world is None else np.asarray(to_world, dtype=np.float64)

    def number(name: str) -> float:
        return float(_finite(getattr(message, name), f"{where}: {name}", code))

    fields: dict[str, Any] = {"type": kind, "start": number("start"), "duration": number("duration")}
    if message.name:
        fields["name"] = message.name
    if message.entity:
        fields["entity"] = message.entity
    if kind == "tool":
        poses = [pose_to_matrix(p, what=f"{where}: poses[{i}]", code=code) for i, p in enumerate(message.poses)]
        if not poses or len(poses) != len(message.times):
            raise ConversionError(
                f"{where}: a tool needs as many times as poses, and one or more: {len(poses)} poses, "
                f"{len(message.times)} times",
                code=code,
            )
        if message.relative:
            # A displacement seen from turned axes: W D W^-1 with W's rotation; where the axes begin does not matter.
            turn = np.eye(4)
            turn[:3, :3] = world[:3, :3]
            poses = [turn @ p @ turn.T for p in poses]
            fields["relative"] = True
        else:
            poses = [world @ p for p in poses]
        fields["times"] = _finite(message.times, f"{where}: times", code).tolist()
        fields["poses"] = [
            {"position": t[:3, 3].tolist(), "orientation": matrix_to_wxyz(t[:3, :3]).tolist()} for t in poses
        ]
        return fields
    d = message.direction
    direction = world[:3, :3] @ _finite([d.x, d.y, d.z], f"{where}: direction", code)
    fields["magnitude"] = number("magnitude")
    fields["direction"] = direction.tolist()
    if kind != "gravity":
        c = message.center
        center = _finite([c.x, c.y, c.z], f"{where}: center", code)
        fields["center"] = (world[:3, :3] @ center + world[:3, 3]).tolist()
        fields["radius"] = number("radius")
        if message.falloff:
            fields["falloff"] = message.falloff
    return fields


def fields_to_action(fields: Mapping[str, Any], *, frame_id: str = "") -> PhysicalAction:
    """A message of an action's fields (see `action_to_fields`); `None` and missing ones keep the message's zeros."""
    message = PhysicalAction(header=Header(frame_id=frame_id), type=str(fields["type"]))
    for name in ("name", "entity", "falloff"):
        if fields.get(name):
            setattr(message, name, str(fields[name]))
    for name in ("start", "duration", "radius", "magnitude"):
        if fields.get(name) is not None:
            setattr(message, name, float(fields[name]))
    if fields.get("center") is not None:
        message.center = xyz_to_point(fields["center"])
    if fields.get("direction") is not None:
        message.direction = xyz_to_vector(fields["direction"])
    message.poses = [arrays_to_pose(p["position"], p["orientation"]) for p in fields.get("poses") or ()]
    message.times = [float(t) for t in fields.get("times") or ()]
    message.relative = bool(fields.get("relative"))
    return message


def message_to_action(message: PhysicalAction, *, to_world: ArrayLike | None = None) -> Action:
    """The action of a message, in the world frame (see `action_to_fields`).

    Raises:
        ConversionError, RolloutError: both with INVALID_ACTION and the field's name.
    """
    return parse_action(action_to_fields(message, to_world=to_world))


def action_to_message(action: Action, *, frame_id: str = "") -> PhysicalAction:
    """The message of an action, in the world's frame."""
    return fields_to_action(action.model_dump(), frame_id=frame_id)
