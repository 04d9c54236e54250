"""A COLMAP project: a model in text or binary, the pictures in `images/`; whatever pycolmap reads, rigs included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pw_core.media import pictures
from pw_core.media.cameras import intrinsics_of
from pw_core.media.errors import CameraFileError
from pw_core.media.lens import Distortion
from pw_core.media.listing import everything
from pw_core.reconstruct.layouts.own import match_depth
from pw_core.reconstruct.layouts.types import Listing, Source, matched_case, unique_names


def _lens(model: str, k: list[float], what: str) -> Distortion | None:
    """Of the numbers after K's in one of COLMAP's models whose lens OpenCV has too.

    Raises:
        CameraFileError: another model.
    """
    if model in ("SIMPLE_PINHOLE", "PINHOLE"):
        return None
    if model in ("SIMPLE_RADIAL", "RADIAL"):
        return Distortion.of("opencv", [*k, 0, 0, 0][:4] if len(k) == 2 else [k[0], 0, 0, 0])
    if model in ("OPENCV", "FULL_OPENCV"):
        return Distortion.of("opencv", k)
    if model in ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"):
        return Distortion.of("fisheye", [*k, 0, 0, 0][:4])
    raise CameraFileError(f"{what}: camera model {model} is not read; undistort the pictures to PINHOLE")


def model_folder(folder: Path) -> Path | None:
    """Where the folder's model is: `sparse/0`, `sparse`, `poses`, or the folder itself; the first of several."""
    for place in (folder / "sparse" / "0", *sorted((folder / "sparse").glob("*")), folder / "sparse",
                  folder / "colmap" / "sparse" / "0", folder / "poses", folder):  # fmt: skip
        for ending in (".bin", ".txt"):
            if all((place / f"{name}{ending}").is_file() for name in ("cameras", "images")):
                return place
    return None


def is_colmap(folder: Path) -> bool:
    """Whether it holds a model."""
    return model_folder(folder) is not None


def read_colmap(folder: Path, *, depth_scale: float = 0.0) -> Listing:
    """The registered images of the model; its unit is no metre unless there is depth.

    Raises:
        CameraFileError: a model that cannot be read, a lens that OpenCV does not have, or a registered image whose
            picture is not there.
    """
    place = model_folder(folder)
    assert place is not None
    model = _model(place)
    root = next((p for p in (folder / "images", folder / "inputs") if p.is_dir()), folder)
    known = [p for p in everything(root) if p.suffix.lower() in pictures.ENDINGS]
    placed = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name)
    if not placed:
        raise CameraFileError(f"{place}: no image of the model is registered")
    paths = []
    for image in placed:
        path = matched_case(root, image.name, known)
        if path is None:
            raise CameraFileError(f"{place}: image '{image.name}' is registered and not among the pictures in {root}")
        paths.append(path)
    deep = match_depth(paths, folder / "depth")
    sources = []
    for image, path, name in zip(placed, paths, unique_names(paths, root)):
        camera = model.cameras[image.camera_id]
        lens = _lens(camera.model.name, [float(camera.params[i]) for i in camera.extra_params_idxs()], str(place))
        viewmat = np.vstack([np.asarray(image.cam_from_world().matrix()), [0, 0, 0, 1]])
        K = intrinsics_of(np.asarray(camera.calibration_matrix()), what=f"{place}: camera {image.camera_id}")
        sources.append(Source(path, name, K, viewmat, (int(camera.width), int(camera.height)), lens, deep.get(path),
                              depth_scale))  # fmt: skip
    beside = {p: "cameras" for p in place.iterdir() if p.stem in ("cameras", "images", "points3D", "rigs", "frames")}
    reasons = {p: "not registered in the model" for p in known if p not in paths}
    return Listing("a COLMAP project", tuple(sources), beside=beside, reasons=reasons, metric=bool(deep))


def _model(place: Path) -> Any:
    try:
        import pycolmap
    except ImportError:
        raise CameraFileError(f"{place}: a COLMAP model is read with pycolmap: pip install 'perpetual-wonder[views]'"
                              ) from None  # fmt: skip
    if not any((place / f"points3D{ending}").is_file() for ending in (".bin", ".txt")):
        raise CameraFileError(f"{place}: has no points3D file, which a COLMAP model has, empty or not")
    pycolmap.logging.minloglevel = 3
    try:
        return pycolmap.Reconstruction(place)
    except Exception as error:  # its own kinds of error, of broken files
        raise CameraFileError(f"{place}: pycolmap cannot read the model: {error}") from None
