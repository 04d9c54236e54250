"""Raw pictures as camera drivers publish them: packed colours, grey, depth, YUV and Bayer patterns, in plain bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pw_core.media.errors import MediaError


class Encoding(NamedTuple):
    """What an encoding's name says about its bytes."""

    dtype: str
    channels: int
    bgr: bool = False


ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding("u1", 3),
    "bgr8": Encoding("u1", 3, bgr=True),
    "rgba8": Encoding("u1", 4),
    "bgra8": Encoding("u1", 4, bgr=True),
    "mono8": Encoding("u1", 1),
    "8UC1": Encoding("u1", 1),
    "8UC3": Encoding("u1", 3, bgr=True),  # OpenCV's order, by convention
    "8UC4": Encoding("u1", 4, bgr=True),
    "rgb16": Encoding("u2", 3),
    "bgr16": Encoding("u2", 3, bgr=True),
    "rgba16": Encoding("u2", 4),
    "bgra16": Encoding("u2", 4, bgr=True),
    "mono16": Encoding("u2", 1),
    "16UC1": Encoding("u2", 1),
    "32FC1": Encoding("f4", 1),
    "64FC1": Encoding("f8", 1),
}


class CameraEncoding(NamedTuple):
    """OpenCV's conversion to RGB by its name; bytes of a row's pixel; rows of the data for each two of the picture."""

    conversion: str
    pixel_bytes: int = 1
    half_rows: int = 2


CAMERA_ENCODINGS: dict[str, CameraEncoding] = {
    "yuv422": CameraEncoding("COLOR_YUV2RGB_UYVY", 2), "uyvy": CameraEncoding("COLOR_YUV2RGB_UYVY", 2),
    "yuv422_yuy2": CameraEncoding("COLOR_YUV2RGB_YUY2", 2), "yuyv": CameraEncoding("COLOR_YUV2RGB_YUY2", 2),
    "nv12": CameraEncoding("COLOR_YUV2RGB_NV12", half_rows=3),
    "nv21": CameraEncoding("COLOR_YUV2RGB_NV21", half_rows=3),
    **{f"bayer_{p}{bits}": CameraEncoding(f"COLOR_Bayer{p.upper()}2RGB", bits // 8)
       for p in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)},
}  # fmt: skip
"""Of sensor_msgs/image_encodings, those that need more than reordering."""


def is_known(encoding: str) -> bool:
    """Whether `raw_pixels` reads it."""
    return encoding in ENCODINGS or encoding.lower() in CAMERA_ENCODINGS


def raw_pixels(
    *, encoding: str, width: int, height: int, step: int, big_endian: bool, data: Any
) -> NDArray[np.generic]:
    """The picture in the bytes `data` of rows of `step` bytes: RGB(A) order, native byte order, rows without padding.

    Returns uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4), or floats (H, W), as the encoding says; YUV comes as RGB of
    8 bits, a Bayer pattern as RGB of its bits; always a copy that may be written to.

    Raises:
        MediaError: an unknown encoding, a `step` shorter than a row, or too few bytes.
    """
    flat = np.frombuffer(data, dtype=np.uint8)
    if encoding.lower() in CAMERA_ENCODINGS:
        return _by_opencv(encoding, width, height, step, big_endian, flat)
    if encoding not in ENCODINGS:
        raise MediaError(f"image encoding '{encoding}' is not known; use one of {', '.join(ENCODINGS)}")
    known = ENCODINGS[encoding]
    dtype = np.dtype(known.dtype).newbyteorder(">" if big_endian else "<")
    row = width * known.channels * dtype.itemsize
    pixels = _rows(flat, row, height, step, f"{width} pixels of {encoding}").view(dtype)
    if known.channels > 1:
        pixels = pixels.reshape(height, width, known.channels)
    if known.bgr:
        pixels = pixels[..., [2, 1, 0, 3][: known.channels]]
    # The rows are a view of the message when they are not padded: copy, so that nobody writes into it.
    return np.array(pixels, dtype=dtype.newbyteorder("="), order="C", copy=True)


def _rows(flat: NDArray[np.uint8], row: int, height: int, step: int, what: str) -> NDArray[Any]:
    """`height` rows of `row` bytes, which lie `step` bytes apart."""
    if step < row:
        raise MediaError(
            f"step {step} is shorter than a row: {what} take {row} bytes; set step to {row}, or more for padded rows"
        )
    # The padding of the last row is often left out by drivers: only what is read has to be there.
    if flat.size < step * (height - 1) + row:
        raise MediaError(
            f"the image's data are too short: {flat.size} bytes, but {height} rows of step {step} need {step * height}"
        )
    rows = np.lib.stride_tricks.as_strided(flat, shape=(height, row), strides=(step, 1), writeable=False)
    return np.ascontiguousarray(rows)


def _by_opencv(
    encoding: str, width: int, height: int, step: int, big_endian: bool, flat: NDArray[np.uint8]
) -> NDArray[np.generic]:
    import cv2

    known = CAMERA_ENCODINGS[encoding.lower()]
    bayer = known.conversion.startswith("COLOR_Bayer")
    if width % 2 or (height % 2 and (bayer or known.half_rows == 3)):
        raise MediaError(f"{encoding} comes in pairs of pixels: a picture of {width} x {height} cannot be")
    rows = height * known.half_rows // 2
    pixels = _rows(flat, width * known.pixel_bytes, rows, step, f"{width} pixels of {encoding}")
    if bayer and known.pixel_bytes == 2:
        pixels = pixels.view(">u2" if big_endian else "<u2").astype(np.uint16)
    elif known.pixel_bytes == 2:
        pixels = pixels.reshape(rows, width, 2)
    try:
        return np.asarray(cv2.cvtColor(pixels, getattr(cv2, known.conversion)))
    except cv2.error as error:
        raise MediaError(f"OpenCV cannot convert {encoding} of {width} x {height}: {error}") from None
