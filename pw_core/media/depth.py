"""Depth as cameras and files give it, in metres, with what is unknown as 0."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.limits import LIMITS, Limits
from pw_core.media.errors import MediaError
from pw_core.media.pictures import check_pixels, check_whole, read_bytes

ENDINGS = (".png", ".tif", ".tiff", ".exr", ".npy", ".pgm")
"""Of files that hold depth."""


_EXR = b"v/1\x01"


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """What the numbers of a depth picture mean."""

    integer_unit_m: float = 1e-3
    """Of a whole number, unless a scale is given: millimetres, as REP 118 and most cameras have it."""
    farthest_m: float = 1000.0
    """No camera measures beyond: larger numbers stand for nothing, as inf does."""


def metres(
    depth: NDArray[np.generic], *, what: str = "depth", scale: float = 0.0, options: DepthOptions = DepthOptions()
) -> NDArray[np.float32]:
    """Depth [m], float32 (H, W), 0 where unknown: 0, negative, NaN, infinite, and the largest number of the type.

    Args:
        depth: whole numbers of 16 or 32 bits, or floats in metres; (H, W) or (H, W, 1), any byte order.
        scale: [m] of a whole number's unit, or of a float's; 0: millimetres, and metres.

    Raises:
        MediaError: another type or shape, no value in it, or a scale that is none.
    """
    d = np.asarray(depth)
    if d.ndim == 3 and d.shape[2] == 1:
        d = d[..., 0]
    whole = d.dtype.kind in "iu" and d.dtype.itemsize in (2, 4)
    if d.ndim != 2 or not (whole or d.dtype.kind == "f"):
        raise MediaError(f"{what}: expected (H, W) of 16 bit integers [mm] or floats [m], found {d.shape} {d.dtype}"
                         + (": a picture of depth is no depth" if d.dtype == np.uint8 else ""))  # fmt: skip
    if not (np.isfinite(scale) and scale >= 0):
        raise MediaError(f"depth_scale: found {scale}, expected metres a unit, above 0")
    unit = scale or (options.integer_unit_m if whole else 1.0)
    known = d > 0
    if whole:
        known &= d < np.iinfo(d.dtype).max
    with np.errstate(over="ignore", invalid="ignore"):
        out = d.astype(np.float32) * np.float32(unit)
        out = np.where(known & np.isfinite(out) & (out < options.farthest_m), out, 0).astype(np.float32)
    if not out.any():
        raise MediaError(f"{what}: no pixel has a depth above 0")
    return out


def read_depth(path: Path, *, scale: float = 0.0, limits: Limits = LIMITS) -> NDArray[np.float32]:
    """A depth file, PNG, TIFF, EXR or NumPy, as `metres` gives it.

    Raises:
        MediaError: not there, no depth file, too large, or `metres`'s.
    """
    data = read_bytes(path, limits=limits)
    if path.suffix.lower() == ".npy":
        return metres(_array(data, path, limits), what=str(path), scale=scale)
    if data.startswith(_EXR):
        return metres(_exr(path, limits), what=str(path), scale=scale)
    import cv2

    check_whole(data, what=str(path))
    _check_size(data, path, limits)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise MediaError(f"{path}: not a depth file: {error}") from None
    if found is None:
        raise MediaError(f"{path} ({len(data)} bytes) is cut off, damaged or no depth picture that OpenCV reads")
    return metres(found, what=str(path), scale=scale)


def _array(data: bytes, path: Path, limits: Limits) -> NDArray[np.generic]:
    try:
        with io.BytesIO(data) as file:
            version = np.lib.format.read_magic(file)
            head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape = head(file)[0]
        if len(shape) not in (2, 3) or int(np.prod([int(n) for n in shape], dtype=object)) > limits.picture_pixels:
            raise MediaError(f"{path}: found an array of shape {shape}, expected (H, W)")
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except MediaError:
        raise
    except Exception as error:  # a broken header is evaluated as Python's literals
        raise MediaError(f"{path} ({len(data)} bytes): no whole NumPy file: {type(error).__name__}: {error}") from None


def _exr(path: Path, limits: Limits) -> NDArray[np.generic]:
    """The channel of an OpenEXR file that holds depth: the only one, or the first of Z, Y, depth, R."""
    import OpenEXR

    size = path.stat().st_size
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            box = file.header()["dataWindow"]
            width, height = (int(b) - int(a) + 1 for a, b in zip(box[0], box[1]))
        check_pixels(width, height, what=str(path), limits=limits)
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except MediaError:
        raise
    except Exception as error:  # the library's errors are plain ones
        raise MediaError(f"{path} ({size} bytes) is cut off, damaged or no OpenEXR file: {error}") from None
    names = [n for n in ("Z", "Y", "depth", "R") if n in channels] or (list(channels) if len(channels) == 1 else [])
    if not names:
        raise MediaError(f"{path}: holds the channels {', '.join(channels) or 'none'}, expected one of depth")
    return channels[names[0]]


def _check_size(data: bytes, path: Path, limits: Limits) -> None:
    """From the head, before anything is unpacked."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF", "PPM")) as opened:
            check_pixels(*opened.size, what=str(path), limits=limits)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: {error}") from None
    except Exception:  # what OpenCV is left to judge
        if data[:4] not in (b"II*\0", b"MM\0*"):
            raise MediaError(f"{path} ({len(data)} bytes): not a PNG, TIFF, EXR or NumPy file") from None
