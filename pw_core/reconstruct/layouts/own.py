"""This project's own folder: pictures, with `cameras.json` posed, with `depth/` in metres."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pw_core.documents.reading import DocumentError, parse_json, read_text
from pw_core.media import depth, pictures
from pw_core.media.cameras import intrinsics_of, pose_of
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.listing import listed
from pw_core.reconstruct.layouts.types import Listing, Matrix, Source, matched_case

CAMERAS = "cameras.json"


def read_own(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """Pictures of a folder in the order of the numbers in their names.

    `cameras.json`, [{"name", "K", "viewmat"}], poses them (without "viewmat" their intrinsics are known, no more);
    `depth/<stem>.png`, .tiff, .exr (uint16 mm or float m) or .npy is their depth.

    Raises:
        MediaError: no picture, or depth that belongs to none.
        CameraFileError: cameras that cannot be used, or that belong to no picture.
    """
    found = listed(folder, pictures.ENDINGS)
    if not found:
        raise MediaError(f"folder {folder} holds no picture ({', '.join(sorted(pictures.ENDINGS))})")
    cameras = _cameras(folder / CAMERAS, found)
    reasons = {p: f"{CAMERAS} has no camera of that name" for p in found if cameras and p not in cameras}
    shown = [p for p in found if p not in reasons]
    deep = match_depth(shown, folder / "depth")
    placed = [(p, *cameras.get(p, (None, None))) for p in shown]
    sources = [
        Source(p, p.name, K, viewmat, depth=deep.get(p), depth_scale=depth_scale) for p, K, viewmat in placed
    ]
    beside = {folder / CAMERAS: "cameras"} if cameras else {}
    return Listing("a folder of pictures", tuple(sources), beside=beside, reasons=reasons)


def _cameras(file: Path, found: Sequence[Path]) -> dict[Path, tuple[Matrix, Matrix | None]]:
    """K and viewmat, by picture."""
    if not file.is_file():
        return {}
    try:
        entries = parse_json(read_text(file))
    except DocumentError as error:
        raise CameraFileError(f"{file}: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) and "name" in e and "K" in e for e in entries):
        raise CameraFileError(f'{file}: expected [{{"name", "K", "viewmat"}}], viewmat where known')
    out: dict[Path, tuple[Matrix, Matrix | None]] = {}
    for i, entry in enumerate(entries):
        what = f"{file}: camera {i} ('{entry['name']}')"
        path = matched_case(file.parent, str(entry["name"]), found)
        if path is None or path not in found:
            raise CameraFileError(f"{what} is of no picture in the folder: it holds {_names(found)}")
        if path in out:
            raise CameraFileError(f"{what}: {path.name} has a camera already")
        out[path] = (intrinsics_of(entry["K"], what=f"{what}, K"), _pose(entry, what))
    without = [p.name for p, (_, pose) in out.items() if pose is None]
    if 0 < len(without) < len(out):
        text = f"{', '.join(without)} without a viewmat, the others with one: give it, or leave the picture out"
        raise CameraFileError(f"{file}: {text}")
    return out


def _pose(entry: Mapping[str, Any], what: str) -> Matrix | None:
    given = entry.get("viewmat")
    return None if given is None else pose_of(given, what=f"{what}, viewmat")


def match_depth(found: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Which file of `folder` is the depth of which picture: the one of its stem, else of its number where every depth
    file, or every picture, then has one of the other alone.

    Raises:
        MediaError: files that belong to no picture, or two to one.
    """
    if not folder.is_dir():
        return {}
    files = listed(folder, depth.ENDINGS)
    for key in (lambda p: p.stem, lambda p: p.stem.lower(), _number):
        of = {key(p): p for p in found}
        keys = [key(f) for f in files]
        matched = {of[k]: f for k, f in zip(keys, files) if k in of}
        once = len(of) == len(found) and len(set(keys)) == len(keys)
        if once and (len(matched) == len(files) or len(matched) == len(found)):
            return matched
    stems = {p.stem.lower() for p in found}
    odd = [f for f in files if f.stem.lower() not in stems] or files
    raise MediaError(f"{folder}: {_names(odd)} belongs to no picture, or two to one: call each as its picture; those "
                     f"are {_names(found)}")  # fmt: skip


def _number(path: Path) -> str:
    digits = re.findall(r"\d+", path.stem)
    return str(int(digits[-1])) if len(digits) == 1 and len(digits[0]) < 20 else f"no number: {path.name}"


def _names(paths: Sequence[Path], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(p.name for p in paths[:most]) + more
