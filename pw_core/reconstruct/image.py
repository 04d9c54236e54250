"""Photos, checked and brought to the working size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.limits import LIMITS
from pw_core.media.errors import MediaError
from pw_core.media.pictures import read_picture
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class PhotoOptions:
    """Which photos can be used."""

    min_side_px: int = 32
    """Less shows nothing."""
    max_side_px: int = 16384
    """More is a mistake, or a picture that does not fit into memory with what is made of it; `Limits.picture_pixels`
    bounds the whole."""


def load_photo(path: Path | str) -> Rgb:
    """An image file as RGB, uint8 (H, W, 3): grey is spread, 16 bit is scaled down, EXIF orientation is applied.

    Raises:
        ReconstructError (INVALID_IMAGE): missing, not an image, truncated, or of a size that cannot be used.
    """
    try:
        return check_photo(read_picture(path).rgb, what=f"photo {path}")
    except MediaError as error:
        raise ReconstructError(f"photo {error}", code=ErrorCode.INVALID_IMAGE) from None


def check_photo(
    image: NDArray[np.generic], *, what: str = "photo", options: PhotoOptions = PhotoOptions()
) -> Rgb:  # fmt: skip
    """RGB uint8 (H, W, 3) from grey or RGB, 8 or 16 bit.

    Raises:
        ReconstructError (INVALID_IMAGE): another shape or type, or too small or large a side.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ReconstructError(
            f"{what}: expected (H, W), (H, W, 3) or (H, W, 4), got {image.shape}", code=ErrorCode.INVALID_IMAGE
        )
    height, width = pixels.shape[:2]
    _check_size(width, height, what=what, options=options)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ReconstructError(
            f"{what}: expected 8 or 16 bit unsigned pixels, got {pixels.dtype}", code=ErrorCode.INVALID_IMAGE
        )
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _check_size(width: int, height: int, *, what: str, options: PhotoOptions) -> None:
    wrong = ""
    if not (min(height, width) >= options.min_side_px and max(height, width) <= options.max_side_px):
        wrong = f"each side must be {options.min_side_px} to {options.max_side_px} px"
    elif height * width > LIMITS.picture_pixels:
        wrong = f"at most {LIMITS.picture_pixels} pixels in all"
    if wrong:
        raise ReconstructError(f"{what} is {width} x {height} px: {wrong}", code=ErrorCode.INVALID_IMAGE)


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """When a photo is taken to be noisy, and what is then done where outlines are sought."""

    most_levels: float = 15.0
    """Standard deviation of its noise at the working size: real photos have 1 or 2, and GrabCut bears 10."""
    blur_px: float = 1.5
    """Standard deviation of the blur that takes the noise off colours; outlines lose little by it."""
    block_px: int = 8
    """Of JPEG's blocks."""
    most_blocks: float = 4.0
    """Steps at their borders over those within, along rows and columns: compression that leaves outlines has less."""
    blocks_blur_px: float = 2.0
    """Standard deviation of the blur that takes blocks off colours."""


def noise_levels(photo: Rgb) -> float:
    """Standard deviation [levels] of a photo's noise (Immerkær 1996), by the median, so that edges do not count."""
    import cv2

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    differences = np.abs(cv2.filter2D(photo.astype(np.float32), -1, kernel))
    return float(np.median(differences)) / (6 * 0.6745)  # the kernel's norm; a normal distribution's median


def quiet(photo: Rgb, *, options: NoiseOptions = NoiseOptions()) -> Rgb:
    """The photo (H, W, 3), blurred if it is so noisy, or of blocks so coarse, that outlines drown."""
    import cv2

    if noise_levels(photo) > options.most_levels:
        return np.asarray(cv2.GaussianBlur(photo, (0, 0), options.blur_px), np.uint8)
    if _blocks(photo, options) > options.most_blocks:
        return np.asarray(cv2.GaussianBlur(photo, (0, 0), options.blocks_blur_px), np.uint8)
    return photo


def _blocks(photo: Rgb, options: NoiseOptions) -> float:
    """How many times as steep colours change at the borders of JPEG's blocks as within, the lesser way of two."""
    grey = photo.mean(-1)
    ratios = []
    for each in (grey, grey.T):
        steps = np.abs(np.diff(each, axis=1)).mean(0)
        border = np.arange(len(steps)) % options.block_px == options.block_px - 1
        ratios.append(float(steps[border].mean() / max(float(steps[~border].mean()), 1e-3)))
    return min(ratios)


def noise_doubts(photo: Rgb, *, options: NoiseOptions = NoiseOptions()) -> list[str]:
    """A sentence about a photo (H, W, 3) that is noisy, or in blocks."""
    levels = noise_levels(photo)
    if levels <= options.most_levels:
        if _blocks(photo, options) <= options.most_blocks:
            return []
        return [
            "the photo was compressed until it fell into blocks, and outlines are rough: give it as the camera wrote "
            "it, or with a higher quality"
        ]
    return [
        f"the photo is noisy (by {levels:.0f} of 255 levels): outlines are rough, and the noise is painted on all that "
        "is made of it; take it with more light"
    ]


def working_valid(valid: Mask | None, size: tuple[int, int]) -> Mask | None:
    """Which pixels (H, W) of a picture scaled to `size` (width, height) are made of seen ones alone; None: all."""
    import cv2

    if valid is None or valid.shape == size[::-1]:
        return valid
    share = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(share > 1 - 1e-3)


def working_size(photo: Rgb, width_px: int) -> Rgb:
    """The photo scaled down to `width_px` wide, if it is wider, averaging over the pixels that fall together."""
    import cv2

    height, width = photo.shape[:2]
    if width <= width_px:
        return photo
    size = (width_px, max(1, round(height * width_px / width)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
