"""`transforms.json` of nerfstudio and instant-ngp, and the `transforms_train.json` of Blender's synthetic scenes.

Poses are camera to world with OpenGL's axes (x right, y up, z backward).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.documents.reading import DocumentError, parse_json, read_text
from pw_core.media import pictures
from pw_core.media.cameras import OPENGL, intrinsics_of, matrix_of, pose_of
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.lens import Distortion
from pw_core.media.listing import everything
from pw_core.media.tables import MOST_BYTES
from pw_core.reconstruct.layouts.types import Listing, Matrix, Source, matched_case, unique_names

FILES = ("transforms.json", "transforms_train.json")
_LENSES = {"k1", "k2", "k3", "k4", "p1", "p2"}
_PINHOLES = {"", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "OPENCV_FISHEYE", "FISHEYE",
             "PERSPECTIVE"}  # fmt: skip


def is_transforms(folder: Path) -> bool:
    """Whether one of the files is there."""
    return any((folder / name).is_file() for name in FILES)


def read_transforms(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """The frames that the file names; their unit is no metre unless there is depth.

    Raises:
        CameraFileError: a frame without a picture or pose, or cameras that are none.
        MediaError: a depth or mask file that is not there.
    """
    file = next(folder / n for n in FILES if (folder / n).is_file())
    try:
        data = parse_json(read_text(file, most_bytes=MOST_BYTES), most_bytes=MOST_BYTES)
    except DocumentError as error:
        raise CameraFileError(f"{file}: {error}") from None
    frames = data.get("frames") if isinstance(data, Mapping) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(f, Mapping) for f in frames):
        raise CameraFileError(f"{file}: expected 'frames', a list of file_path and transform_matrix")
    here = everything(folder)
    known = [p for p in here if p.suffix.lower() in pictures.ENDINGS]
    paths = [_picture(folder, f, known, what=f"{file}: frame {i}") for i, f in enumerate(frames)]
    scale = depth_scale or float(data.get("depth_unit_scale_factor") or data.get("integer_depth_scale") or 0.0)
    sources = []
    for i, (path, name, frame) in enumerate(zip(paths, unique_names(paths, folder), frames)):
        what = f"{file}: frame {i} ('{frame['file_path']}')"
        if paths.index(path) != i:
            raise CameraFileError(f"{what}: is there twice")
        merged = {**{k: v for k, v in data.items() if k != "frames"}, **frame}
        K, size = _intrinsics(merged, path, what)
        viewmat = OPENGL @ np.linalg.inv(pose_of(frame.get("transform_matrix"), what=f"{what}, transform_matrix"))
        sources.append(Source(
            path, name, K, viewmat, size, _lens(merged, what),
            _other(folder, frame, ("depth_file_path", "depth_path"), here, what), scale,
            _other(folder, frame, ("mask_path",), here, what),
        ))  # fmt: skip
    splits = {p: f"{p.name} is another split than {file.name}" for p in folder.glob("transforms_*.json") if p != file}
    deep = any(s.depth is not None for s in sources)
    return Listing(file.name, tuple(sources), beside={file: "cameras"}, reasons=splits, metric=deep)


def _picture(folder: Path, frame: Mapping[str, Any], known: Sequence[Path], *, what: str) -> Path:
    if not isinstance(frame.get("file_path"), str):
        raise CameraFileError(f"{what}: has no file_path")
    path = matched_case(folder, frame["file_path"], known)
    if path is None:  # Blender's have no ending
        path = next((p for p in known if p.with_suffix("") == folder / frame["file_path"]), None)
    if path is None:
        raise CameraFileError(f"{what}: '{frame['file_path']}' is no picture below {folder}")
    return path


def _other(
    folder: Path, frame: Mapping[str, Any], keys: Sequence[str], known: Sequence[Path], what: str
) -> Path | None:
    for key in keys:
        if frame.get(key):
            path = matched_case(folder, str(frame[key]), known)
            if path is None:
                raise MediaError(f"{what}: {key} '{frame[key]}' is not there")
            return path
    return None


def _intrinsics(fields: Mapping[str, Any], path: Path, what: str) -> tuple[Matrix, tuple[int, int] | None]:
    """K and the size it is for."""
    numbers = {k: float(matrix_of(fields[k], what=f"{what}, {k}")) for k in
               ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y") if fields.get(k) is not None}
    size = (int(numbers["w"]), int(numbers["h"])) if numbers.get("w", 0) > 0 and numbers.get("h", 0) > 0 else None
    if "fl_x" not in numbers and "camera_angle_x" not in numbers:
        raise CameraFileError(f"{what}: has neither fl_x nor camera_angle_x: its focal length is not known")
    size = size or pictures.stored_size(path)
    width, height = size
    focal = numbers.get("fl_x") or width / 2 / float(np.tan(numbers["camera_angle_x"] / 2))
    if "fl_y" not in numbers and "camera_angle_y" in numbers:
        numbers["fl_y"] = height / 2 / float(np.tan(numbers["camera_angle_y"] / 2))
    centre = numbers.get("cx", width / 2), numbers.get("cy", height / 2)
    return intrinsics_of([focal, numbers.get("fl_y", focal), *centre], what=what), size


def _lens(fields: Mapping[str, Any], what: str) -> Distortion | None:
    model = str(fields.get("camera_model") or "").upper()
    if model not in _PINHOLES:
        raise CameraFileError(f"{what}: camera_model {model} is not read; undistort the pictures to PINHOLE")
    k = {n: float(matrix_of(fields[n], what=f"{what}, {n}")) for n in _LENSES if fields.get(n) is not None}
    if "FISHEYE" in model or fields.get("is_fisheye"):
        return Distortion.of("fisheye", [k.get(n, 0.0) for n in ("k1", "k2", "k3", "k4")])
    if k.get("k4"):
        raise CameraFileError(f"{what}: k4 {k['k4']:g} with camera_model '{model or 'none'}', which has no such number")
    return Distortion.of("opencv", [k.get(n, 0.0) for n in ("k1", "k2", "p1", "p2", "k3")])
