"""Rotation matrices and products of quaternions wxyz."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import F64


def rotation(q: F64) -> F64:
    """Rotation matrix (3, 3) of a unit quaternion wxyz."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def multiply(a: F64, b: F64) -> F64:
    """Quaternion product a b, wxyz."""
    w, v, s, u = a[0], a[1:], b[0], b[1:]
    return np.concatenate([[w * s - v @ u], w * u + s * v + np.cross(v, u)])
