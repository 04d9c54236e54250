"""RGB-D sequences of research: TUM RGB-D, ScanNet as its reader exports it, Replica as NICE-SLAM rendered it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.documents.reading import DocumentError, parse_json, read_text
from pw_core.media import depth, pictures
from pw_core.media.cameras import intrinsics_of, matrix_of, pose_of
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.lens import Distortion
from pw_core.media.listing import listed
from pw_core.media.tables import MOST_BYTES, Row, read_rows, seconds
from pw_core.reconstruct.layouts.types import Listing, Matrix, Source


@dataclass(frozen=True, kw_only=True)
class TumOptions:
    """The conventions of the TUM RGB-D data set."""

    unit_m: float = 1 / 5000
    """Of a depth picture, by the data set's definition."""
    apart_s: float = 0.02
    """How far stamps that belong together may be apart, as its own tool has it."""
    cameras: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = (
        ("freiburg1", (517.306408, 516.469215, 318.643040, 255.313989),
         (0.262383, -0.953104, -0.005358, 0.002628, 1.163314)),
        ("freiburg2", (520.908620, 521.007327, 325.141442, 249.701764),
         (0.231222, -0.784899, -0.003257, -0.000105, 0.917205)),
        ("freiburg3", (535.4, 539.2, 320.1, 247.6), (0.0, 0.0, 0.0, 0.0, 0.0)),
    )  # fmt: skip
    """fx, fy, cx, cy and distortion of its three cameras, as its page gives them (pixel centres at 0)."""


def is_tum(folder: Path) -> bool:
    """Whether it has the two lists, or the two folders with stamps as names."""
    return (folder / "rgb").is_dir() and (folder / "depth").is_dir() and (
        (folder / "rgb.txt").is_file() or (folder / "groundtruth.txt").is_file())  # fmt: skip


def read_tum(folder: Path, *, depth_scale: float = 0.0, options: TumOptions = TumOptions()) -> Listing:
    """rgb/, depth/ (1/5000 m), groundtruth.txt; the camera by `calibration.txt` (fx fy cx cy), or by the data set's
    name where the folder's has it.

    Raises:
        CameraFileError, MediaError.
    """
    color = _stamped(folder, "rgb", pictures.ENDINGS)
    deep = _stamped(folder, "depth", depth.ENDINGS)
    if not color:
        raise MediaError(f"{folder}: rgb holds no picture with a stamp")
    truth = folder / "groundtruth.txt"
    poses = _trajectory(truth) if truth.is_file() else {}
    K, lens, told = _tum_camera(folder, options)
    if poses and K is None:
        raise CameraFileError(f"{folder}: poses without a camera: write its fx fy cx cy into calibration.txt")
    sources, reasons = [], {}
    for stamp, path in sorted(color.items()):
        pose = _nearest(stamp, poses, options)
        if poses and pose is None:
            reasons[path] = f"groundtruth.txt has no pose within {options.apart_s} s"
            continue
        sources.append(Source(path, path.name, K, pose, None, lens, _nearest(stamp, deep, options),
                              depth_scale or options.unit_m))  # fmt: skip
    used = {s.depth for s in sources}
    reasons |= {p: f"no picture within {options.apart_s} s" for p in deep.values() if p not in used}
    if deep and not used - {None}:
        raise MediaError(f"{folder}: none of the {len(deep)} depth pictures is within {options.apart_s} s of a picture")
    beside = {p: told_by for p, told_by in ((folder / "rgb.txt", "stamps"), (folder / "depth.txt", "stamps"),
              (truth, "poses"), (folder / "calibration.txt", "camera")) if p.is_file()}  # fmt: skip
    return Listing(f"a TUM RGB-D sequence{told}", tuple(sources), ordered=True, beside=beside, reasons=reasons)


def _stamped(folder: Path, name: str, endings: Sequence[str]) -> dict[float, Path]:
    """The files of a list, or of the folder by stamps that are their names."""
    text = folder / f"{name}.txt"
    rows = read_rows(text, most_bytes=MOST_BYTES) if text.is_file() else []
    out = {}
    for row in rows:
        if len(row.cells) < 2:
            raise MediaError(f"{text}: row {row.line} has {len(row.cells)} field, expected a stamp and a file")
        path = folder / row.cells[1]
        if ".." in path.parts or not path.is_file():
            raise MediaError(f"{text}: row {row.line}: '{row.cells[1]}' is not there")
        out[seconds(row.cells[0], what=f"{text}: row {row.line}")] = path
    if not rows:
        for path in listed(folder / name, endings):
            if not re.fullmatch(r"\d+(\.\d+)?", path.stem):
                raise MediaError(f"{path}: its name is no stamp, and {text.name} does not list it")
            out[float(path.stem)] = path
    return out


def _trajectory(path: Path) -> dict[float, Matrix]:
    """viewmat (4, 4) by stamp, from rows of stamp tx ty tz qx qy qz qw: poses of the optical frame."""
    out = {}
    for row in read_rows(path, most_bytes=MOST_BYTES):
        what = f"{path}: row {row.line}"
        numbers = _numbers(row, 8, what)
        q = numbers[4:]
        if not 0.9 < np.linalg.norm(q) < 1.1:
            raise CameraFileError(f"{what}: quaternion {q.tolist()} has not the length 1")
        placed = np.eye(4)
        placed[:3, :3] = Rotation.from_quat(q).as_matrix()
        placed[:3, 3] = numbers[1:4]
        out[float(numbers[0])] = np.asarray(np.linalg.inv(placed), np.float64)
    return out


def _numbers(row: Row, count: int, what: str) -> Matrix:
    if len(row.cells) < count:
        raise CameraFileError(f"{what} has {len(row.cells)} fields, expected {count}")
    return matrix_of(row.cells[:count], what=what)


