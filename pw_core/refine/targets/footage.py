"""Films from files: a folder of pictures or a video, with stamps in a CSV or JSON file beside it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.documents import parse_json, read_text
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64, Camera
from pw_core.refine.targets.checks import check_times
from pw_core.refine.targets.observed import CameraFilm
from pw_core.refine.targets.types import Frames

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
VIDEOS = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"}


def read_film(path: Path | str, *, camera: Camera | str, stamps: Path | str | None = None) -> CameraFilm:
    """A film from a folder of pictures (in the order of their names) or a video file.

    stamps: a CSV file with a column `stamp` [s] (and, for a folder, optionally `file`), or a JSON file with a list of
    numbers or `{"stamps": [...]}`. Default: `stamps.csv` or `stamps.json` in the folder; `<video>.csv` or
    `<video>.json` beside the video.

    Raises:
        RefineError: INVALID_TARGET for a path that is not there or cannot be read; INVALID_STAMPS for bad stamps.
    """
    path = Path(path)
    if path.is_dir():
        table = _stamp_file(stamps, [path / "stamps.csv", path / "stamps.json"], what=path)
        files, times = read_stamps(table)
        pictures = [path / f for f in files] if files else _listed(path)
        if len(pictures) != len(times):
            raise RefineError(
                f"{path}: found {len(pictures)} pictures and {len(times)} stamps in {table.name}, expected one for "
                "each",
                code=ErrorCode.INVALID_TARGET,
            )
        return CameraFilm(camera, times, _stacked((_picture(p) for p in pictures), what=path))
    if not path.is_file() or path.suffix.lower() not in VIDEOS:
        raise RefineError(
            f"{path}: expected a folder of pictures or a video ({', '.join(sorted(VIDEOS))})",
            code=ErrorCode.INVALID_TARGET,
        )
    table = _stamp_file(stamps, [path.with_suffix(".csv"), path.with_suffix(".json")], what=path)
    return CameraFilm(camera, read_stamps(table)[1], _stacked(_video(path), what=path))


def read_stamps(path: Path) -> tuple[list[str], F64]:
    """File names (none: not given) and stamps [s] of a CSV or JSON file; RefineError (INVALID_STAMPS) for bad ones."""
    files: list[str] = []
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            data = parse_json(text)
            values = data["stamps"] if isinstance(data, dict) else data
            times = np.array([float(v) for v in values])
        else:
            rows = list(csv.DictReader(text.splitlines()))
            times = np.array([float(r["stamp"]) for r in rows])
            files = [r["file"] for r in rows if r.get("file")]
    except (KeyError, ValueError, TypeError) as error:
        raise RefineError(
            f"{path}: expected a CSV file with a column 'stamp' (and 'file'), or a JSON list of seconds: {error}",
            code=ErrorCode.INVALID_STAMPS,
        ) from error
    for name in files:
        if Path(name).name != name:
            raise RefineError(
                f"{path}: found '{name}', expected the name of a file in that folder", code=ErrorCode.INVALID_TARGET
            )
    return files, check_times(times, what=str(path))


def _stamp_file(given: Path | str | None, usual: list[Path], *, what: Path) -> Path:
    candidates = usual if given is None else [Path(given)]
    for path in candidates:
        if path.is_file():
            return path
    raise RefineError(
        f"{what}: no stamps; expected {' or '.join(str(p) for p in candidates)}", code=ErrorCode.INVALID_STAMPS
    )


def _listed(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def _picture(path: Path) -> NDArray[np.uint8]:
    import cv2

    # Decoded from bytes, so that a missing and a broken file are told apart.
    if not path.is_file():
        raise RefineError(f"{path}: is not there", code=ErrorCode.INVALID_TARGET)
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise RefineError(f"{path}: is not a picture that can be read", code=ErrorCode.INVALID_TARGET)
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def _video(path: Path) -> Iterator[NDArray[np.uint8]]:
    import imageio.v3 as iio

    try:
        for picture in iio.imiter(path, plugin="FFMPEG"):
            yield np.asarray(picture, np.uint8)[..., :3]
    except (OSError, RuntimeError, ValueError) as error:
        raise RefineError(f"{path}: is not a video that can be read: {error}", code=ErrorCode.INVALID_TARGET) from error


def _stacked(pictures: Iterator[NDArray[np.uint8]], *, what: Path) -> Frames:
    out = list(pictures)
    if not out:
        raise RefineError(f"{what}: found no pictures", code=ErrorCode.INVALID_TARGET)
    for k, picture in enumerate(out):
        if picture.shape != out[0].shape:
            raise RefineError(
                f"{what}: frame {k} has {picture.shape[1]} x {picture.shape[0]} px, expected {out[0].shape[1]} x "
                f"{out[0].shape[0]} px as the first",
                code=ErrorCode.INVALID_TARGET,
            )
    return np.stack(out)
