"""15, 16, 20: what camera drivers publish. Needs ROS messages."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Photo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from pw_ros.convert.cameras import camera_info_to_intrinsics, undistort
from pw_ros.convert.images import (
    bytes_to_array,
    compressed_to_numpy,
    depth_to_metres,
    image_to_numpy,
    message_to_picture,
)
from support.cases.photos import near, photo
from support.cases.verdict import Verdict, judged

WIDTH, HEIGHT = 160, 96


def raw(encoding: str, data: np.ndarray, step: int, *, big: int = 0) -> Image:
    """A raw message of the size of `photo`."""
    message = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=step, is_bigendian=big)
    message.data = bytes_to_array(np.ascontiguousarray(data))
    return message


def packed(format: str, data: bytes) -> CompressedImage:
    """A compressed message."""
    message = CompressedImage(format=format)
    message.data = bytes_to_array(data)
    return message


def encodings(folder: Path) -> Iterator[Verdict]:
    """15: raw encodings, padded and stripped JPEG, compressed depth."""
    picture = photo()
    planar = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    u, v = (planar[HEIGHT + k * HEIGHT // 4 : HEIGHT + (k + 1) * HEIGHT // 4].ravel() for k in range(2))
    chroma = np.stack([u, v], -1).reshape(HEIGHT // 2, WIDTH).repeat(2, axis=0)  # u v u v ...
    yuyv, uyvy = np.stack([planar[:HEIGHT], chroma], -1), np.stack([chroma, planar[:HEIGHT]], -1)
    mosaic = picture[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = picture[::2, ::2, 0], picture[1::2, 1::2, 2]
    padded = np.pad(picture.reshape(HEIGHT, -1), ((0, 0), (0, 64)))
    messages: dict[str, Image | CompressedImage] = {
        **{e: raw(e, yuyv, 2 * WIDTH) for e in ("yuv422_yuy2", "yuyv")},
        **{e: raw(e, uyvy, 2 * WIDTH) for e in ("yuv422", "uyvy")},
        "nv12": raw("nv12", np.vstack([planar[:HEIGHT], np.stack([u, v], -1).reshape(-1, WIDTH)]), WIDTH),
        "bayer_rggb8": raw("bayer_rggb8", mosaic, WIDTH),
        "bayer_rggb16": raw("bayer_rggb16", mosaic.astype("<u2") * 257, 2 * WIDTH),
        "rgb16": raw("rgb16", picture.astype("<u2") * 257, 6 * WIDTH),
        "bgra8": raw("bgra8", np.dstack([picture[..., ::-1], np.full((HEIGHT, WIDTH), 255, np.uint8)]), 4 * WIDTH),
        "rgb8 with padded rows": raw("rgb8", padded, 3 * WIDTH + 64),
    }  # fmt: skip
    jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    messages |= {f"jpeg and {n} zeros": packed("jpeg", jpeg + b"\0" * n) for n in (0, 3, 64, 4096)}
    messages["jpeg without Huffman tables"] = packed("jpeg", _without_tables(jpeg))
    for ending in ("webp", "tiff", "bmp"):
        messages[ending] = packed(ending, cv2.imencode(f".{ending}", picture[..., ::-1])[1].tobytes())
    tag, out = Photo.Exif(), io.BytesIO()
    tag[0x112] = 3
    Photo.fromarray(picture[::-1, ::-1]).save(out, "JPEG", exif=tag, quality=95)
    messages["jpeg turned by EXIF"] = packed("jpeg", out.getvalue())
    for name, message in messages.items():
        yield judged(name, lambda m=message: message_to_picture(m).rgb, lambda p: near(p, picture, by=6))
    for name, data in (("jpeg without its end", jpeg[:-2]), ("jpeg cut in half", jpeg[: len(jpeg) // 2])):
        yield judged(name, lambda d=data: message_to_picture(packed("jpeg", d)).rgb, lambda p: near(p, picture, by=6),
                     may_refuse=True)  # fmt: skip
    yield from _depth()


def _without_tables(data: bytes) -> bytes:
    out, at = bytearray(data[:2]), 2
    while data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            out += data[at : at + 2 + length]
        if data[at + 1] == 0xDA:
            return bytes(out + data[at + 2 + length :])
        at += 2 + length
    return bytes(out)


def _depth() -> Iterator[Verdict]:
    whole = np.full((HEIGHT, WIDTH), 700, "<u2")
    whole[:20], whole[20:40] = 0, 65535
    floats = np.full((HEIGHT, WIDTH), 0.7, "<f4")
    floats[:20], floats[20:30], floats[30:40] = np.nan, np.inf, -1
    png = cv2.imencode(".png", whole)[1].tobytes()
    inverse = np.where(np.isfinite(floats) & (floats > 0), 10000 / np.abs(floats) + 10, 0).astype(np.uint16)
    head = b"\0\0\0\0" + np.array([10000, 10], "<f4").tobytes()
    quantised = packed("32FC1; compressedDepth png", head + cv2.imencode(".png", inverse)[1].tobytes())
    sources: dict[str, Any] = {
        "16UC1 with 65535": lambda: image_to_numpy(raw("16UC1", whole, 2 * WIDTH)),
        "32FC1 with NaN and inf": lambda: image_to_numpy(raw("32FC1", floats, 4 * WIDTH)),
        "64FC1": lambda: image_to_numpy(raw("64FC1", floats.astype("<f8"), 8 * WIDTH)),
        "compressedDepth 16UC1": lambda: compressed_to_numpy(packed("16UC1; compressedDepth", b"\0" * 12 + png)),
        "compressedDepth 32FC1": lambda: compressed_to_numpy(quantised),
    }
    for name, source in sources.items():
        yield judged(name, lambda s=source: depth_to_metres(s()),
                     lambda d: np.isnan(d[:40]).all() and np.allclose(d[40:], 0.7, atol=2e-4))  # fmt: skip


def info(model: str = "plumb_bob", d: tuple[float, ...] = (), *, width: int = WIDTH, height: int = HEIGHT,
         k: tuple[float, ...] = (150, 0, 80, 0, 150, 48, 0, 0, 1), **other: Any) -> CameraInfo:  # fmt: skip
    """A camera_info."""
    message = CameraInfo(width=width, height=height, distortion_model=model, d=[float(x) for x in d])
    message.k = [float(x) for x in k]
    for field, value in other.items():
        setattr(message, field, value)
    return message


def cameras(folder: Path) -> Iterator[Verdict]:
    """16: camera_info as drivers publish it."""
    picture = photo()
    bent = (-0.3, 0.1, 0.001, -0.001, 0.0)
    plain, straight = (150.0, 80.0, 48.0), undistort(picture, info(d=bent))[0]
    half = RegionOfInterest(x_offset=80, y_offset=48, width=WIDTH, height=HEIGHT)
    large = (150, 0, 160, 0, 150, 96, 0, 0, 1)
    twice = (300, 0, 160, 0, 300, 96, 0, 0, 1)
    projection = [150.0, 0, 80, 0, 0, 150, 48, 0, 0, 0, 1, 0]

    def seen(message: CameraInfo) -> tuple[Any, tuple[float, ...]]:
        made, lens, _ = undistort(picture, message)
        return made, (float(lens.K[0, 0]), float(lens.K[0, 2]) - 0.5, float(lens.K[1, 2]) - 0.5)

    fine: dict[str, tuple[CameraInfo, np.ndarray]] = {
        "plumb_bob with 8 numbers, the last zero": (info(d=(*bent, 0, 0, 0)), straight),
        "a name in capitals": (info("PLUMB_BOB", bent), straight),
        "no name, zeros": (info("", (0,) * 5), picture),
        "inverse_brown_conrady, zeros": (info("inverse_brown_conrady", (0,) * 5), picture),
        "k zero, p set": (info(k=(0,) * 9, p=projection), picture),
        "a region of interest": (info(width=320, height=192, k=large, roi=half), picture),
        "a region of interest, distorted": (info(d=bent, width=320, height=192, k=large, roi=half), straight),
        "binning": (info(width=320, height=192, k=(300, 0, 160.5, 0, 300, 96.5, 0, 0, 1), binning_x=2, binning_y=2),
                    picture),
        "binning, distorted": (info(d=bent, width=320, height=192, k=(300, 0, 160.5, 0, 300, 96.5, 0, 0, 1),
                                    binning_x=2, binning_y=2), straight),
    }  # fmt: skip
    for name, (message, wanted) in fine.items():
        yield judged(name, lambda m=message: seen(m),
                     lambda s, w=wanted: near(s[0], w, by=0.5) and np.allclose(s[1], plain, atol=1e-6))  # fmt: skip
    fish = (0.01, 0.001, 0.0, 0.0)
    yield judged("fisheye, the other name of equidistant", lambda: [undistort(picture, info(n, fish))[0] for n in
                 ("fisheye", "equidistant")], lambda p: (p[0] == p[1]).all())  # fmt: skip
    odd = {
        "k zero, no p": info(k=(0,) * 9), "no size": info(width=0, height=0),
        "binned already": info(binning_x=2, binning_y=2),
        "a picture of half the size": info(width=320, height=192, k=twice),
    }  # fmt: skip
    for name, message in odd.items():
        yield judged(name, lambda m=message: seen(m), lambda s: False, may_refuse=True)
    yield judged("the same, without a picture", lambda: camera_info_to_intrinsics(info()).K[0, 0], lambda f: f == 150)


def invented(folder: Path) -> Iterator[Verdict]:
    """20: pixels that undistortion invents."""
    grey = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    for model, d in (("plumb_bob", (0.4, 0, 0, 0, 0)), ("equidistant", (2.0, 0, 0, 0)),
                     ("rational_polynomial", (0.4, 0, 0, 0, 0, 0.1, 0, 0))):  # fmt: skip
        wide = (62, 0, 80, 0, 62, 48, 0, 0, 1)
        yield judged(f"{model}: what the lens never saw", lambda m=model, c=d, k=wide: undistort(grey, info(m, c, k=k)),
                     lambda s: s[2] is not None and 0.2 < s[2].mean() < 1 and (s[0][s[2]] == 200).all())  # fmt: skip


CASES = {"15 encodings": encodings, "16 camera_info": cameras, "20 lenses": invented}
