"""NumPy pictures to and from `sensor_msgs` images; for the camera encodings that are not in `ENCODINGS`, see
`pw_ros.convert.cv_bridge_images`.

Pure functions. Colour pictures are `uint8, shape (H, W, 3)` in RGB order (4 channels with alpha), grey ones
`uint8` or `uint16, shape (H, W)`, depth `float32, shape (H, W)` in metres along the optical axis, NaN where unknown.

Message data are assigned as `array.array('B')`: the setter of rclpy copies that as one block, while any other sequence
of bytes is checked element by element (0.1 s for a megapixel).
"""

from __future__ import annotations

import array
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from pw_core.errors import ImageError
from pw_core.media.errors import MediaError
from pw_core.media.pictures import Picture, PictureOptions, decode_picture
from pw_core.media.raw import ENCODINGS, is_known, raw_pixels
from pw_ros.convert.cv_bridge_images import decode

MAX_PIXELS = 10_000 * 10_000
"""Larger pictures are refused before anything is allocated for them."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"


def bytes_to_array(data: bytes | bytearray | memoryview | NDArray[np.generic]) -> array.array[int]:
    """The bytes of `data` as the `array.array('B')` that message setters take without looking at each element."""
    result = array.array("B")
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).data.cast("B") if data.size else b""
    result.frombytes(data)
    return result


def image_to_numpy(message: Image) -> NDArray[np.generic]:
    """The picture in a raw image message: RGB(A) order, native byte order, rows without padding.

    Returns `uint8 (H, W, 3)`, `uint8 (H, W, 4)` (RGBA), `uint8 (H, W)`, `uint16 (H, W)` or `float32 (H, W)`, as the
    encoding says; always a copy that may be written to. YUV and Bayer patterns come as RGB, and encodings that are
    not known here too where cv_bridge is usable.

    Raises:
        ImageError: an unknown encoding, a `step` shorter than a row, data shorter than `step * height`, no pixels,
            or too many.
    """
    height, width = int(message.height), int(message.width)
    if height == 0 or width == 0:
        raise ImageError(f"the image has no pixels: width {width}, height {height}")
    if height * width > MAX_PIXELS:
        raise ImageError(f"the image is too large: {width} x {height}; at most {MAX_PIXELS:,} pixels are taken")
    if not is_known(message.encoding):
        return decode(message)
    try:
        return raw_pixels(encoding=message.encoding, width=width, height=height, step=int(message.step),
                          big_endian=bool(message.is_bigendian), data=message.data)  # fmt: skip
    except MediaError as error:
        raise ImageError(str(error)) from None


def numpy_to_image(
    pixels: NDArray[np.generic],
    *,
    encoding: str | None = None,
    frame_id: str = "",
    stamp: object | None = None,
) -> Image:
    """A raw image message, little-endian, rows without padding.

    Args:
        pixels: RGB(A) `uint8 (H, W, 3 or 4)`, or grey or depth of shape (H, W).
        encoding: one of `ENCODINGS`; by default rgb8, rgba8, mono8, 16UC1 or 32FC1, as dtype and shape say.
        frame_id: the camera's optical frame.
        stamp: a `builtin_interfaces/Time`.

    Raises:
        ImageError: dtype or shape do not fit the encoding, or no encoding fits them.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise ImageError(f"a picture has shape (H, W) or (H, W, C) and pixels, not {pixels.shape}")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if encoding is None:
        defaults = {("u1", 3): "rgb8", ("u1", 4): "rgba8", ("u1", 1): "mono8", ("u2", 1): "16UC1", ("f4", 1): "32FC1"}
        encoding = defaults.get((pixels.dtype.str[1:], channels))
        if encoding is None:
            raise ImageError(
                f"no encoding for {channels} channels of {pixels.dtype}; use uint8 with 1, 3 or 4 channels, "
                "or uint16 or float32 with one"
            )
    wanted = ENCODINGS.get(encoding)
    if wanted is None:
        raise ImageError(f"image encoding '{encoding}' is not known; use one of {', '.join(ENCODINGS)}")
    if channels != wanted.channels or pixels.dtype.newbyteorder("=") != np.dtype(wanted.dtype):
        raise ImageError(
            f"{encoding} holds {wanted.channels} channels of {np.dtype(wanted.dtype)}, not {channels} of {pixels.dtype}"
        )
    if wanted.bgr:
        pixels = pixels[..., [2, 1, 0, 3][:channels]]
    message = Image()
    message.header.frame_id = frame_id
    if stamp is not None:
        message.header.stamp = stamp
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels.shape[1] * channels * pixels.dtype.itemsize
    message.data = bytes_to_array(np.ascontiguousarray(pixels, dtype=np.dtype(wanted.dtype).newbyteorder("<")))
    return message


