"""Intrinsics and poses in text files as tools write them: what is unambiguous is read, else the field is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.media.errors import CameraFileError

Matrix = NDArray[np.float64]
OPENGL: Matrix = np.diag([1.0, -1.0, -1.0, 1.0])
"""From axes x right, y up, z backward to optical axes, x right, y down, z forward."""
Z_UP: Matrix = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
"""From ARKit's world (y up) to one with z up."""


@dataclass(frozen=True, kw_only=True)
class CameraFileOptions:
    """What can be a camera's numbers."""

    rotation_tolerance: float = 1e-2
    """How far from the identity R R^T of a pose may be: text files often hold four digits."""
    skew_tolerance: float = 1e-3
    """Of the focal length: skew that rounding explains. More is a camera that is not there."""


def matrix_of(value: Any, *, what: str) -> Matrix:
    """Numbers, nested or flat, strings of numbers too, as an array; CameraFileError for anything else, NaN included."""
    try:
        found = np.asarray(value, dtype=object)
        out = np.array([float(x) for x in found.ravel()], np.float64).reshape(found.shape)
    except (TypeError, ValueError, OverflowError):
        raise CameraFileError(f"{what}: found {_shown(value)}, expected numbers in rows of one length") from None
    if not np.isfinite(out).all():
        raise CameraFileError(f"{what}: found {_shown(value)}, expected finite numbers")
    return out


def intrinsics_of(value: Any, *, what: str, options: CameraFileOptions = CameraFileOptions()) -> Matrix:
    """K (3, 3) [px] from 3 x 3, 3 x 4, 4 x 4, nine numbers in a row, [fx, fy, cx, cy], or a mapping of those names.

    Raises:
        CameraFileError: names the field.
    """
    if isinstance(value, Mapping):
        names = next((n for n in (("fx", "fy", "cx", "cy"), ("fl_x", "fl_y", "cx", "cy")) if n[0] in value), None)
        missing = [n for n in names or ("fx", "fy", "cx", "cy") if n not in value]
        if missing:
            raise CameraFileError(f"{what}: has no {missing[0]}")
        value = [value[n] for n in names or ()]
    found = matrix_of(value, what=what)
    if found.shape == (4,):
        fx, fy, cx, cy = found
        found = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    elif found.shape == (9,):
        found = found.reshape(3, 3)
    if found.shape not in ((3, 3), (3, 4), (4, 4)):
        raise CameraFileError(f"{what}: found numbers of shape {found.shape}, expected 3 x 3, or [fx, fy, cx, cy]")
    K = np.array(found[:3, :3])
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        raise CameraFileError(f"{what}: focal lengths {K[0, 0]:g} and {K[1, 1]:g} px must be above 0")
    if abs(K[0, 1]) > options.skew_tolerance * K[0, 0] or not np.allclose([K[1, 0], *K[2]], [0, 0, 0, 1]):
        raise CameraFileError(f"{what}: expected [fx 0 cx; 0 fy cy; 0 0 1], found {np.round(K, 3).tolist()}")
    K[0, 1] = 0.0
    return K


def pose_of(value: Any, *, what: str, options: CameraFileOptions = CameraFileOptions()) -> Matrix:
    """A rigid transform (4, 4) from 4 x 4, 3 x 4, or the same 16 or 12 numbers in a row.

    Raises:
        CameraFileError: names the field, and the factor where the rotation is scaled.
    """
    found = matrix_of(value, what=what)
    if found.size not in (12, 16) or found.shape not in ((4, 4), (3, 4), (12,), (16,)):
        raise CameraFileError(f"{what}: found numbers of shape {found.shape}, expected 4 x 4 or 3 x 4")
    rows = found.reshape(-1, 4)
    if len(rows) == 4 and not np.allclose(rows[3], [0, 0, 0, 1]):
        raise CameraFileError(f"{what}: its last row is {rows[3].tolist()}, expected 0 0 0 1; is it transposed?")
    turn = rows[:3, :3]
    factor = float(np.cbrt(abs(np.linalg.det(turn))))
    if factor > 0 and abs(factor - 1) > options.rotation_tolerance and np.allclose(
        turn @ turn.T, factor**2 * np.eye(3), atol=options.rotation_tolerance * factor**2
    ):  # fmt: skip
        text = f"{what}: its rotation is scaled by {factor:.6g}, so that its metre is not known: divide it out"
        raise CameraFileError(text)
    if not np.allclose(turn @ turn.T, np.eye(3), atol=options.rotation_tolerance) or np.linalg.det(turn) < 0:
        raise CameraFileError(f"{what}: holds no rotation")
    out = np.eye(4)
    u, _, vt = np.linalg.svd(turn)
    exact = np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    out[:3, :3] = turn if exact else u @ vt
    out[:3, 3] = rows[:3, 3]
    return out


def scaled_intrinsics(K: Matrix, size: tuple[int, int], to: tuple[int, int], *, what: str) -> Matrix:
    """K (3, 3) for a picture of another size (width, height) and the same shape.

    Raises:
        CameraFileError: the shapes differ by more than rounding explains.
    """
    if size == to:
        return K
    x, y = to[0] / size[0], to[1] / size[1]
    if abs(x * size[1] - to[1]) > 1.5 or abs(y * size[0] - to[0]) > 1.5:
        raise CameraFileError(f"{what}: its camera is of {size[0]} x {size[1]} px, the picture of {to[0]} x {to[1]}")
    return np.diag([x, y, 1.0]) @ K


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + " ..."
