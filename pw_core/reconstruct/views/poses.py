"""Camera poses and sparse points: structure from motion with pycolmap, or triangulation from given poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, I64, Camera
from pw_core.reconstruct.image import Rgb, working_size
from pw_core.reconstruct.views.inputs import Inputs, ViewInput
from pw_core.reconstruct.views.settings import ViewsSettings

Tell = Callable[[str, float], None]
EXHAUSTIVE_UP_TO = 60
MIN_POINTS = 60
FEW_POINTS = 60
"""A picture that sees fewer points is placed poorly."""
PEAKS, MOST_FEATURES = (0.003, 0.0015), 6000
"""Of SIFT, where a picture's usual features do not do, and where those do not either."""
SMALL_PX = 1000
"""Pictures narrower than this are enlarged where features are hard to find."""
ROBUST_PX, WORST_PX, MIN_TURN_DEG = 0.25, 2.0, 1.5
"""Reprojection errors where the loss begins to flatten and above which a point is dropped; its least parallax."""


@dataclass(frozen=True)
class View:
    """A picture without distortion at the working size, its camera, and depth [m] (H, W) where it was given."""

    name: str
    image: Rgb
    camera: Camera
    depth: F32 | None = None


@dataclass(frozen=True)
class Posed:
    """Views, sparse points (n, 3) in their frame, colours (n, 3) 0 to 1, which of them each view saw, a report."""

    views: tuple[View, ...]
    points: F64
    colors: F64
    seen: dict[str, I64]
    report: dict[str, Any] = field(default_factory=dict)


