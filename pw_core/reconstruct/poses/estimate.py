"""Camera poses and sparse points: structure from motion with pycolmap, or triangulation from given poses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, I64, Camera
from pw_core.progress import Progress
from pw_core.reconstruct.image import working_size
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm import consistency as checks
from pw_core.reconstruct.poses.sfm.conventions import check_by_depth
from pw_core.reconstruct.poses.sfm.ground_registration import mosaic
from pw_core.reconstruct.poses.sfm.mapping import database_of, incremental, intrinsics_given, map_pictures, verify
from pw_core.reconstruct.poses.sfm.patch_tracks import lengthen
from pw_core.reconstruct.types import Posed, Rgb, View

MIN_POINTS = 60
FEW_POINTS = 60
"""A picture that sees fewer points is placed poorly."""
MIN_CHECKED = 4
"""Fewer pictures are too few for two maps to be compared."""
ASKED_FOR = (
    "neighbouring views must share half of what they show and differ by 5 to 25 degrees; where things are plain, more "
    "pictures, sharper ones or something patterned beside them help, and so do given intrinsics or poses"
)
NOTES = "notes.json"
CELL_PX, BEHIND = 8, 1.03
"""Where points hide others: the size of a cell, and how much further than its nearest point one may be."""
ROBUST_PX, WORST_PX, MIN_TURN_DEG = 0.25, (2.0, 2.0), 1.5
"""Reprojection errors where the loss begins to flatten and above which a point is dropped; its least parallax."""


def pose(inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress) -> Posed:
    """Cameras of all pictures.

    Given poses are used as they are, and points are triangulated (or taken from depth). Without them, structure from
    motion finds poses up to scale, with the intrinsics as given or found too; pictures are undistorted. A model in
    `folder`/sfm is used again.

    Raises:
        ReconstructError: RECONSTRUCT_FAILED (too little overlap, or poses that cannot be trusted; names the pictures),
            INVALID_CAMERA (given poses are of another convention).
    """
    import pycolmap

    pycolmap.logging.minloglevel = 2
    sfm = folder / "sfm"
    sfm.mkdir(parents=True, exist_ok=True)
    if inputs.route == "posed rgbd":
        check_by_depth(inputs)
        return from_depth(inputs, settings)
    if inputs.route == "rgbd pictures":
        from pw_core.reconstruct.poses.rgbd.estimate import pose_by_depth

        return pose_by_depth(inputs, settings, folder, _onward(progress))
    found, notes = found_map(inputs, settings, sfm, progress)
    registered = {i.name for i in found.images.values() if i.has_pose}
    left = [v.name for v in inputs.views if v.name not in registered]
    if len(registered) < max(2, len(inputs.views) / 2):
        raise ReconstructError(
            f"too little overlap: only {len(registered)} of {len(inputs.views)} pictures could be placed; left over: "
            f"{_with_reasons(left, notes)}. {ASKED_FOR}", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    return _collect(inputs, settings, found, left, notes)


def found_map(inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The pycolmap reconstruction of the pictures, and notes for the report; kept in `sfm`/model and used again.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there is none, or it cannot be trusted.
    """
    import pycolmap

    model = sfm / "model"
    if not (model / "images.bin").is_file():
        found, notes = _find(inputs, settings, sfm, _onward(progress))
        part = sfm / "model.part"
        part.mkdir(exist_ok=True)
        found.write(part)
        (part / NOTES).write_text(json.dumps(notes, indent=1))
        part.rename(model)
    found = pycolmap.Reconstruction(model)
    return found, json.loads((model / NOTES).read_text()) if (model / NOTES).is_file() else {}


def _onward(progress: Progress) -> Progress:
    """`progress` with fractions that never fall, though stages are gone through again."""
    most = 0.0

    def onward(stage: str, fraction: float) -> None:
        nonlocal most
        most = max(most, fraction)
        progress(stage, most)

    return onward


