"""What a pycolmap reconstruction holds, as views without distortion and their sparse points."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.gaussians import F64
from pw_core.media.lens import Distortion, Straight
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.working_view import working_view
from pw_core.reconstruct.types import Mask, Posed, Rgb


def collect(inputs: Inputs, settings: ViewsSettings, found: Any, notes: dict[str, Any]) -> Posed:
    """The registered images of a reconstruction as views; notes: more for the report."""
    by_name = {i.name: i for i in found.images.values() if i.has_pose}
    number = {k: n for n, k in enumerate(found.points3D)}
    points = np.array([p.xyz for p in found.points3D.values()]).reshape(-1, 3)
    colors = np.full((len(points), 3), 0.5)
    views, seen = [], {}
    for v in inputs.views:
        image = by_name.get(v.name)
        if image is None:
            continue
        matrix = np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
        picture, K, seen_px = undistorted(v.image, found.camera(image.camera_id), v.valid)
        at = [(number[p.point3D_id], p.xy) for p in image.points2D if p.has_point3D()]
        seen[v.name] = np.array([i for i, _ in at], np.int64)
        if at:
            xy = np.floor([p for _, p in at]).astype(int)
            inside = np.clip(xy, 0, np.array(v.image.shape[1::-1]) - 1)
            colors[seen[v.name]] = v.image[inside[:, 1], inside[:, 0]] / 255
        views.append(working_view(v, picture, K=K, viewmat=matrix, width_px=settings.width_px,
                                  valid=seen_px))  # fmt: skip
    return Posed(tuple(views), points, colors, seen, {
        "registered": [v.name for v in views],
        "not_registered": [v.name for v in inputs.views if v.name not in by_name], "points": len(points),
        "reprojection_error_px": round(float(found.compute_mean_reprojection_error()), 4),
        "poses": "given" if inputs.route == "posed" else f"structure from motion ({settings.mapper})",
    } | notes)  # fmt: skip


def undistorted(image: Rgb, camera: Any, valid: Mask | None = None) -> tuple[Rgb, F64, Mask | None]:
    """The picture as a pinhole camera of the same K takes it, that K, and which of its pixels were seen (None: all).
    COLMAP's pixel centres are at +0.5."""
    import cv2

    K = np.asarray(camera.calibration_matrix(), np.float64)
    extra = [float(camera.params[i]) for i in camera.extra_params_idxs()]
    numbers = [*extra, 0, 0, 0, 0][:4] if len(extra) != 2 else [*extra, 0, 0]
    lens = Distortion.of("opencv", numbers)
    if lens is None:
        return image, K, valid
    height, width = image.shape[:2]
    straight = Straight(K, lens, (width, height))
    seen = straight.valid
    if valid is not None:
        seen = seen & straight.nearest(valid.astype(np.uint8)).astype(bool)
    shifted = K.copy()
    shifted[:2, 2] -= 0.5  # OpenCV's pixel centres are whole numbers
    picture = np.asarray(cv2.undistort(image, shifted, np.array(numbers)), np.uint8)
    if not seen.all():
        picture[~seen] = straight.picture(image)[~seen]  # no black edge that anything could take for one
    return picture, K, None if seen.all() else seen