def pose(inputs: Inputs, settings: ViewsSettings, folder: Path, tell: Tell) -> Posed:
    """Cameras of all pictures.

    Given poses are used as they are, and points are triangulated (or taken from depth). Without them, structure from
    motion finds poses up to scale, with the intrinsics as given or found too; pictures are undistorted. A model in
    `folder`/sfm is used again.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): too little overlap; names the pictures that were left over.
    """
    import pycolmap

    pycolmap.logging.minloglevel = 2
    sfm = folder / "sfm"
    sfm.mkdir(parents=True, exist_ok=True)
    if inputs.route == "posed rgbd":
        return _from_depth(inputs, settings)
    model = sfm / "model"
    if not (model / "images.bin").is_file():
        tell("features", 0.02)
        found = _map(inputs, settings, sfm, tell, level=0)
        for level in (1, 2):
            if inputs.route != "photos" or _well(found, inputs):
                break
            # Affine shape, larger pictures and lower thresholds find matches over wider turns and on smooth things, at
            # several times the cost.
            tell("features that bear wider turns" if level == 1 else "still more features", 0.06)
            again = _map(inputs, settings, sfm, tell, level=level)
            if again is not None and (found is None or _weakest(again) > _weakest(found)):
                found = again
        if inputs.route == "photos" and found is not None:
            settle(found, fixed=_intrinsics(inputs))
        if found is None or found.num_points3D() < MIN_POINTS:
            names = ", ".join(v.name for v in inputs.views)
            raise ReconstructError(
                f"too little overlap between {names}: no common points were found; neighbouring views must share half "
                "of what they show and differ by 5 to 25 degrees", code=ErrorCode.RECONSTRUCT_FAILED,
            )  # fmt: skip
        part = sfm / "model.part"
        part.mkdir(exist_ok=True)
        found.write(part)
        part.rename(model)
    found = pycolmap.Reconstruction(model)
    registered = {i.name for i in found.images.values() if i.has_pose}
    left = [v.name for v in inputs.views if v.name not in registered]
    if len(registered) < max(2, len(inputs.views) / 2):
        raise ReconstructError(
            f"too little overlap: only {len(registered)} of {len(inputs.views)} pictures could be placed; left over: "
            f"{', '.join(left)}", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    return _collect(inputs, settings, found, left)


def triangulated(inputs: Inputs, settings: ViewsSettings, folder: Path, tell: Tell) -> Any:
    """The pycolmap reconstruction of pictures with given poses, which stay; None where there is none."""
    return _map(inputs, settings, folder, tell, level=0)


def _weakest(found: Any) -> tuple[int, int]:
    """How many pictures were placed, and how many points the one sees that sees fewest."""
    placed = [i.num_points3D for i in found.images.values() if i.has_pose]
    return len(placed), min(placed, default=0)


def _well(found: Any, inputs: Inputs) -> bool:
    return found is not None and _weakest(found) >= (len(inputs.views), FEW_POINTS)


def settle(found: Any, *, fixed: bool) -> None:
    """Poses and points adjusted once more with a loss that bounds what a wrong match pulls, and without the worst.

    Highlights wander over a wet thing and matches slide along a table's grain: epipolar geometry lets both pass.
    fixed: intrinsics stay.
    """
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length = options.refine_extra_params = not fixed
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = ROBUST_PX
    for _ in range(2):
        pycolmap.bundle_adjustment(found, options)
        pycolmap.ObservationManager(found).filter_all_points3D(WORST_PX, MIN_TURN_DEG)
    found.update_point_3d_errors()


def _intrinsics(inputs: Inputs) -> bool:
    """Whether every picture came with its intrinsics."""
    return all(v.K is not None for v in inputs.views)


def _map(inputs: Inputs, settings: ViewsSettings, sfm: Path, tell: Tell, *, level: int) -> Any:
    import pycolmap

    width = inputs.views[0].image.shape[1]
    larger = 2 if level and width < SMALL_PX else 1
    pictures = _write_pictures(inputs, sfm / ("images" if larger == 1 else "larger"), larger)
    database = sfm / "features.db"
    database.unlink(missing_ok=True)
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.num_threads = matching.num_threads = 2
    if level:
        extraction.sift.estimate_affine_shape = True
        extraction.sift.peak_threshold = PEAKS[level - 1]
        extraction.sift.max_num_features = MOST_FEATURES
        matching.sift.max_ratio = 0.85
    reader = pycolmap.ImageReaderOptions()
    focal = float(np.median([v.focal_px for v in inputs.views]))
    size = inputs.views[0].image.shape
    mode = pycolmap.CameraMode.SINGLE if settings.shared_camera else pycolmap.CameraMode.PER_IMAGE
    if _intrinsics(inputs):
        mode, reader.camera_model = pycolmap.CameraMode.PER_IMAGE, "PINHOLE"
    elif focal > 0 and settings.shared_camera:
        reader.camera_params = f"{larger * focal},{larger * size[1] / 2},{larger * size[0] / 2},0"
    pycolmap.extract_features(
        database, pictures, image_names=[v.name for v in inputs.views], camera_mode=mode, reader_options=reader,
        extraction_options=extraction, device=pycolmap.Device.cpu,
    )  # fmt: skip
    if _intrinsics(inputs):
        _give_intrinsics(inputs, database, larger)
    tell("matching", 0.08)
    auto = "sequential" if inputs.ordered and len(inputs.views) > EXHAUSTIVE_UP_TO else "exhaustive"
    how = auto if settings.matching == "auto" else settings.matching
    match = pycolmap.match_sequential if how == "sequential" else pycolmap.match_exhaustive
    match(database, matching_options=matching, device=pycolmap.Device.cpu)
    tell("poses", 0.12)
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 2
    options.min_model_size = 2
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = 0
    options.mapper.abs_pose_min_num_inliers = 15
    options.mapper.abs_pose_min_inlier_ratio = 0.1
    if level:
        # Where matches are few, a place that two views alone see still says how they stand to each other.
        options.triangulation.ignore_two_view_tracks = False
    if _intrinsics(inputs):
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
    out = sfm / "try"
    out.mkdir(exist_ok=True)
    if inputs.route == "posed":
        known = _known(inputs, database)
        return pycolmap.triangulate_points(known, database, pictures, out, options=options)
    if settings.mapper == "global":
        maps = pycolmap.global_mapping(database, pictures, out)
    else:
        maps = pycolmap.incremental_mapping(database, pictures, out, options=options)
    found = max(maps.values(), key=lambda m: m.num_reg_images()) if maps else None
    if found is not None and larger > 1:
        _shrink(found, larger)
    return found


def _write_pictures(inputs: Inputs, folder: Path, larger: int) -> Path:
    """The pictures as files, `larger` times their size."""
    import cv2

    folder.mkdir(exist_ok=True)
    for v in inputs.views:
        if not (folder / v.name).is_file():
            image = v.image[..., ::-1]
            if larger > 1:
                image = np.asarray(cv2.resize(image, None, fx=larger, fy=larger, interpolation=cv2.INTER_CUBIC))
            quality = [cv2.IMWRITE_JPEG_QUALITY, 97] if Path(v.name).suffix.lower() in (".jpg", ".jpeg") else []
            cv2.imwrite(str(folder / v.name), image, quality)
    return folder


def _give_intrinsics(inputs: Inputs, database: Path, larger: int) -> None:
    """What is known of the cameras in place of what the database assumes."""
    import pycolmap

    db = pycolmap.Database.open(database)
    ids = {i.name: i.camera_id for i in db.read_all_images()}
    for v in inputs.views:
        assert v.K is not None
        camera = db.read_camera(ids[v.name])
        camera.params = [larger * v.K[0, 0], larger * v.K[1, 1], larger * v.K[0, 2], larger * v.K[1, 2]]
        camera.has_prior_focal_length = True
        db.update_camera(camera)
    db.close()


def _shrink(found: Any, larger: int) -> None:
    """What was found in larger pictures, in pixels of the given ones."""
    for camera in found.cameras.values():
        camera.rescale(camera.width // larger, camera.height // larger)
    for image in found.images.values():
        for point in image.points2D:
            point.xy = point.xy / larger
    found.update_point_3d_errors()


def _known(inputs: Inputs, database: Path) -> Any:
    """A reconstruction with the given cameras, numbered as the database's."""
    import pycolmap

    db = pycolmap.Database.open(database)
    ids = {i.name: (i.image_id, i.camera_id) for i in db.read_all_images()}
    db.close()
    out = pycolmap.Reconstruction()
    for v in inputs.views:
        image_id, camera_id = ids[v.name]
        assert v.K is not None and v.viewmat is not None
        camera = pycolmap.Camera(
            camera_id=camera_id, model="PINHOLE", width=v.image.shape[1], height=v.image.shape[0],
            params=[v.K[0, 0], v.K[1, 1], v.K[0, 2], v.K[1, 2]],
        )  # fmt: skip
        out.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(image_id=image_id, name=v.name, camera_id=camera_id)
        place = pycolmap.Rigid3d(pycolmap.Rotation3d(v.viewmat[:3, :3]), v.viewmat[:3, 3])
        out.add_image_with_trivial_frame(image, place)
    return out


def _collect(inputs: Inputs, settings: ViewsSettings, found: Any, left: list[str]) -> Posed:
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
        picture, K = _undistorted(v.image, found.camera(image.camera_id))
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
    })  # fmt: skip


