"""What is wrong with a request or with targets, said so that it can be mended: where, what was found, what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64
from pw_core.refine.targets.types import Frames, TargetFrames, TargetRequest, view_names

BLACK = 12
"""A picture whose 99th percentile of brightness is at most this is black: a lens cap, noise included."""


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


def check_request(request: TargetRequest) -> None:
    """RefineError for a request whose parts do not fit together."""
    views = view_names(request.cameras)
    times = check_times(request.times, what="the trajectory's times")
    frames = request.frames
    if not views:
        raise RefineError("a request needs one view or more", code=ErrorCode.INVALID_TARGET)
    for view, c in zip(views, request.cameras):
        if not (np.isfinite(c.K).all() and np.isfinite(c.viewmat).all()):
            raise RefineError(f"{view}: the camera's K or viewmat holds NaN", code=ErrorCode.INVALID_TARGET)
    v, t = len(views), len(times)
    h, w = frames.shape[2:4] if isinstance(frames, np.ndarray) and frames.ndim == 5 else (0, 0)
    check_shape("predicted frames", frames, (v, t, h, w, 3), np.uint8)
    check_shape("flow", request.flow, (v, t - 1, h, w, 2), np.float32)
    check_shape("predicted masks", request.masks, (v, t, h, w), np.int32)
    if request.first_frames is not None:
        check_shape("first frames", request.first_frames, (v, h, w, 3), np.uint8)
    for i, view in enumerate(views):
        c = request.cameras[i]
        if (c.height, c.width) != (h, w):
            raise RefineError(
                f"{view}: the camera has {c.width} x {c.height} px, its predicted frames {w} x {h} px",
                code=ErrorCode.INVALID_TARGET,
            )
        bad = np.flatnonzero(~np.isfinite(request.flow[i]).all((1, 2, 3)))
        if len(bad):
            raise RefineError(f"{view}, frame {bad[0]}: the flow holds NaN", code=ErrorCode.INVALID_TARGET)
    if request.masks.min(initial=0) < 0:
        raise RefineError(
            f"predicted masks: found {request.masks.min()}, expected entity id + 1, or 0", code=ErrorCode.INVALID_TARGET
        )
    check_strengths(request.strengths, views=views)


def check_targets(targets: TargetFrames, request: TargetRequest, *, source: str) -> None:
    """RefineError (INVALID_TARGET) for targets that are not of the request's shape, black, or with bad masks."""
    views = view_names(request.cameras)
    shape = request.shape
    if not isinstance(targets, TargetFrames):
        raise RefineError(
            f"{source}: gave a {type(targets).__name__}, expected TargetFrames", code=ErrorCode.INVALID_TARGET
        )
    check_shape(f"{source}: frames", targets.frames, (*shape, 3), np.uint8)
    check_shape(f"{source}: valid", targets.valid, shape, np.bool_)
    for i, view in enumerate(views):
        for k in range(shape[1]):
            check_not_black(targets.frames[i, k], targets.valid[i, k], what=f"{source}: {view}, frame {k}")
    if not targets.valid.any():
        raise RefineError(f"{source}: no pixel of any frame was observed", code=ErrorCode.INVALID_TARGET)
    if targets.masks is not None:
        check_shape(f"{source}: masks", targets.masks, shape, np.int32)
        check_masks(targets.masks, request, source=source)


def check_masks(masks: NDArray[np.int32], request: TargetRequest, *, source: str) -> None:
    """Masks (V, T, H, W) with no value but -1, 0 and those of the prediction, or RefineError (INVALID_TARGET)."""
    known = {-1, 0, *np.unique(request.masks).tolist()}
    for i, view in enumerate(view_names(request.cameras)):
        for k in range(masks.shape[1]):
            strange = set(np.unique(masks[i, k]).tolist()) - known
            if strange:
                raise RefineError(
                    f"{source}: {view}, frame {k}: masks hold {sorted(strange)}, expected only {sorted(known)} (-1 not "
                    "certain, 0 background, else entity id + 1)",
                    code=ErrorCode.INVALID_TARGET,
                )
        if (masks[i] == -1).all():
            raise RefineError(f"{source}: {view}: no pixel of the masks is certain", code=ErrorCode.INVALID_TARGET)


def check_not_black(frame: Frames, valid: NDArray[np.bool_], *, what: str) -> None:
    """RefineError (INVALID_TARGET) where all that was observed of a picture (H, W, 3) is black."""
    if valid.any() and np.percentile(frame[valid].max(-1), 99) <= BLACK:
        raise RefineError(
            f"{what}: all black (99 of 100 pixels are at most {BLACK} of 255), expected a lit picture",
            code=ErrorCode.INVALID_TARGET,
        )


def as_frames(pictures: ArrayLike, *, what: str) -> Frames:
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
