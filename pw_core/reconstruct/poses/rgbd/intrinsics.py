"""Intrinsics of RGB-D pictures by structure from motion, and its poses in metres: the metre is that of the depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.collect import undistorted
from pw_core.reconstruct.poses.sfm.reconstruct import SfmOptions, reconstruct_sparse


@dataclass(frozen=True, kw_only=True)
class IntrinsicsOptions:
    """When depth belongs to the map of its pictures."""

    most_scale_spread: float = 0.1
    """Of the scale: how far the ratios of depth to the map's may lie apart (median) before something is wrong."""
    most_scale_deviation: float = 0.25
    """Of the scale: how far a picture's own may be off the others'."""
    least_points: int = 8
    """With depth, that a picture must have to say anything of the scale."""


@dataclass(frozen=True)
class Mapped:
    """Pictures and depth without distortion, with intrinsics; poses by name, camera to world [m] (4, 4); undistorted:
    features (n, 2) [px] of a picture as given to those of the one without distortion."""

    views: tuple[ViewInput, ...]
    poses: dict[str, F64]
    report: dict[str, Any]
    undistorted: Callable[[str, F64], F64]


def map_with_intrinsics(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, *,
    options: IntrinsicsOptions = IntrinsicsOptions(), sfm_options: SfmOptions = SfmOptions(),
) -> Mapped:  # fmt: skip
    """What structure from motion finds of the pictures, scaled by their depth.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there is no map that can be trusted, and so no intrinsics; or the depth
            does not belong to the pictures.
    """
    flat = replace(inputs, views=tuple(replace(v, depth=None, viewmat=None) for v in inputs.views))
    try:
        found, _ = reconstruct_sparse(flat, settings, sfm, progress, options=sfm_options)
    except ReconstructError as error:
        raise ReconstructError(f"intrinsics were not given with all pictures and could not be found: {error}. Give "
                               "them: RGB-D cameras publish theirs", code=error.code) from None  # fmt: skip
    placed = {i.name: i for i in found.images.values() if i.has_pose}
    shared = next(iter(placed.values())).camera_id if settings.shared_camera else None
    cameras, views = {}, []
    for v in inputs.views:
        known = placed[v.name].camera_id if v.name in placed else shared
        if known is None:
            continue  # nothing tells its focal length
        camera = cameras[v.name] = found.camera(known)
        picture, K, valid = undistorted(v.image, camera, v.valid)
        depth = None if v.depth is None else _depth_undistorted(v.depth, camera)
        views.append(replace(v, image=picture, K=K, depth=depth, valid=valid))
    scale, spread = scale_of(found, {v.name: v for v in views}, options=options)
    poses: dict[str, F64] = {}
    for name, image in placed.items():
        T = np.eye(4)
        T[:3] = image.cam_from_world().matrix()
        T[:3, 3] *= scale
        poses[name] = np.asarray(np.linalg.inv(T))

    def plain(name: str, pixels: F64) -> F64:
        if len(pixels) == 0:
            return pixels
        K = np.asarray(cameras[name].calibration_matrix(), np.float64)
        rays = np.asarray(cameras[name].cam_from_img(pixels), np.float64).reshape(len(pixels), 2)
        return np.asarray(rays * np.array([K[0, 0], K[1, 1]]) + K[:2, 2])

    report = {"intrinsics": "structure from motion", "scale_spread": round(spread, 4)}
    return Mapped(tuple(views), poses, report, plain)


def scale_of(
    found: Any, views: dict[str, ViewInput], *, options: IntrinsicsOptions = IntrinsicsOptions()
) -> tuple[float, float]:
    """Metres a unit of a pycolmap reconstruction, and the relative spread (median deviation) of what its points say.

    Each point seen in a picture with depth gives the ratio of that depth to its own; the median is the scale.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): hardly any point has depth; or the ratios are spread widely, or one
            picture's are off the others'; names the picture.
    """
    by: dict[str, F64] = {}
    for image in found.images.values():
        view = views.get(image.name)
        if not image.has_pose or view is None or view.depth is None or view.K is None:
            continue
        ids = [p.point3D_id for p in image.points2D if p.has_point3D()]
        if not ids:
            continue
        pose = image.cam_from_world().matrix()
        local = np.array([found.point3D(i).xyz for i in ids]) @ pose[:, :3].T + pose[:, 3]
        at = local[:, :2] / local[:, 2:] * np.array([view.K[0, 0], view.K[1, 1]]) + view.K[:2, 2]
        size = np.array(view.depth.shape[::-1])
        inside = (local[:, 2] > 0) & ((at >= 0) & (at < size)).all(1)
        cell = np.floor(at[inside]).astype(int)
        depth = view.depth[cell[:, 1], cell[:, 0]].astype(np.float64)
        by[image.name] = depth[depth > 0] / local[inside, 2][depth > 0]
    ratios = np.concatenate([np.zeros(0), *by.values()])
    if len(ratios) < options.least_points:
        raise ReconstructError(f"only {len(ratios)} of the points that the pictures have in common have depth: the "
                               "metre is not known", code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    scale = float(np.median([np.median(r) for r in by.values() if len(r) >= options.least_points] or ratios))
    off = {n: float(np.median(r)) / scale for n, r in by.items() if len(r) >= options.least_points}
    most = 1 + options.most_scale_deviation
    odd = {n: o for n, o in off.items() if not 1 / most < o < most}
    if odd:
        raise ReconstructError(
            f"depth of {', '.join(f'{n} ({o:.3g} times)' for n, o in odd.items())} is off what the other pictures say: "
            "is it in the same unit (uint16: millimetres, float: metres)?", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    spread = float(np.median(np.concatenate([np.abs(r / scale - 1) for r in by.values()])))
    if spread > options.most_scale_spread:
        raise ReconstructError(
            f"depth does not fit the pictures: it is {100 * spread:.0f} % off what they show (median of {len(ratios)} "
            "points); register it to the picture, and give it along the optical axis, not along the ray nor as "
            "disparity", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    return scale, spread


def _depth_undistorted(depth: F32, camera: Any) -> F32:
    """Depth as a pinhole camera of the same K sees it, the nearest pixel's."""
    import cv2

    height, width = depth.shape
    K = np.asarray(camera.calibration_matrix(), np.float64)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.column_stack([(x.ravel() - K[0, 2]) / K[0, 0], (y.ravel() - K[1, 2]) / K[1, 1], np.ones(x.size)])
    at = np.asarray(camera.img_from_cam(rays), np.float32).reshape(height, width, 2) - np.float32(0.5)
    return np.asarray(cv2.remap(depth, at[..., 0], at[..., 1], cv2.INTER_NEAREST), np.float32)
