"""Structure from motion by pycolmap: features, matches that chance does not explain, and a map from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.sfm.conventions import ConventionOptions, check_by_matches
from pw_core.reconstruct.poses.sfm.verification import VerificationOptions, drop_chance_pairs


@dataclass(frozen=True, kw_only=True)
class MappingOptions:
    """What pycolmap is asked for."""

    threads: int = 2
    """Of feature extraction, matching and mapping."""
    exhaustive_up_to: int = 60
    """Pictures; of more, in order, each is matched with the next ones only."""
    peak_thresholds: tuple[float, float] = (0.003, 0.0015)
    """Of SIFT, where a picture's usual features do not do, and where those do not either."""
    most_features: int = 6000
    """In a picture, at these thresholds."""
    match_ratio: float = 0.85
    """Of the distances to the best and the second best match, at these thresholds: faint features are alike."""
    enlarge_below_px: int = 1000
    """Pictures narrower than this are enlarged where features are hard to find ..."""
    enlargement: int = 2
    """... by this factor."""
    jpeg_quality: int = 97
    """Of the pictures that features are found in, where they came as JPEG: at lower ones features are lost."""
    epipolar_error_px: float = 4.0
    """Within which a match must lie of its epipolar line, in pixels of the pictures that features were found in."""
    half_least_matches: int = 10
    """Matches that a pair must have left of half of its matches; chance is known by more than their number."""
    least_pose_matches: int = 15
    """Points that an image must see to be registered ..."""
    least_pose_share: float = 0.1
    """... and the share of its matches with points that must agree with its pose."""
    verification: VerificationOptions = VerificationOptions()
    """Which pairs chance explains."""
    conventions: ConventionOptions = ConventionOptions()
    """When given poses are refused."""


def intrinsics_given(inputs: Inputs) -> bool:
    """Whether every picture came with its intrinsics."""
    return all(v.K is not None for v in inputs.views)


def enlargement(inputs: Inputs, level: int, *, options: MappingOptions = MappingOptions()) -> int:
    """How many times the pictures are enlarged for their features."""
    return options.enlargement if level and inputs.views[0].image.shape[1] < options.enlarge_below_px else 1


def _folder(larger: int) -> str:
    """Where the pictures lie that features are found in."""
    return "images" if larger == 1 else "larger"


def database_of(sfm: Path, level: int) -> Path:
    """Where features and matches of a level lie."""
    return sfm / f"features.db{level}"


def match_pictures(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, *, level: int,
    options: MappingOptions = MappingOptions(),
) -> Path:  # fmt: skip
    """The database `database_of(sfm, level)` with features of the pictures and their matches, found anew.

    level: 0 for usual features, 1 and 2 for more and fainter ones; pictures are enlarged by `enlargement`.
    """
    import pycolmap

    larger = enlargement(inputs, level, options=options)
    pictures = _write_pictures(inputs, sfm / _folder(larger), larger, options)
    database = database_of(sfm, level)
    database.unlink(missing_ok=True)
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.num_threads = matching.num_threads = options.threads
    if level:
        extraction.sift.estimate_affine_shape = True
        extraction.sift.peak_threshold = options.peak_thresholds[level - 1]
        extraction.sift.max_num_features = options.most_features
        matching.sift.max_ratio = options.match_ratio
    reader = pycolmap.ImageReaderOptions()
    focal = float(np.median([v.focal_px for v in inputs.views]))
    size = inputs.views[0].image.shape
    mode = pycolmap.CameraMode.SINGLE if settings.shared_camera else pycolmap.CameraMode.PER_IMAGE
    if intrinsics_given(inputs):
        mode, reader.camera_model = pycolmap.CameraMode.PER_IMAGE, "PINHOLE"
    elif focal > 0 and settings.shared_camera:
        reader.camera_params = f"{larger * focal},{larger * size[1] / 2},{larger * size[0] / 2},0"
    pycolmap.extract_features(
        database, pictures, image_names=[v.name for v in inputs.views], camera_mode=mode, reader_options=reader,
        extraction_options=extraction, device=pycolmap.Device.cpu,
    )  # fmt: skip
    if intrinsics_given(inputs):
        _give_intrinsics(inputs, database, larger)
    progress("matching", 0.08)
    auto = "sequential" if inputs.ordered and len(inputs.views) > options.exhaustive_up_to else "exhaustive"
    how = auto if settings.matching == "auto" else settings.matching
    match = pycolmap.match_sequential if how == "sequential" else pycolmap.match_exhaustive
    match(database, matching_options=matching, verification_options=_epipolar(options), device=pycolmap.Device.cpu)
    drop_chance_pairs(database, error_px=options.epipolar_error_px, options=options.verification)
    return database


