"""Films from files: a folder of pictures or a video, with stamps in a CSV or JSON file beside it, or in the video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.documents.reading import DocumentError, parse_json, read_text
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64, Camera
from pw_core.limits import LIMITS, Limits
from pw_core.media import films, pictures, tables
from pw_core.media.errors import MediaError
from pw_core.media.listing import listed
from pw_core.refine.targets.checks import check_not_black, check_times
from pw_core.refine.targets.observed import CameraFilm
from pw_core.refine.targets.types import Frames


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a film as it was read; valid (H, W): False where it shows nothing; time_s: where the video says it."""

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None
    time_s: float | None = None


def read_film(path: Path | str, *, camera: Camera | str, stamps: Path | str | None = None) -> CameraFilm:
    """A film from a folder of pictures (in the order of the numbers in their names) or a video file.

    stamps: a CSV file with a column `stamp` [s] (and, for a folder, optionally `file`), or a JSON file with a list of
    numbers or `{"stamps": [...]}`. Default: `stamps.csv` or `stamps.json` in the folder; `<video>.csv` or
    `<video>.json` beside the video, or else the video's own times. Dark frames and what alpha hides count as unseen.

    Raises:
        RefineError: INVALID_TARGET for a path that is not there or cannot be read; INVALID_STAMPS for bad stamps.
    """
    path = Path(path)
    if path.is_dir():
        table = _stamp_file(stamps, [path / "stamps.csv", path / "stamps.json"])
        if table is None:
            wanted = stamps or f"{path / 'stamps.csv'} or {path / 'stamps.json'}"
            raise RefineError(f"{path}: no stamps; expected {wanted}", code=ErrorCode.INVALID_STAMPS)
        files, times = read_stamps(table)
        found = listed(path, pictures.ENDINGS)
        shown = [_named(path, f, found) for f in files] if files else found
        _check_count(path, len(shown), "pictures", times, table)
        unused = [p.name for p in found if p not in shown]
        notes = (f"{len(unused)} pictures that {table.name} does not name, such as {unused[0]}",) if unused else ()
        return film_of((_picture(p) for p in shown), times, camera, path, notes)
    if not path.is_file() or path.suffix.lower() not in films.ENDINGS:
        raise RefineError(
            f"{path}: expected a folder of pictures or a video ({', '.join(sorted(films.ENDINGS))})",
            code=ErrorCode.INVALID_TARGET,
        )
    table = _stamp_file(stamps, [path.with_suffix(".csv"), path.with_suffix(".json")])
    if table is None and stamps is not None:
        raise RefineError(f"{path}: no stamps; expected {stamps}", code=ErrorCode.INVALID_STAMPS)
    return film_of(_video(path), None if table is None else read_stamps(table)[1], camera, path, table=table)


def read_stamps(path: Path) -> tuple[list[str], F64]:
    """File names (none: not given) and stamps [s] of a CSV or JSON file; RefineError (INVALID_STAMPS) for bad ones."""
    files: list[str] = []
    try:
        if path.suffix.lower() == ".json":
            data = parse_json(read_text(path))
            values = data["stamps"] if isinstance(data, dict) else data
            if not isinstance(values, list):
                raise MediaError(f"found {type(values).__name__}, expected a list")
            times = [tables.seconds(v, what=f"stamp {k}") for k, v in enumerate(values)]
        else:
            files, times = tables.stamp_table(path)
    except (DocumentError, MediaError, KeyError) as error:
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


def unseen_where_dark(
    frames: Frames, valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_] | None, tuple[int, ...]]:
    """`valid` (N, H, W) without the frames that are dark, as the first one before a camera's exposure has settled, and
    which they are; as it was where all are, for that is no film."""
    dark = []
    for k, frame in enumerate(frames):
        seen = np.ones(frame.shape[:2], np.bool_) if valid is None else valid[k]
        try:
            check_not_black(frame, seen, what="")
        except RefineError:
            dark.append(k)
    if not dark or len(dark) == len(frames):
        return valid, ()
    out = np.ones(frames.shape[:3], np.bool_) if valid is None else valid.copy()
    out[dark] = False
    return out, tuple(dark)


