"""Camera poses and paths: looking at a point, orbits, interpolation, resizing, COLMAP and camera_info conventions.

Poses are world-to-camera matrices (4, 4) with x right, y down, z forward; lengths in metres, angles in radians,
float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pw_core.errors import RenderError

Matrix = NDArray[np.float64]


def look_at(eye: ArrayLike, target: ArrayLike, *, up: ArrayLike = (0.0, 0.0, 1.0)) -> Matrix:
    """The pose of a camera at `eye` [m] that looks at `target` [m] with `up` upwards in the picture."""
    position, goal, upward = (np.asarray(v, dtype=np.float64) for v in (eye, target, up))
    forward = goal - position
    right = np.cross(forward, upward)
    if np.linalg.norm(right) <= 1e-9 * max(float(np.linalg.norm(forward)), 1e-300):
        raise RenderError(
            f"look_at: eye {position.tolist()}, target {goal.tolist()} and up {upward.tolist()} must not lie on a line"
        )
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ position
    return pose


def centre(viewmat: ArrayLike) -> Matrix:
    """Where the camera stands in the world [m], shape (3,)."""
    pose = np.asarray(viewmat, dtype=np.float64)
    return np.asarray(-pose[:3, :3].T @ pose[:3, 3])


def orbit(
    viewmat: ArrayLike, pivot: ArrayLike, angles: Sequence[float], *, axis: ArrayLike = (0.0, 0.0, 1.0)
) -> Matrix:
    """Poses (len(angles), 4, 4): the camera carried about the axis through `pivot` [m] by each angle [rad],
    right-handed."""
    pose, point = np.asarray(viewmat, dtype=np.float64), np.asarray(pivot, dtype=np.float64)
    unit = np.asarray(axis, dtype=np.float64)
    unit = unit / np.linalg.norm(unit)
    cross = np.array([[0, -unit[2], unit[1]], [unit[2], 0, -unit[0]], [-unit[1], unit[0], 0]])
    out = []
    for angle in angles:
        # Rodrigues' formula; turning the camera by R is turning the world by R^T.
        turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
        world = np.eye(4)
        world[:3, :3] = turn.T
        world[:3, 3] = point - turn.T @ point
        out.append(pose @ world)
    return np.stack(out)


def interpolate(viewmats: ArrayLike, count: int) -> Matrix:
    """`count` poses (count, 4, 4) along key poses (K, 4, 4), K >= 2: camera centres on lines, orientations by slerp."""
    from scipy.spatial.transform import Rotation, Slerp

    keys = np.asarray(viewmats, dtype=np.float64)
    if keys.ndim != 3 or keys.shape[0] < 2 or keys.shape[1:] != (4, 4):
        raise RenderError(f"viewmats: expected shape [K >= 2, 4, 4], got {list(keys.shape)}")
    times, wanted = np.arange(len(keys), dtype=np.float64), np.linspace(0, len(keys) - 1, count)
    turns = Slerp(times, Rotation.from_matrix(keys[:, :3, :3]))(wanted).as_matrix()
    centres = np.stack([centre(k) for k in keys])
    at = np.stack([np.interp(wanted, times, centres[:, j]) for j in range(3)], axis=1)
    out = np.tile(np.eye(4), (count, 1, 1))
    out[:, :3, :3] = turns
    out[:, :3, 3] = -np.einsum("nij,nj->ni", turns, at)
    return out


def resize(K: ArrayLike, size: tuple[int, int], new_size: tuple[int, int]) -> Matrix:
    """Intrinsics (3, 3) [px] of the same view at another (width, height); pixel centres at +0.5, so the centre simply
    scales."""
    out = np.array(K, dtype=np.float64)
    out[0] *= new_size[0] / size[0]
    out[1] *= new_size[1] / size[1]
    return out


def from_colmap(qvec: ArrayLike, tvec: ArrayLike) -> Matrix:
    """Pose from COLMAP's world-to-camera quaternion (wxyz) and translation [m]. COLMAP's pixel centres are at +0.5
    too."""
    from scipy.spatial.transform import Rotation

    w, x, y, z = np.asarray(qvec, dtype=np.float64)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    pose[:3, 3] = np.asarray(tvec, dtype=np.float64)
    return pose


def to_colmap(viewmat: ArrayLike) -> tuple[Matrix, Matrix]:
    """COLMAP's quaternion (wxyz, w >= 0) and translation [m] of a pose."""
    from scipy.spatial.transform import Rotation

    pose = np.asarray(viewmat, dtype=np.float64)
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    quat = np.array([w, x, y, z])
    return (quat if w >= 0 else -quat), pose[:3, 3].copy()


def from_camera_info(k: ArrayLike) -> Matrix:
    """Our K (3, 3) from sensor_msgs/CameraInfo's k (9,): ROS (as OpenCV) puts pixel centres at whole numbers, we at
    +0.5."""
    out = np.array(k, dtype=np.float64).reshape(3, 3)
    out[:2, 2] += 0.5
    return out


def to_camera_info(K: ArrayLike, size: tuple[int, int]) -> dict[str, Any]:
    """Fields of sensor_msgs/CameraInfo for an undistorted camera of size (width, height): k, r, p, d,
    distortion_model."""
    k = np.array(K, dtype=np.float64)
    k[:2, 2] -= 0.5
    p = np.concatenate([k, np.zeros((3, 1))], axis=1)
    return {
        "width": size[0], "height": size[1], "distortion_model": "plumb_bob", "d": [0.0] * 5, "k": k.ravel().tolist(),
        "r": np.eye(3).ravel().tolist(), "p": p.ravel().tolist(),
    }  # fmt: skip