def _find(inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The map of the pictures, and notes for the report.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there is none, or it cannot be trusted.
    """
    progress("features", 0.02)
    found, level = map_pictures(inputs, settings, sfm, progress, level=0), 0
    for more in (1, 2):
        if _well(found, inputs):
            break
        # Affine shape, larger pictures and lower thresholds find matches over wider turns and on smooth things, at
        # several times the cost.
        progress("features that bear wider turns" if more == 1 else "still more features", 0.06)
        again = map_pictures(inputs, settings, sfm, progress, level=more)
        if again is not None and (found is None or _weakest(again) > _weakest(found)):
            found, level = again, more
    if found is None or found.num_points3D() < MIN_POINTS:
        names = ", ".join(v.name for v in inputs.views)
        raise ReconstructError(f"too little overlap between {names}: no common points were found; {ASKED_FOR}",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    if inputs.route != "photos":
        return found, {}
    fixed = intrinsics_given(inputs)
    settle(found, fixed=fixed)
    if len(inputs.views) < MIN_CHECKED or _weakest(found)[1] >= checks.ENOUGH_POINTS:
        return found, {}
    progress("longer tracks", 0.12)
    pictures = {v.name: v.image for v in inputs.views}

    def adjust(m: Any) -> None:
        settle(m, fixed=fixed, worst_px=(4.0, 1.5, 1.0))

    found = lengthen(found, pictures, adjust=adjust)
    progress("the plane by all views", 0.13)
    found, borne = mosaic(found, pictures, adjust=adjust)
    notes = {"borne_out_by_the_plane": borne}
    if all(borne.get(i.name, 0) >= checks.ENOUGH_PLACES for i in found.images.values() if i.has_pose):
        return found, notes
    progress("poses by two halves of the matches", 0.13)
    parts = checks.halves(
        database_of(sfm, level), lambda part: incremental(inputs, part, sfm, level=level), verify=verify
    )  # fmt: skip
    for part in parts:
        if part is not None:
            settle(part, fixed=fixed)
    verdict = checks.judge(found, parts, borne=borne)
    if verdict.why and None not in parts:
        # Half of the matches places worse than all with longer tracks; what the poses are like, longer halves tell.
        progress("longer tracks of both halves", 0.13)
        parts = (lengthen(parts[0], pictures, adjust=adjust), lengthen(parts[1], pictures, adjust=adjust))
        verdict = checks.judge(found, parts, borne=borne)
    if len(verdict.trusted) < max(2, len(inputs.views) / 2):
        raise ReconstructError(
            f"the poses that were found cannot be trusted: {listed(verdict.why)}. {ASKED_FOR}",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    checks.withdraw(found, set(verdict.why))
    return found, notes | {"why_not": verdict.why,
                   "turn_known_to_deg": {n: round(d, 3) for n, d in sorted(verdict.unsure_deg.items())}}  # fmt: skip


def listed(why: dict[str, str]) -> str:
    """Reasons, each with the pictures that it holds of."""
    by: dict[str, list[str]] = {}
    for name, reason in why.items():
        by.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by.items())


def _with_reasons(left: list[str], notes: dict[str, Any]) -> str:
    why = notes.get("why_not", {})
    return ", ".join(f"{n} ({why[n]})" if n in why else n for n in left)


def triangulated(inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress) -> Any:
    """The pycolmap reconstruction of pictures with given poses, which stay; None where there is none."""
    return map_pictures(inputs, settings, folder, progress, level=0)


def _weakest(found: Any) -> tuple[int, int]:
    """How many pictures were placed, and how many points the one sees that sees fewest."""
    placed = [i.num_points3D for i in found.images.values() if i.has_pose]
    return len(placed), min(placed, default=0)


def _well(found: Any, inputs: Inputs) -> bool:
    return found is not None and _weakest(found) >= (len(inputs.views), FEW_POINTS)


def settle(found: Any, *, fixed: bool, worst_px: Sequence[float] = WORST_PX) -> None:
    """Poses and points adjusted once more with a loss that bounds what a wrong match pulls, and without the worst.

    Highlights wander over a wet thing and matches slide along a table's grain: epipolar geometry lets both pass.
    fixed: intrinsics stay; worst_px: above which reprojection errors are dropped after each of the adjustments.
    """
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length = options.refine_extra_params = not fixed
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = ROBUST_PX
    for worst in worst_px:
        pycolmap.bundle_adjustment(found, options)
        pycolmap.ObservationManager(found).filter_all_points3D(worst, MIN_TURN_DEG)
    found.update_point_3d_errors()


def _collect(inputs: Inputs, settings: ViewsSettings, found: Any, left: list[str], notes: dict[str, Any]) -> Posed:
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
        picture, K = undistorted(v.image, found.camera(image.camera_id))
        at = [(number[p.point3D_id], p.xy) for p in image.points2D if p.has_point3D()]
        seen[v.name] = np.array([i for i, _ in at], np.int64)
        if at:
            xy = np.floor([p for _, p in at]).astype(int)
            inside = np.clip(xy, 0, np.array(v.image.shape[1::-1]) - 1)
            colors[seen[v.name]] = v.image[inside[:, 1], inside[:, 0]] / 255
        views.append(_view(v, picture, K, matrix, settings.width_px))
    return Posed(tuple(views), points, colors, seen, {
        "registered": [v.name for v in views], "not_registered": left, "points": len(points),
        "reprojection_error_px": round(float(found.compute_mean_reprojection_error()), 4),
        "poses": "given" if inputs.route == "posed" else f"structure from motion ({settings.mapper})",
    } | notes)  # fmt: skip


def _view(v: ViewInput, picture: Rgb, K: F64, matrix: F64, width_px: int) -> View:
    import cv2

    small = working_size(picture, width_px)
    camera = Camera(v.name, K, matrix, picture.shape[1], picture.shape[0]).resized(small.shape[1], small.shape[0])
    depth = v.depth
    if depth is not None:
        depth = cv2.resize(depth, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    return View(v.name, small, camera, depth)


def undistorted(image: Rgb, camera: Any) -> tuple[Rgb, F64]:
    """The picture as a pinhole camera of the same K takes it. COLMAP's pixel centres are at +0.5, OpenCV's at 0."""
    import cv2

    K = np.asarray(camera.calibration_matrix(), np.float64)
    extra = [float(camera.params[i]) for i in camera.extra_params_idxs()]
    if not any(extra):
        return image, K
    shifted = K.copy()
    shifted[:2, 2] -= 0.5
    distortion = np.array([*extra, 0, 0, 0, 0][:4]) if len(extra) != 2 else np.array([*extra, 0, 0])
    return np.asarray(cv2.undistort(image, shifted, distortion), np.uint8), K


def from_depth(inputs: Inputs, settings: ViewsSettings) -> Posed:
    """Points by unprojecting every view's depth, thinned; a view without depth sees those of the others."""
    views, points, colors, seen = [], [], [], {}
    n = 0
    for v in inputs.views:
        assert v.K is not None and v.viewmat is not None
        view = _view(v, v.image, v.K, v.viewmat, settings.width_px)
        views.append(view)
        if view.depth is None:
            continue
        y, x = np.nonzero(view.depth > 0)
        pick = np.random.default_rng(0).permutation(len(y))[: max(1500, 40_000 // len(inputs.views))]
        y, x = y[pick], x[pick]
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        points.append(view.camera.unproject(pixel, view.depth[y, x].astype(np.float64)))
        colors.append(view.image[y, x] / 255)
        seen[v.name] = np.arange(n, n + len(y))
        n += len(y)
    seen |= {v.name: _in_front(v, np.concatenate(points)) for v in views if v.depth is None}
    return Posed(tuple(views), np.concatenate(points), np.concatenate(colors), seen, {
        "registered": [v.name for v in views], "not_registered": [], "points": n, "poses": "given, points from depth",
    })  # fmt: skip


def _in_front(view: View, points: F64) -> I64:
    """Which of the points (n, 3) a view without depth sees: those with none well before them round where they fall."""
    uv, z = view.camera.project(points)
    size = np.array([view.camera.width, view.camera.height])
    inside = np.nonzero((z > 0) & ((uv >= 0) & (uv < size)).all(1))[0]
    cell = (uv[inside] // CELL_PX).astype(np.int64) @ np.array([1, view.camera.width])
    nearest = np.full(cell.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, cell, z[inside])
    return np.asarray(inside[z[inside] < BEHIND * nearest[cell]], np.int64)


def single(v: ViewInput, settings: ViewsSettings, *, hfov_deg: float) -> Posed:
    """One picture with depth as a posed view; without a pose in its own frame, without K from its field of view."""
    height, width = v.image.shape[:2]
    focal = v.focal_px or width / 2 / float(np.tan(np.radians(hfov_deg) / 2))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]) if v.K is None else v.K
    pose_ = np.eye(4) if v.viewmat is None else v.viewmat
    full = ViewInput(v.name, v.image, v.depth, K, pose_, v.focal_px)
    return from_depth(Inputs((full,)), settings)