def film_of(
    shots: Iterable[Shot], times: F64 | None, camera: Camera | str, what: Path, notes: tuple[str, ...] = (),
    table: Path | None = None,
) -> CameraFilm:  # fmt: skip
    """A film of these frames at these times [s]; None: the frames' own. what: where it is from.

    Raises:
        RefineError: INVALID_TARGET for frames of several sizes, none, or too many; INVALID_STAMPS.
    """
    taken = _same_size(shots, what=what)
    frames = np.stack([s.rgb for s in taken])
    if times is None:
        own = [s.time_s for s in taken]
        if None in own:
            text = f"{what}: no stamps beside it and none in it; expected {what.with_suffix('.csv')}"
            raise RefineError(text, code=ErrorCode.INVALID_STAMPS)
        times = check_times(np.array(own, np.float64), what=str(what))
        notes = (*notes, "stamps are the video's own")
    elif table is not None:
        _check_count(what, len(taken), "frames", times, table)
    valid = None
    if any(s.valid is not None for s in taken):
        everywhere = np.ones(frames.shape[1:3], np.bool_)
        valid = np.stack([everywhere if s.valid is None else s.valid for s in taken])
        notes = (*notes, f"alpha hides {100 * float((~valid).mean()):.1f} % of it")
    valid, dark = unseen_where_dark(frames, valid)
    if dark:
        notes = (*notes, f"{len(dark)} dark frames of {len(frames)}, such as number {dark[0]}, count as unseen")
    return CameraFilm(camera, times, frames, valid, notes=notes)


def _check_count(what: Path, found: int, kind: str, times: Any, table: Path) -> None:
    if found != len(times):
        raise RefineError(
            f"{what}: found {found} {kind} and {len(times)} stamps in {table.name}, expected one for each",
            code=ErrorCode.INVALID_TARGET,
        )


def _stamp_file(given: Path | str | None, usual: list[Path]) -> Path | None:
    candidates = usual if given is None else [Path(given)]
    return next((path for path in candidates if path.is_file()), None)


def _named(folder: Path, name: str, found: list[Path]) -> Path:
    """The file of that name; where its case alone differs, that one."""
    alike = [p for p in found if p.name.lower() == name.lower()]
    return alike[0] if len(alike) == 1 and not (folder / name).is_file() else folder / name


def _picture(path: Path) -> Shot:
    if not path.is_file():
        raise RefineError(f"{path}: is not there", code=ErrorCode.INVALID_TARGET)
    try:
        picture = pictures.read_picture(path)
    except MediaError as error:
        text = f"{path}: is not a picture that can be read: {error}"
        raise RefineError(text, code=ErrorCode.INVALID_TARGET) from None
    return Shot(picture.rgb, picture.valid)


def _video(path: Path) -> Iterator[Shot]:
    try:
        for frame in films.film_frames(path):
            yield Shot(frame.rgb, time_s=frame.time_s if frame.timed else None)
    except MediaError as error:
        text = f"{path}: is not a video that can be read: {error}"
        raise RefineError(text, code=ErrorCode.INVALID_TARGET) from error


def _same_size(shots: Iterable[Shot], *, what: Path, limits: Limits = LIMITS) -> list[Shot]:
    out: list[Shot] = []
    pixels = 0
    for k, shot in enumerate(shots):
        if out and shot.rgb.shape != out[0].rgb.shape:
            (height, width), (first_height, first_width) = shot.rgb.shape[:2], out[0].rgb.shape[:2]
            raise RefineError(
                f"{what}: frame {k} has {width} x {height} px, expected {first_width} x {first_height} px as the first",
                code=ErrorCode.INVALID_TARGET,
            )
        out.append(shot)
        pixels += shot.rgb.shape[0] * shot.rgb.shape[1]
        if pixels > limits.request_pixels:
            raise RefineError(f"{what}: more than {limits.request_pixels} pixels in all: give fewer or smaller frames",
                              code=ErrorCode.INVALID_TARGET)  # fmt: skip
    if not out:
        raise RefineError(f"{what}: found no pictures", code=ErrorCode.INVALID_TARGET)
    return out
