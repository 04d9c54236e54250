"""Lenses that bend straight lines: pictures as a pinhole camera takes them, and which of their pixels were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pw_core.media.errors import CameraFileError


@dataclass(frozen=True)
class Distortion:
    """OpenCV's model (4, 5, 8, 12 or 14 numbers) or its fisheye (4)."""

    model: Literal["opencv", "fisheye"]
    coefficients: tuple[float, ...]

    @classmethod
    def of(cls, model: Literal["opencv", "fisheye"], coefficients: Sequence[float]) -> Distortion | None:
        """None where all are 0."""
        return cls(model, tuple(float(c) for c in coefficients)) if any(coefficients) else None


_COUNTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_OTHER_NAMES = {"fisheye": "equidistant", "kannala_brandt4": "equidistant", "brown_conrady": "plumb_bob"}
"""What drivers call those models, in small letters."""


def named_distortion(model: str, d: Sequence[float]) -> Distortion | None:
    """By its name in a camera_info, None where there is none: names in capitals or as other drivers have them, and
    coefficients with zeros at the end, mean what they say.

    Raises:
        CameraFileError: another model, or a wrong number of coefficients.
    """
    numbers = [float(x) for x in d]
    if not any(numbers):
        return None
    name = model.strip().lower()
    name = _OTHER_NAMES.get(name, name)
    counts = _COUNTS.get(name)
    if counts is None:
        text = f"distortion model '{model}' is not known; use one of {', '.join(_COUNTS)}"
        raise CameraFileError(f"{text}, or send the rectified picture")
    while len(numbers) > max(counts) and numbers[-1] == 0:
        numbers.pop()
    if len(numbers) not in counts:
        text = f"{model} has {' or '.join(map(str, counts))} coefficients, camera_info.d has {len(d)}"
        raise CameraFileError(text)
    return Distortion.of("fisheye" if name == "equidistant" else "opencv", numbers)


@dataclass(frozen=True, kw_only=True)
class UndistortOptions:
    """When a pixel of the straight picture was seen."""

    least_seen: float = 0.999
    """Share of the four pixels it is a mean of that lie in the picture; the rest would be mixed with black."""


class Straight:
    """From pictures of a distorted camera to those of the pinhole camera of the same K.

    Args:
        K: (3, 3) [px], pixel centres at +0.5.
        distortion: the lens.
        size: of the picture, width and height [px].
    """

    def __init__(
        self, K: NDArray[np.float64], distortion: Distortion, size: tuple[int, int], *,
        options: UndistortOptions = UndistortOptions(),
    ) -> None:  # fmt: skip
        import cv2

        k = np.array(K, np.float64)
        k[:2, 2] -= 0.5  # OpenCV's pixel centres are whole numbers
        d = np.array(distortion.coefficients, np.float64)
        fisheye = distortion.model == "fisheye"
        make: Any = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
        self._x, self._y = make(k, d, np.eye(3), k, size, cv2.CV_32FC1)
        share = cv2.remap(np.ones((size[1], size[0]), np.float32), self._x, self._y, interpolation=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT)  # fmt: skip
        self.valid: NDArray[np.bool_] = np.asarray(share >= options.least_seen)
        """(H, W): False where the lens never looked."""

    def picture(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Brightness or colours, interpolated; at the edge they go on where nothing was seen."""
        import cv2

        made = cv2.remap(pixels, self._x, self._y, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(made, pixels.dtype)

    def nearest(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Depth or masks (bool as uint8), those of the nearest pixel, 0 where nothing was seen: a mean across an edge
        would be a point in the air."""
        import cv2

        made = cv2.remap(pixels, self._x, self._y, interpolation=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(made, pixels.dtype)
