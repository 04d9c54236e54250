"""The frames that a refine goal brings along, as films."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time

from pw_core.errors import ErrorCode, ImageError, PWError
from pw_core.gaussians import Camera
from pw_core.media.pictures import Picture
from pw_core.refine.targets.footage import unseen_where_dark
from pw_msgs.msg import TargetFrame
from pw_ros.convert.images import image_to_numpy, message_to_picture
from pw_ros.convert.refine import nanoseconds_of
from pw_ros.worker.requests import Film


def sources_of(request: Any) -> list[str]:
    """The fields of a goal that name observed frames; who names some means the provider `observed`."""
    return [n for n in ("frames", "frames_uri", "record_id") if getattr(request, n)]


def frames_to_films(frames: list[TargetFrame], views: Sequence[Camera | str], origin: Time) -> list[Film]:
    """One for each camera: views first, in their order, then others of the scene by name. Stamps
    [s] are from `origin`; zero: from the earliest frame. Views by name may have films of another size than the camera.

    Raises:
        PWError: INVALID_TARGET for what is no picture; TARGET_CAMERA_UNKNOWN for a view without frames.
    """
    if not frames:
        return []
    ticks = [nanoseconds_of(f.stamp) for f in frames]
    zero = nanoseconds_of(origin) or min(ticks)
    known = {v if isinstance(v, str) else v.name: v for v in views}
    rows: dict[str, list[int]] = {name: [] for name in known}
    for k, frame in enumerate(frames):
        rows.setdefault(frame.camera, []).append(k)
    films = []
    for name, own in rows.items():
        what = f"frames of camera '{name}'"
        if not own:
            raise PWError(f"{what}: found none, expected some", code=ErrorCode.TARGET_CAMERA_UNKNOWN)
        pictures = [_picture(frames[k], f"frames[{k}]") for k in own]
        _same_size([p.rgb for p in pictures], what)
        valid = None
        if any(frames[k].mask.data for k in own) or any(p.valid is not None for p in pictures):
            masks = [_mask(frames[k], p, f"frames[{k}]") for k, p in zip(own, pictures, strict=True)]
            valid = np.stack(masks)
        shown = np.stack([p.rgb for p in pictures])
        valid, _ = unseen_where_dark(shown, valid)
        stamps = np.array([(ticks[k] - zero) * 1e-9 for k in own])
        films.append(Film(known.get(name, name), stamps, shown, valid))
    return films


def _picture(frame: TargetFrame, what: str) -> Picture:
    raw, packed = bool(frame.image.data), bool(frame.compressed.data)
    if raw == packed:
        found = "both" if raw else "neither"
        text = f"{what}: found {found} of image and compressed, expected one"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    try:
        return message_to_picture(frame.image if raw else frame.compressed)
    except ImageError as error:
        raise PWError(f"{what}: {error}", code=ErrorCode.INVALID_TARGET) from None


def _mask(frame: TargetFrame, picture: Picture, what: str) -> Any:
    size = picture.rgb.shape[:2]
    shown = np.ones(size, np.bool_) if picture.valid is None else picture.valid
    if not frame.mask.data:
        return shown
    try:
        mask = image_to_numpy(frame.mask)
    except ImageError as error:
        raise PWError(f"{what}.mask: {error}", code=ErrorCode.INVALID_TARGET) from None
    if mask.dtype != np.uint8 or mask.shape != size:
        text = f"{what}.mask: found {mask.dtype} {mask.shape}, expected mono8 of shape {size}"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    return mask.astype(np.bool_) & shown


def _same_size(pictures: list[Any], what: str) -> None:
    sizes = sorted({p.shape[:2] for p in pictures})
    if len(sizes) > 1:
        text = f"{what}: found sizes (height, width) {sizes}, expected one"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
