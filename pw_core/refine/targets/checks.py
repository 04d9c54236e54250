"""What is wrong with arrays of requests and targets, said so that it can be mended: where, what was found, what is
right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64, Camera


def view_names(cameras: Sequence[Camera]) -> list[str]:
    """Names for messages: "view 0 ('photo')"."""
    return [f"view {i} ('{c.name}')" for i, c in enumerate(cameras)]


def check_times(times: ArrayLike, *, what: str) -> F64:
    """Stamps [s] (N,) as float64: finite and rising, or RefineError (INVALID_STAMPS)."""
    t = np.asarray(times, dtype=np.float64)
    if t.ndim != 1 or len(t) == 0:
        raise RefineError(f"{what}: expected a list of stamps, found shape {t.shape}", code=ErrorCode.INVALID_STAMPS)
    bad = np.flatnonzero(~np.isfinite(t))
    if len(bad):
        raise RefineError(f"{what}: stamp {bad[0]} is {t[bad[0]]}", code=ErrorCode.INVALID_STAMPS)
    back = np.flatnonzero(np.diff(t) <= 0)
    if len(back):
        i = int(back[0])
        raise RefineError(
            f"{what}: stamps are out of order: number {i + 1} ({t[i + 1]:.6f} s) is not after number {i} ({t[i]:.6f} "
            "s); expected rising times",
            code=ErrorCode.INVALID_STAMPS,
        )
    return t


def check_strengths(strengths: Sequence[float], *, views: Sequence[str]) -> None:
    """One for each view, within 0 to 1, or RefineError (INVALID_STRENGTH)."""
    if len(strengths) != len(views):
        raise RefineError(
            f"strengths: found {len(strengths)}, expected one for each of {len(views)} views",
            code=ErrorCode.INVALID_STRENGTH,
        )
    for view, s in zip(views, strengths):
        if not 0 <= s <= 1:  # NaN too
            raise RefineError(f"strengths: {view}: found {s}, expected 0 to 1", code=ErrorCode.INVALID_STRENGTH)


def check_shape(name: str, array: Any, shape: tuple[int, ...], dtype: type | str) -> None:
    """Of that shape and type, or RefineError (INVALID_TARGET)."""
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise RefineError(f"{name}: found {found}, expected {np.dtype(dtype)} {shape}", code=ErrorCode.INVALID_TARGET)


def check_not_black(frame: NDArray[np.uint8], valid: NDArray[np.bool_], *, what: str, black: int = 12) -> None:
    """RefineError (INVALID_TARGET) where all that was observed of a picture (H, W, 3) is black: its 99th percentile of
    brightness is at most `black`, as under a lens cap, noise included."""
    if valid.any() and np.percentile(frame[valid].max(-1), 99) <= black:
        raise RefineError(
            f"{what}: all black (99 of 100 pixels are at most {black} of 255), expected a lit picture",
            code=ErrorCode.INVALID_TARGET,
        )


def as_frames(pictures: ArrayLike, *, what: str) -> NDArray[np.uint8]:
    """uint8 (N, H, W, 3) of uint8 or of floats from 0 to 1; RefineError (INVALID_TARGET) for NaN and other values."""
    a = np.asarray(pictures)
    if a.ndim != 4 or a.shape[3] != 3 or 0 in a.shape:
        raise RefineError(
            f"{what}: found shape {a.shape}, expected (frames, height, width, 3)", code=ErrorCode.INVALID_TARGET
        )
    if a.dtype == np.uint8:
        return a
    if a.dtype.kind != "f":
        raise RefineError(f"{what}: found {a.dtype}, expected uint8, or floats 0 to 1", code=ErrorCode.INVALID_TARGET)
    for k, picture in enumerate(a):
        if not np.isfinite(picture).all():
            y, x = np.argwhere(~np.isfinite(picture).all(-1))[0]
            raise RefineError(f"{what}: frame {k} holds NaN at pixel ({x}, {y})", code=ErrorCode.INVALID_TARGET)
        if picture.min() < 0 or picture.max() > 1:
            raise RefineError(
                f"{what}: frame {k}: floats from {picture.min():.3g} to {picture.max():.3g}, expected 0 to 1",
                code=ErrorCode.INVALID_TARGET,
            )
    return np.asarray(np.rint(a * 255), dtype=np.uint8)