def _view(v: ViewInput, picture: Rgb, K: F64, matrix: F64, width_px: int) -> View:
    import cv2

    small = working_size(picture, width_px)
    camera = Camera(v.name, K, matrix, picture.shape[1], picture.shape[0]).resized(small.shape[1], small.shape[0])
    depth = v.depth
    if depth is not None:
        depth = cv2.resize(depth, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    return View(v.name, small, camera, depth)


def _undistorted(image: Rgb, camera: Any) -> tuple[Rgb, F64]:
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


def _from_depth(inputs: Inputs, settings: ViewsSettings) -> Posed:
    """Points by unprojecting every view's depth, thinned."""
    views, points, colors, seen = [], [], [], {}
    n = 0
    for v in inputs.views:
        assert v.K is not None and v.viewmat is not None
        view = _view(v, v.image, v.K, v.viewmat, settings.width_px)
        assert view.depth is not None
        y, x = np.nonzero(view.depth > 0)
        pick = np.random.default_rng(0).permutation(len(y))[: max(1500, 40_000 // len(inputs.views))]
        y, x = y[pick], x[pick]
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        points.append(view.camera.unproject(pixel, view.depth[y, x].astype(np.float64)))
        colors.append(view.image[y, x] / 255)
        seen[v.name] = np.arange(n, n + len(y))
        n += len(y)
        views.append(view)
    return Posed(tuple(views), np.concatenate(points), np.concatenate(colors), seen, {
        "registered": [v.name for v in views], "not_registered": [], "points": n, "poses": "given, points from depth",
    })  # fmt: skip


def single(v: ViewInput, settings: ViewsSettings, *, hfov_deg: float) -> Posed:
    """One picture with depth as a posed view; without a pose in its own frame, without K from its field of view."""
    height, width = v.image.shape[:2]
    focal = v.focal_px or width / 2 / float(np.tan(np.radians(hfov_deg) / 2))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]) if v.K is None else v.K
    pose_ = np.eye(4) if v.viewmat is None else v.viewmat
    full = ViewInput(v.name, v.image, v.depth, K, pose_, v.focal_px)
    return _from_depth(Inputs((full,)), settings)
