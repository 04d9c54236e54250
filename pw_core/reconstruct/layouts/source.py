"""A picture as a reader of layouts lists it, read: upright, straight, with its depth at the same pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.media.cameras import scaled_intrinsics
from pw_core.media.depth import read_depth
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.films import Frame, count_frames, film_frames
from pw_core.media.lens import Straight
from pw_core.media.pictures import Picture, read_picture, stored_size
from pw_core.progress import Progress, no_progress
from pw_core.reconstruct.layouts.types import Matrix, Read, Source


def read_source(source: Source) -> Read:
    """Its files, brought together.

    Raises:
        MediaError: a file that cannot be read, or of another size than it should be.
        CameraFileError: intrinsics of another picture.
    """
    if source.load is not None:
        return source.load()
    picture = read_picture(source.picture)
    height, width = picture.rgb.shape[:2]
    K, notes = source.K, list(picture.notes)
    if K is not None:
        _check_turn(source, picture)
        if source.size not in (None, (width, height)):
            assert source.size is not None
            K = scaled_intrinsics(K, source.size, (width, height), what=str(source.picture))
            notes.append(f"intrinsics scaled from {source.size[0]} x {source.size[1]} px")
    depth = None if source.depth is None else _depth(source, K, (width, height))
    valid = _both(picture.valid, _mask(source.mask, (width, height)))
    rgb = picture.rgb
    if source.distortion is not None and K is not None:
        straight = Straight(K, source.distortion, (width, height))
        rgb, depth = straight.picture(rgb), None if depth is None else straight.nearest(depth)
        seen = straight.valid
        if valid is not None:
            seen = seen & straight.nearest(valid.astype(np.uint8)).astype(bool)
        valid = None if seen.all() else seen
    return Read(rgb, depth, K, valid, picture.focal_px, tuple(notes))


def sharpest_frames(path: Path, count: int, progress: Progress = no_progress) -> list[Frame]:
    """The sharpest frame of each of `count` equal parts of a film.

    Raises:
        MediaError: no film, or no frame in it.
    """
    import cv2

    total = count_frames(path)
    best: dict[int, tuple[float, Frame]] = {}
    for frame in film_frames(path):
        progress(f"reading {path.name}", min(frame.index / max(total, 1), 1.0))
        part = min(frame.index * count // max(total, 1), count - 1)
        sharp = float(cv2.Laplacian(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
        if part not in best or sharp > best[part][0]:
            best[part] = (sharp, frame)
    return [frame for _, (_, frame) in sorted(best.items())]


def _check_turn(source: Source, picture: Picture) -> None:
    """Cameras are of the pixels as stored, or of the picture as it is shown: where EXIF turns it, the size must tell.

    Raises:
        CameraFileError: it does not.
    """
    if not picture.turned:
        return
    height, width = picture.rgb.shape[:2]
    stored = stored_size(source.picture)
    if source.size == (width, height) and stored != (width, height):
        return
    text = "EXIF turns it, and nothing tells whether its intrinsics and pose are of the pixels as stored"
    raise CameraFileError(f"{source.picture}: {text}: turn the pixels themselves and take the tag out")


def _depth(source: Source, K: Matrix | None, size: tuple[int, int]) -> NDArray[np.float32]:
    """At the picture's pixels, each the nearest of its own."""
    import cv2

    assert source.depth is not None
    depth = read_depth(source.depth, scale=source.depth_scale)
    if source.depth_K is not None and K is not None:
        to_depth = np.asarray(source.depth_K) @ np.linalg.inv(K)
        warp = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
        return np.asarray(cv2.warpPerspective(depth, _centred(to_depth), size, flags=warp), np.float32)
    if source.depth_covers and depth.shape != size[::-1]:
        if abs(depth.shape[1] * size[1] / (depth.shape[0] * size[0]) - 1) > 0.02:
            raise MediaError(f"{source.depth}: {depth.shape[1]} x {depth.shape[0]} px are no smaller picture of "
                             f"{size[0]} x {size[1]} px")  # fmt: skip
        return np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return depth


def _centred(homography: Matrix) -> Matrix:
    """The same map (3, 3) between pixels whose centres are whole numbers."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(np.linalg.inv(half) @ homography @ half)


def _mask(path: Path | None, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """False where the mask file is dark."""
    if path is None:
        return None
    mask = read_picture(path).rgb.max(-1) > 127
    if mask.shape != size[::-1]:
        text = f"a mask of {mask.shape[1]} x {mask.shape[0]} px for a picture of {size[0]} x {size[1]}"
        raise MediaError(f"{path}: {text}")
    return mask


def _both(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    out = b if a is None else a if b is None else a & b
    return None if out is None or out.all() else out
