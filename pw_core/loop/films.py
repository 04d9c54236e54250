"""A folder of films, one for each camera, as the provider `observed` takes them.

    <folder>/<camera>/           pictures and stamps.csv or stamps.json, see `pw_core.refine.targets.footage`
    <folder>/<camera>.mp4        with <camera>.csv or <camera>.json
    <folder>/<camera>.npz        stamps [s] (N,), frames (N, H, W, 3) uint8 or floats 0 to 1; valid, masks too
    <folder>/cameras.json        those that the scene does not have: a list of name, K (3, 3) [px], viewmat (4, 4),
                                 width, height; may lie in the folder above
    <folder>/metadata.yaml       of a ROS recording, or a .mcap, .db3 or .bag alone: its colour topics
    <folder>/film.json           {"time_origin": stamp [s] of the rollout's t = 0}; without: 0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.documents.reading import parse_json, read_text
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import Camera
from pw_core.media.cameras import intrinsics_of, pose_of
from pw_core.media.films import ENDINGS
from pw_core.media.listing import is_litter, natural
from pw_core.media.tables import seconds
from pw_core.reconstruct.layouts.bags import is_bag
from pw_core.refine.targets.footage import read_film, unseen_where_dark
from pw_core.refine.targets.observed import CameraFilm

OURS = ("cameras.json", "film.json")


def read_films(
    folder: Path | str, *, cameras: Sequence[str] = (), known: Sequence[Camera] = ()
) -> tuple[list[CameraFilm], float]:
    """The films of a folder, or of a ROS recording (`pw_core.loop.recordings`), and their `time_origin` [s].

    Args:
        cameras: names of those that are wanted; empty: all, in the order of their names.
        known: the scene's, which a recording's topics are matched to.

    Raises:
        RefineError: INVALID_TARGET for a folder that is not there, holds no film, or a film that cannot be read;
            INVALID_STAMPS; TARGET_CAMERA_UNKNOWN for a wanted camera without a film.
    """
    folder = Path(folder)
    if is_bag(folder):
        from pw_core.loop.recordings import recorded_films

        return recorded_films(folder, cameras=cameras, known=known)
    found = film_paths(folder)
    unknown = [c for c in cameras if c not in found]
    if unknown:
        raise RefineError(
            f"{folder}: no film of camera '{unknown[0]}'; there are films of: {', '.join(found)}",
            code=ErrorCode.TARGET_CAMERA_UNKNOWN,
        )
    beside = {c.name: c for c in read_cameras(folder)}
    films = []
    for name in cameras or found:
        path, camera = found[name], beside.get(name, name)
        films.append(_arrays(path, camera) if path.suffix == ".npz" else read_film(path, camera=camera))
    return films, _time_origin(folder / "film.json")


def film_paths(folder: Path) -> dict[str, Path]:
    """Where each camera's film is, sorted by name; RefineError (INVALID_TARGET) where there is none."""
    if not folder.is_dir():
        raise RefineError(f"{folder}: no such folder; expected one with films", code=ErrorCode.INVALID_TARGET)
    kinds = {*ENDINGS, ".npz"}
    found = [p for p in sorted(folder.iterdir(), key=natural) if not is_litter(p) and (
        p.is_dir() or p.suffix.lower() in kinds)]  # fmt: skip
    out: dict[str, Path] = {}
    for path in found:
        name = path.name if path.is_dir() else path.stem
        if name in out:
            raise RefineError(
                f"{folder}: {out[name].name} and {path.name} are both films of camera '{name}', expected one",
                code=ErrorCode.INVALID_TARGET,
            )
        out[name] = path
    if not out:
        raise RefineError(
            f"{folder}: no films; expected for each camera a folder of pictures, a video or a .npz of its name",
            code=ErrorCode.INVALID_TARGET,
        )
    return out


def read_cameras(folder: Path) -> list[Camera]:
    """Those of `cameras.json` in the folder, or in the one above; none where there is no such file.

    Raises:
        RefineError (INVALID_TARGET): a file that is not as it should be.
    """
    for path in (folder / OURS[0], folder.parent / OURS[0]):
        if path.is_file():
            break
    else:
        return []
    try:
        return [
            Camera(str(c["name"]), intrinsics_of(c["K"], what=f"camera {c['name']}, K"),
                   pose_of(c["viewmat"], what=f"camera {c['name']}, viewmat"), int(c["width"]), int(c["height"]))
            for c in parse_json(read_text(path))
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, OverflowError, IndexError) as error:
        raise RefineError(
            f"{path}: expected a list of cameras with name, K, viewmat, width and height: {type(error).__name__}: "
            f"{error}",
            code=ErrorCode.INVALID_TARGET,
        ) from None


def camera_fields(camera: Camera) -> dict[str, Any]:
    """A camera as `cameras.json` has it."""
    return {
        "name": camera.name, "K": camera.K.tolist(), "viewmat": camera.viewmat.tolist(), "width": camera.width,
        "height": camera.height,
    }  # fmt: skip


def _time_origin(path: Path) -> float:
    if not path.is_file():
        return 0.0
    try:
        given = parse_json(read_text(path))["time_origin"]
        origin = seconds(given, what="time_origin") if not isinstance(given, float) else given
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RefineError(
            f'{path}: expected {{"time_origin": seconds}}: {type(error).__name__}: {error}',
            code=ErrorCode.INVALID_STAMPS,
        ) from None
    if not math.isfinite(origin):
        raise RefineError(f"{path}: time_origin: found {origin}, expected seconds", code=ErrorCode.INVALID_STAMPS)
    return origin


def _arrays(path: Path, camera: Camera | str) -> CameraFilm:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {k: file[k] for k in ("stamps", "frames", "valid", "masks") if k in file}
    except Exception as error:  # a broken archive raises what its parts raise
        text = f"{path}: cannot be read: {type(error).__name__}: {error}"
        raise RefineError(text, code=ErrorCode.INVALID_TARGET) from None
    missing = {"stamps", "frames"} - set(arrays)
    if missing:
        raise RefineError(f"{path}: has no '{sorted(missing)[0]}'", code=ErrorCode.INVALID_TARGET)
    for name, kind in (("valid", np.bool_), ("masks", np.int32)):
        if name in arrays:
            arrays[name] = arrays[name].astype(kind)
    frames, valid = arrays["frames"], arrays.get("valid")
    notes: tuple[str, ...] = ()
    if frames.dtype == np.uint8 and frames.ndim == 4 and (valid is None or valid.shape == frames.shape[:3]):
        arrays["valid"], dark = unseen_where_dark(frames, valid)
        notes = (f"{len(dark)} dark frames of {len(frames)} count as unseen",) if dark else ()
    return CameraFilm(camera=camera, notes=notes, **arrays)
