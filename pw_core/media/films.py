"""Films, frame by frame as they are decoded: headers are not believed about how many there are and when they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.limits import LIMITS, Limits
from pw_core.media.errors import MediaError
from pw_core.media.pictures import check_pixels

ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".h264", ".264", ".mjpeg", ".wmv")
"""Of files that are films."""


@dataclass(frozen=True, eq=False)
class Frame:
    """time_s: from the container, or by its rate where it gives none (`timed` False); rgb, uint8 (H, W, 3), the right
    way up."""

    index: int
    time_s: float
    timed: bool
    rgb: NDArray[np.uint8]


def film_frames(path: Path, *, limits: Limits = LIMITS) -> Iterator[Frame]:
    """All frames of the first picture track, in the order in which they are shown.

    Raises:
        MediaError: no film that FFmpeg reads, no frame, or frames larger than a picture may be.
    """
    import av

    index = 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = _stream(container, path)
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or stream.guessed_rate or 0) or 25.0
            for frame in container.decode(stream):
                check_pixels(frame.width, frame.height, what=f"{path}: frame {index}", limits=limits)
                timed = frame.pts is not None and frame.time is not None
                time_s = float(frame.time) if timed else index / rate
                yield Frame(index, time_s, timed, _upright(frame))
                index += 1
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, MediaError):
            raise
        if index == 0:
            raise MediaError(f"{path}: has no frame that FFmpeg reads: {_said(error)}") from None
        raise MediaError(f"{path}: cannot be read after frame {index - 1}: {_said(error)}") from None
    if index == 0:
        raise MediaError(f"{path}: the film has no frame")


def count_frames(path: Path) -> int:
    """How many frames a film has, by going through its packets.

    Raises:
        MediaError: no film that FFmpeg reads.
    """
    import av

    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            return sum(1 for packet in container.demux(_stream(container, path)) if packet.size)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{path}: has no frame that FFmpeg reads: {_said(error)}") from None


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise MediaError(f"{path}: holds no pictures")
    return container.streams.video[0]


def _upright(frame: Any) -> NDArray[np.uint8]:
    """As the display matrix turns it: telephones film sideways and say so."""
    rgb = frame.to_ndarray(format="rgb24")
    turns = round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, turns), np.uint8)