def _nearest(stamp: float, of: dict[float, Path] | dict[float, Matrix], options: TumOptions) -> Any:
    if not of:
        return None
    stamps = np.fromiter(of, float)
    best = float(stamps[np.argmin(np.abs(stamps - stamp))])
    return of[best] if abs(best - stamp) <= options.apart_s else None


def _tum_camera(folder: Path, options: TumOptions) -> tuple[Matrix | None, Distortion | None, str]:
    """K (pixel centres at +0.5), the lens, and where both are from."""
    file = folder / "calibration.txt"
    if file.is_file():
        rows = read_rows(file)
        if not rows:
            raise CameraFileError(f"{file}: expected fx fy cx cy")
        k = _numbers(rows[0], 4, f"{file}: row {rows[0].line}")
        numbers, more, told = tuple(k), tuple(map(float, rows[0].cells[4:9])), ""
    else:
        known = next((c for c in options.cameras if c[0] in str(folder.resolve()).lower()), None)
        if known is None:
            return None, None, ""
        name, numbers, more = known
        told = f" with the camera of {name}"
    fx, fy, cx, cy = numbers
    K = intrinsics_of([fx, fy, cx + 0.5, cy + 0.5], what=str(file))
    return K, Distortion.of("opencv", more) if more else None, told


def is_scannet(folder: Path) -> bool:
    """Whether it has pictures and poses by number."""
    return (folder / "color").is_dir() and (folder / "pose").is_dir()


def read_scannet(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """color/N.jpg, depth/N.png [mm], pose/N.txt (camera to world, optical axes), intrinsic/intrinsic_color.txt.

    Raises:
        CameraFileError, MediaError.
    """
    inner = folder / "intrinsic"
    files = {n: inner / f"intrinsic_{n}.txt" for n in ("color", "depth")}
    if not files["color"].is_file():
        raise CameraFileError(f"{folder}: poses without a camera: {files['color']} is not there")
    K, depth_K = (_square(f) if f.is_file() else None for f in files.values())
    found = listed(folder / "color", pictures.ENDINGS)
    deep = {p.stem: p for p in listed(folder / "depth", depth.ENDINGS)} if (folder / "depth").is_dir() else {}
    sources, reasons = [], {}
    beside = {f: "camera" for f in files.values() if f.is_file()}
    for path in found:
        text = folder / "pose" / f"{path.stem}.txt"
        if not text.is_file():
            raise CameraFileError(f"{path}: has no pose, {text} is not there")
        rows = read_rows(text)
        if any("inf" in c.lower() or "nan" in c.lower() for r in rows for c in r.cells):
            reasons[path] = reasons[text] = "its pose is infinite: tracking was lost there"
            continue
        pose = np.asarray(np.linalg.inv(pose_of([r.cells for r in rows], what=str(text))), np.float64)
        beside[text] = f"pose of {path.name}"
        sources.append(Source(path, path.name, intrinsics_of(K, what=str(files["color"])), pose,
                              depth=deep.get(path.stem), depth_scale=depth_scale, depth_K=depth_K))  # fmt: skip
    odd = sorted(set(deep) - {p.stem for p in found})
    if odd:
        raise MediaError(f"{deep[odd[0]]}: belongs to no picture in {folder / 'color'}")
    if not sources:
        raise MediaError(f"{folder}: no picture has a pose")
    return Listing("a ScanNet export", tuple(sources), ordered=True, beside=beside, reasons=reasons)


def _square(file: Path) -> Matrix:
    return intrinsics_of([r.cells for r in read_rows(file)], what=str(file))


def _viewmat(row: Row, file: Path) -> Matrix:
    """World to camera, of a row of camera to world."""
    return np.asarray(np.linalg.inv(pose_of(row.cells, what=f"{file}: row {row.line}")), np.float64)


def is_replica(folder: Path) -> bool:
    """Whether it has a trajectory and the rendered frames."""
    return (folder / "traj.txt").is_file() and (folder / "results").is_dir()


def read_replica(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """results/frameN.jpg and depthN.png, traj.txt (camera to world, a row each), cam_params.json here or above.

    Raises:
        CameraFileError, MediaError.
    """
    file = next((p for p in (folder / "cam_params.json", folder.parent / "cam_params.json") if p.is_file()), None)
    if file is None:
        raise CameraFileError(f"{folder}: poses without a camera: cam_params.json is neither here nor above")
    try:
        data = parse_json(read_text(file))
        camera = data["camera"]
        size, unit = (int(camera["w"]), int(camera["h"])), 1 / float(camera["scale"])
    except (DocumentError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CameraFileError(f"{file}: expected camera with w, h, fx, fy, cx, cy, scale: {error}") from None
    K = intrinsics_of(camera, what=str(file))
    K[:2, 2] += 0.5
    found = [p for p in listed(folder / "results", pictures.ENDINGS) if p.stem.startswith("frame")]
    rows = read_rows(folder / "traj.txt", most_bytes=MOST_BYTES)
    if len(rows) != len(found):
        raise CameraFileError(f"{folder}: {len(found)} pictures and {len(rows)} poses in traj.txt, expected one each")
    maps = [p for p in listed(folder / "results", depth.ENDINGS) if p.stem.startswith("depth")]
    deep = {p.stem.removeprefix("depth"): p for p in maps}
    sources = [
        Source(p, p.name, K, _viewmat(r, folder / "traj.txt"), size,
               depth=deep.get(p.stem.removeprefix("frame")), depth_scale=depth_scale or unit)
        for p, r in zip(found, rows)
    ]  # fmt: skip
    beside = {folder / "traj.txt": "poses", file: "camera"}
    return Listing("a Replica sequence", tuple(sources), ordered=True, beside=beside)
