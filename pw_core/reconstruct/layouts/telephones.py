"""What scanning apps of telephones export: Polycam's keyframes and Record3D's frames, with depth and ARKit's poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.documents.reading import DocumentError, parse_json, read_text
from pw_core.media import pictures
from pw_core.media.cameras import OPENGL, Z_UP, intrinsics_of, matrix_of, pose_of
from pw_core.media.errors import CameraFileError
from pw_core.media.listing import listed
from pw_core.media.tables import MOST_BYTES
from pw_core.reconstruct.layouts.own import match_depth
from pw_core.reconstruct.layouts.types import Listing, Matrix, Source


def _keyframes(folder: Path) -> Path | None:
    for place in (folder, folder / "keyframes"):
        if any((place / n).is_dir() for n in ("cameras", "corrected_cameras")) and any(
            (place / n).is_dir() for n in ("images", "corrected_images")
        ):
            return place
    return None


def is_polycam(folder: Path) -> bool:
    """Whether it has pictures and a camera file for each."""
    return _keyframes(folder) is not None


def read_polycam(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """keyframes/images, cameras (the corrected ones where there are any), depth [mm], smaller than the pictures.

    Raises:
        CameraFileError: a picture without a camera, or one that is none.
        MediaError: depth without a picture.
    """
    place = _keyframes(folder)
    assert place is not None
    better = (place / "corrected_images").is_dir() and (place / "corrected_cameras").is_dir()
    images, cameras = (place / f"{'corrected_' if better else ''}{n}" for n in ("images", "cameras"))
    found = listed(images, pictures.ENDINGS)
    deep = match_depth(found, place / "depth")
    beside: dict[Path, str] = {}
    sources = []
    for path in found:
        file = cameras / f"{path.stem}.json"
        camera = _document(file, f"{path} has no camera")
        beside[file] = f"camera of {path.name}"
        rows = [[camera.get(f"t_{i}{j}") for j in range(4)] for i in range(3)]
        placed = Z_UP @ pose_of(rows, what=f"{file}, t_00 to t_23")
        size = int(camera.get("width") or 0), int(camera.get("height") or 0)
        sources.append(Source(path, path.name, intrinsics_of(camera, what=str(file)), OPENGL @ np.linalg.inv(placed),
                              size if min(size) > 0 else None, depth=deep.get(path), depth_scale=depth_scale,
                              depth_covers=True))  # fmt: skip
    reasons = dict.fromkeys((place / "confidence").glob("*"), "how sure the telephone is of its depth: not used")
    if better:
        plain = [*(place / "images").glob("*"), *(place / "cameras").glob("*")]
        reasons |= dict.fromkeys(plain, "the corrected ones are taken")
    return Listing("a Polycam export", tuple(sources), ordered=True, beside=beside, reasons=reasons)


def is_record3d(folder: Path) -> bool:
    """Whether it has the app's metadata and pictures."""
    return (folder / "rgb").is_dir() and any((folder / n).is_file() for n in ("metadata.json", "metadata"))


def read_record3d(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """rgb/N.jpg, depth/N.exr or .png, metadata.json: K (columns first), poses (qx qy qz qw tx ty tz, OpenGL's axes).

    Raises:
        CameraFileError: as many poses as pictures are not there, or they are none.
        MediaError: depth without a picture.
    """
    file = next(folder / n for n in ("metadata.json", "metadata") if (folder / n).is_file())
    data = _document(file, "")
    found = listed(folder / "rgb", pictures.ENDINGS)
    poses = matrix_of(data.get("poses"), what=f"{file}, poses")
    if poses.shape != (len(found), 7):
        text = f"poses have shape {poses.shape}, expected 7 numbers for each of {len(found)} pictures"
        raise CameraFileError(f"{file}: {text}")
    each = data.get("perFrameIntrinsicCoeffs")
    if each is not None and len(each) != len(found):
        raise CameraFileError(f"{file}: perFrameIntrinsicCoeffs of {len(each)} pictures, there are {len(found)}")
    deep = match_depth(found, folder / "depth") if (folder / "depth").is_dir() else {}
    size = (int(data["w"]), int(data["h"])) if data.get("w") and data.get("h") else None
    sources = []
    for i, path in enumerate(found):
        what = f"{file}: picture {i}"
        if each is not None:
            K = intrinsics_of(each[i], what=f"{what}, perFrameIntrinsicCoeffs")
        else:
            K = intrinsics_of(matrix_of(data.get("K"), what=f"{file}, K").reshape(3, 3).T, what=f"{file}, K")
        sources.append(Source(path, path.name, K, _viewmat(poses[i], what), size, depth=deep.get(path),
                              depth_scale=depth_scale, depth_covers=True))  # fmt: skip
    return Listing("a Record3D export", tuple(sources), ordered=True, beside={file: "cameras"})


def _viewmat(numbers: Matrix, what: str) -> Matrix:
    if not 0.9 < np.linalg.norm(numbers[:4]) < 1.1:
        raise CameraFileError(f"{what}: quaternion {numbers[:4].tolist()} has not the length 1")
    placed = np.eye(4)
    placed[:3, :3] = Rotation.from_quat(numbers[:4]).as_matrix()
    placed[:3, 3] = numbers[4:]
    return np.asarray(OPENGL @ np.linalg.inv(Z_UP @ placed))


def _document(file: Path, otherwise: str) -> dict[str, Any]:
    try:
        found = parse_json(read_text(file, most_bytes=MOST_BYTES), most_bytes=MOST_BYTES)
    except DocumentError as error:
        raise CameraFileError(f"{otherwise}: {file} {error}" if otherwise else f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise CameraFileError(f"{file}: expected an object")
    return found
