"""Colour pictures of messages, raw or compressed, with which of their pixels show something: pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from pw_core.media.errors import MediaError
from pw_core.media.pictures import Picture, PictureOptions, decode_picture
from pw_ros.convert.encodings import ImageError
from pw_ros.convert.images import (
    JPEG_SIGNATURE,
    MAX_PIXELS,
    PNG_SIGNATURE,
    compressed_size,
    image_to_numpy,
    to_rgb8,
)


def message_to_picture(message: Image | CompressedImage, *, options: PictureOptions = PictureOptions()) -> Picture:
    """The picture of a message, by the decoder that photo files go through where it is compressed.

    Raises:
        ImageError: no colour picture, cut off, or too large.
    """
    if isinstance(message, CompressedImage):
        return compressed_to_picture(message)
    pixels: Any = image_to_numpy(message)
    rgb, valid = to_rgb8(pixels), None
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3] if pixels.dtype == np.uint8 else pixels[..., 3] >> 8
        valid = alpha >= options.seen_alpha
        # Drivers of bgra8 leave it at 0 everywhere: then it says nothing.
        valid = None if valid.all() or not valid.any() else valid
        if valid is not None:
            rgb[~valid] = options.unseen_level
    return Picture(rgb, valid)


def compressed_to_picture(message: CompressedImage) -> Picture:
    """As `decode_picture`, of the bytes alone: drivers fill the format field in many ways, and pad buffers with zeros.

    Raises:
        ImageError: empty, cut off, too large, or depth.
    """
    if "compressedDepth" in message.format:
        raise ImageError(f"'{message.format}' is depth, and no picture")
    data = bytes(message.data)
    if not data:
        raise ImageError("the compressed image is empty")
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        width, height = compressed_size(data)
        if not 0 < width * height <= MAX_PIXELS:
            raise ImageError(f"the image has an impossible size, {width} x {height}: at most {MAX_PIXELS:,} pixels go")
    try:
        return decode_picture(data, what="the compressed image")
    except MediaError as error:
        raise ImageError(str(error)) from None
