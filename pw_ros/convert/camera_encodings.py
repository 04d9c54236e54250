"""Raw pictures as camera drivers publish them, YUV and Bayer patterns, by OpenCV."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from pw_ros.convert.encodings import ImageError


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


def decode_camera(message: Image) -> NDArray[np.generic]:
    """RGB of 8 or, from a Bayer pattern of 16 bits, 16 bits, (H, W, 3).

    Raises:
        ImageError: the data are too short, or an odd size where pixels come in pairs.
    """
    import cv2

    encoding = CAMERA_ENCODINGS[message.encoding.lower()]
    height, width, step = int(message.height), int(message.width), int(message.step)
    rows, row = height * encoding.half_rows // 2, width * encoding.pixel_bytes
    bayer = encoding.conversion.startswith("COLOR_Bayer")
    if width % 2 or (height % 2 and (bayer or encoding.half_rows == 3)):
        raise ImageError(f"{message.encoding} comes in pairs of pixels: a picture of {width} x {height} cannot be")
    flat = np.frombuffer(message.data, dtype=np.uint8)
    if step < row:
        raise ImageError(f"step {step} is shorter than a row: {width} pixels of {message.encoding} take {row} bytes")
    if flat.size < step * (rows - 1) + row:
        text = f"{flat.size} bytes, but {rows} rows of step {step} need {step * rows}"
        raise ImageError(f"the image's data are too short: {text}")
    padded = np.lib.stride_tricks.as_strided(flat, shape=(rows, row), strides=(step, 1), writeable=False)
    pixels = np.ascontiguousarray(padded)
    if bayer and encoding.pixel_bytes == 2:
        order = ">u2" if message.is_bigendian else "<u2"
        pixels = pixels.view(order).astype(np.uint16)
    elif encoding.pixel_bytes == 2:
        pixels = pixels.reshape(rows, width, 2)
    try:
        return np.asarray(cv2.cvtColor(pixels, getattr(cv2, encoding.conversion)))
    except cv2.error as error:
        raise ImageError(f"OpenCV cannot convert {message.encoding} of {width} x {height}: {error}") from None