def to_rgb8(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Any colour or grey picture as `uint8, shape (H, W, 3)`: alpha is dropped, grey is repeated, 16 bits are scaled.

    Raises:
        ImageError: floating point (a depth image is no photo) or a shape that is no picture.
    """
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels.astype(np.float32) / 257.0).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f"a photo has 8 or 16 bits a channel, not {pixels.dtype}; depth goes into the field for depth")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.ascontiguousarray(pixels[..., :3])
    raise ImageError(f"a photo has shape (H, W), (H, W, 3) or (H, W, 4), not {pixels.shape}")


def depth_to_metres(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """A depth picture in metres, by REP 118: uint16 is millimetres, 0 and 65535 unknown, floats metres. Unknown: NaN.

    Raises:
        ImageError: another type or shape.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint16, np.float32, np.float64):
        raise ImageError(f"depth is 16UC1 [mm] or 32FC1 [m], not {pixels.dtype} of shape {pixels.shape}")
    if pixels.dtype == np.uint16:
        depth = pixels.astype(np.float32) * np.float32(1e-3)
        depth[pixels == np.iinfo(np.uint16).max] = np.nan  # what many cameras send for nothing
    else:
        depth = pixels.astype(np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def metres_to_millimetres(depth: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Depth in metres as 16 bit millimetres: unknown and beyond 65.535 m are 0."""
    known = np.isfinite(depth) & (depth > 0) & (depth < 65.5355)
    return np.where(known, np.round(np.where(known, depth, 0.0) * 1000.0), 0).astype(np.uint16)


def numpy_to_compressed(
    pixels: NDArray[np.generic],
    *,
    format: str = "jpeg",
    quality: int = 90,
    frame_id: str = "",
    stamp: object | None = None,
) -> CompressedImage:
    """A compressed image message from RGB(A) or grey pixels; 16 bit and depth (uint16 mm) as png only.

    Args:
        pixels: `uint8 (H, W)`, `(H, W, 3)` RGB, `(H, W, 4)` RGBA (png only), or `uint16 (H, W)` (png only).
        format: jpeg or png.
        quality: of jpeg, 1 to 100.
        frame_id: the camera's optical frame.
        stamp: a `builtin_interfaces/Time`.

    Raises:
        ImageError: a type that the format cannot hold.
    """
    import cv2

    pixels = np.asarray(pixels)
    if format not in ("jpeg", "png"):
        raise ImageError(f"image format '{format}' is not known; use jpeg or png")
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or pixels.size == 0:
        raise ImageError(f"a picture has shape (H, W), (H, W, 3) or (H, W, 4) and pixels, not {pixels.shape}")
    if pixels.dtype != np.uint8 and not (pixels.dtype == np.uint16 and channels == 1):
        raise ImageError(f"only uint8, or uint16 with one channel, can be compressed, not {pixels.dtype}")
    if format == "jpeg" and (pixels.dtype != np.uint8 or channels == 4):
        raise ImageError("jpeg has 8 bits and no alpha; use png")
    if channels >= 3:
        pixels = pixels[..., [2, 1, 0, 3][:channels]]
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if format == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, encoded = cv2.imencode(".jpg" if format == "jpeg" else ".png", np.ascontiguousarray(pixels), options)
    if not done:
        raise ImageError(f"OpenCV could not encode a picture of shape {pixels.shape} as {format}")
    message = CompressedImage()
    message.header.frame_id = frame_id
    if stamp is not None:
        message.header.stamp = stamp
    # The names image_transport uses: what the pixels were, and what they are in the compressed stream.
    encoding = {1: "mono8", 3: "rgb8", 4: "rgba8"}[channels] if pixels.dtype == np.uint8 else "16UC1"
    inner = {"rgb8": "bgr8", "rgba8": "bgra8"}.get(encoding, encoding)
    message.format = f"{encoding}; {format} compressed {inner}" if encoding != "16UC1" else "16UC1; png compressed "
    message.data = bytes_to_array(encoded)
    return message


def compressed_to_numpy(message: CompressedImage) -> NDArray[np.generic]:
    """The picture in a compressed message, RGB(A) order: `uint8` or `uint16` with 1, 3 or 4 channels.

    The bytes decide about jpeg or png, not the format field, which drivers fill in many ways. image_transport's
    `compressedDepth` (behind a header of its own) is read where it is a png: 16UC1 in millimetres, 32FC1 in metres.

    Raises:
        ImageError: empty, truncated, too large, or neither jpeg nor png.
    """
    import cv2

    data, head = bytes(message.data), b""
    if "compressedDepth" in message.format:
        if data[12 : 12 + len(PNG_SIGNATURE)] != PNG_SIGNATURE:
            raise ImageError(f"of compressedDepth only png is read, not '{message.format}'; send raw depth")
        head, data = data[:12], data[12:]
    if data.startswith(JPEG_SIGNATURE):
        data = data.rstrip(b"\0")  # drivers send whole buffers
    if not data:
        raise ImageError("the compressed image is empty")
    width, height = compressed_size(data)
    if width == 0 or height == 0 or width * height > MAX_PIXELS:
        raise ImageError(f"the image has an impossible size, {width} x {height}: at most {MAX_PIXELS:,} pixels go")
    if data.startswith(JPEG_SIGNATURE) and b"\xff\xd9" not in data[-64:]:
        raise ImageError(f"the jpeg is cut off: {len(data)} bytes and no end marker")
    if data.startswith(PNG_SIGNATURE) and b"IEND" not in data[-64:]:
        raise ImageError(f"the png is cut off: {len(data)} bytes and no end chunk")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(f"the compressed image is damaged: {len(data)} bytes that OpenCV cannot decode")
    if head and "32FC1" in message.format:
        return _metres_of_inverse(pixels, head)
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    return pixels


def _metres_of_inverse(pixels: NDArray[np.generic], head: bytes) -> NDArray[np.float32]:
    """image_transport's 32FC1: whole numbers q of inverse depth, metres = a / (q - b), 0 unknown (NaN)."""
    a, b = struct.unpack("<ff", head[4:12])
    if not (a > 0 and np.isfinite(b)) or pixels.dtype != np.uint16:
        raise ImageError(f"compressedDepth of 32FC1: its header says a = {a:g}, b = {b:g}, which no depth has")
    q = pixels.astype(np.float32)
    with np.errstate(divide="ignore"):
        return np.where((q > 0) & (q > b), np.float32(a) / (q - np.float32(b)), np.nan).astype(np.float32)


def compressed_size(data: bytes) -> tuple[int, int]:
    """Width and height [px] from the head of a png or jpeg, so that a huge one is refused before it is decoded.

    Raises:
        ImageError: neither png nor jpeg, or cut off before the size.
    """
    if data.startswith(PNG_SIGNATURE) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(JPEG_SIGNATURE):
        at = 2
        while at + 9 <= len(data):
            if data[at] != 0xFF:
                break
            marker = data[at + 1]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start-of-frame segment
                return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
            at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        raise ImageError(f"the jpeg is cut off or damaged: no size in its {len(data)} bytes")
    raise ImageError(f"the compressed image is neither jpeg nor png: it begins with {data[:8].hex(' ') or 'nothing'}")


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
