"""Times and poses to and from ROS messages: pure functions that need no node. Quaternions are wxyz in `pw_core` and
xyzw in messages.

The other nouns have modules of their own beside this one: `clouds` for particles, `reports` for entities, states and
status, and others by their names.
"""

from __future__ import annotations

import math

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
from numpy.typing import ArrayLike, NDArray

from pw_core.errors import ErrorCode, PWError

Matrix = NDArray[np.float64]


class ConversionError(PWError, ValueError):
    """A message that cannot be understood; the message says which field, and what would be right."""

    default_code = ErrorCode.NODE_UNKNOWN


def finite(values: ArrayLike, what: str, code: int) -> Matrix:
    """Numbers of a message as doubles. Raises ConversionError with `code`, naming `what`, for NaN and infinity."""
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
    wxyz = finite([message.w, message.x, message.y, message.z], what, code)
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
    position = finite([message.position.x, message.position.y, message.position.z], f"{what}.position", code)
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
    position = finite([t.x, t.y, t.z], "translation", ErrorCode.INVALID_FRAME)
    return _transform(position, quaternion_to_wxyz(message.rotation, what="rotation", code=ErrorCode.INVALID_FRAME))


def _transform(position: Matrix, wxyz: Matrix) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = wxyz_to_matrix(wxyz), position
    return matrix


def xyz_to_point(xyz: ArrayLike) -> Point:
    """A position (3,) [m] as a message."""
    x, y, z = (float(v) for v in np.asarray(xyz, dtype=np.float64).reshape(3))
    return Point(x=x, y=y, z=z)


def xyz_to_vector(xyz: ArrayLike) -> Vector3:
    """Three numbers as a message."""
    x, y, z = (float(v) for v in np.asarray(xyz, dtype=np.float64).reshape(3))
    return Vector3(x=x, y=y, z=z)