def map_pictures(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, *, level: int,
    options: MappingOptions = MappingOptions(),
) -> Any:  # fmt: skip
    """The largest pycolmap reconstruction of the pictures, in their pixels; None where there is none.

    Given poses stay. level: as in `match_pictures`, whose database stays.
    """
    import pycolmap

    database = match_pictures(inputs, settings, sfm, progress, level=level, options=options)
    larger = enlargement(inputs, level, options=options)
    pictures = sfm / _folder(larger)
    progress("poses", 0.12)
    if inputs.route == "posed":
        check_by_matches(inputs, database, larger=larger, options=options.conventions)
        known = _given_cameras(inputs, database, larger)
        pipeline = _pipeline(inputs, level, options)
        found = pycolmap.triangulate_points(known, database, pictures, _try(sfm), options=pipeline)
        if larger > 1:
            _shrink(found, larger)
        return found
    if settings.mapper == "global":
        maps = pycolmap.global_mapping(database, pictures, _try(sfm))
        return _largest(maps, larger)
    return incremental_map(inputs, database, sfm, level=level, options=options)


def _try(sfm: Path) -> Path:
    out = sfm / "try"
    out.mkdir(exist_ok=True)
    return out


def _epipolar(options: MappingOptions) -> Any:
    import pycolmap

    out = pycolmap.TwoViewGeometryOptions()
    out.ransac.max_error, out.ransac.random_seed = options.epipolar_error_px, 0
    return out


def verify_matches(database: Path, *, options: MappingOptions = MappingOptions()) -> None:
    """Which of a database's matches agree with an epipolar geometry that chance does not explain."""
    import pycolmap

    epipolar = _epipolar(options)
    epipolar.min_num_inliers = options.half_least_matches
    pycolmap.geometric_verification(database, two_view_geometry_options=epipolar)
    drop_chance_pairs(database, error_px=options.epipolar_error_px, options=options.verification)


def _pipeline(inputs: Inputs, level: int, options: MappingOptions) -> Any:
    import pycolmap

    out = pycolmap.IncrementalPipelineOptions()
    out.num_threads = options.threads
    out.min_model_size = 2
    out.random_seed = out.mapper.random_seed = out.triangulation.random_seed = 0
    out.mapper.abs_pose_min_num_inliers = options.least_pose_matches
    out.mapper.abs_pose_min_inlier_ratio = options.least_pose_share
    if level:
        # Where matches are few, a place that two views alone see still says how they stand to each other.
        out.triangulation.ignore_two_view_tracks = False
    if intrinsics_given(inputs):
        out.ba_refine_focal_length = out.ba_refine_extra_params = False
        out.mapper.abs_pose_refine_focal_length = out.mapper.abs_pose_refine_extra_params = False
    return out


def incremental_map(
    inputs: Inputs, database: Path, sfm: Path, *, level: int, options: MappingOptions = MappingOptions()
) -> Any:
    """The largest map that the matches in a database give of the pictures of `level`; None where there is none."""
    import pycolmap

    larger = enlargement(inputs, level, options=options)
    pictures = sfm / _folder(larger)
    maps = pycolmap.incremental_mapping(database, pictures, _try(sfm), options=_pipeline(inputs, level, options))
    return _largest(maps, larger)


def _largest(maps: dict[int, Any], larger: int) -> Any:
    found = max(maps.values(), key=lambda m: m.num_reg_images()) if maps else None
    if found is not None and larger > 1:
        _shrink(found, larger)
    return found


def _write_pictures(inputs: Inputs, folder: Path, larger: int, options: MappingOptions) -> Path:
    """The pictures as files, `larger` times their size."""
    import cv2

    folder.mkdir(exist_ok=True)
    for v in inputs.views:
        if not (folder / v.name).is_file():
            image = v.image[..., ::-1]
            if larger > 1:
                image = np.asarray(cv2.resize(image, None, fx=larger, fy=larger, interpolation=cv2.INTER_CUBIC))
            jpeg = Path(v.name).suffix.lower() in (".jpg", ".jpeg")
            quality = [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality] if jpeg else []
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


def _given_cameras(inputs: Inputs, database: Path, larger: int) -> Any:
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
            camera_id=camera_id, model="PINHOLE", width=larger * v.image.shape[1], height=larger * v.image.shape[0],
            params=[larger * v.K[0, 0], larger * v.K[1, 1], larger * v.K[0, 2], larger * v.K[1, 2]],
        )  # fmt: skip
        out.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(image_id=image_id, name=v.name, camera_id=camera_id)
        place = pycolmap.Rigid3d(pycolmap.Rotation3d(v.viewmat[:3, :3]), v.viewmat[:3, 3])
        out.add_image_with_trivial_frame(image, place)
    return out
