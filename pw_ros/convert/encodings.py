"""The encodings of `sensor_msgs/Image` that are read here, and the error of pictures that cannot be."""

from __future__ import annotations

from typing import NamedTuple

from pw_core.errors import ErrorCode, PWError


class ImageError(PWError, ValueError):
    """A picture that cannot be read or written; the message says what was wrong and what would be right."""

    default_code = ErrorCode.INVALID_IMAGE


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
