"""Tracks made longer by patches: each point's surroundings are found again in every view that should show it.

Features of smooth and of wet things are matched between neighbours only, to half a pixel, and poses drift along such a
chain. Where poses are nearly known, a patch round a point can be drawn as another view should show it, and laid on that
view to a tenth of a pixel (least squares matching: Gruen 1985; ECC: Evangelidis and Psarakis 2008); what does not look
alike is left out. Views a third of a circle apart then speak of the same points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pw_core.gaussians import F64
from pw_core.reconstruct.poses.sfm.tracks import (
    RegisteredImage,
    RegisteredImageOptions,
    Track,
    normalized,
    rebuild,
    registered_images,
    track_of,
    triangulate,
)
from pw_core.reconstruct.types import Rgb


@dataclass(frozen=True, kw_only=True)
class PatchTrackOptions:
    """How tracks are extended. Pixels are those of the registered images."""

    images: RegisteredImageOptions = RegisteredImageOptions()
    """How pictures are prepared."""
    rounds: int = 2
    """Times that patches are followed and the poses adjusted; from the second on with corners between the points."""
    patch_half_px: int = 10
    """Half of a patch's width."""
    margin_px: int = 11
    """Of a patch's middle from the border of the image."""
    search_half_patches: int = 3
    """Half of the width of what a patch is laid on, in half widths of the patch."""
    least_correlation: float = 0.9
    """Of a patch with what it is laid on."""
    most_shift_px: float = 3.0
    """A patch that is found further from where it was expected is another."""
    widest_angle_deg: float = 50.0
    """Between the lines of sight of a patch's own view and another."""
    widest_step_deg: float = 35.0
    """Between the lines of sight of a view and the nearest one where the patch was found."""
    spacing_px: int = 3
    """Between the points of one view."""
    least_contrast: float = 1.0
    """Patches whose grey values (0 to 255) spread less show nothing."""
    enough_points: int = 200
    """In a view; where there are fewer, corners between them are tried."""
    corners_times: int = 4
    """Corners that are tried, as a multiple of `enough_points`."""
    corner_quality: float = 0.002
    """The least of a corner's smaller eigenvalue, as a share of the picture's best."""
    neighbours: int = 6
    """Known points that a corner's place is taken from; a view must have three times as many."""
    most_neighbour_distance_px: float = 30.0
    """How far from the corner they may be."""
    most_thickness_ratio: float = 0.3
    """How thick they may lie beside how wide."""
    least_facing_cosine: float = 0.25
    """Between the line of sight and their plane's normal."""
    most_stretch: float = 1.5
    """How much a patch may be stretched against what was expected."""
    iterations: int = 30
    """Of a registration, at most ..."""
    precision: float = 1e-3
    """... and the change of the correlation at which it ends."""


def extend_tracks(
    found: Any, pictures: dict[str, Rgb], *, adjust: Callable[[Any], None],
    options: PatchTrackOptions = PatchTrackOptions(),
) -> Any:  # fmt: skip
    """A pycolmap reconstruction of the same pictures with the points seen by as many views as show them, adjusted; and
    with the points of `found` where the new poses leave them.

    pictures: by the name of each image in `found`, which counts in their pixels; adjust: adjusts a reconstruction in
    place.
    """
    import pycolmap

    old = [track_of(found, p) for p in found.points3D.values()]
    for k in range(options.rounds):
        tracks = _patches(found, pictures, options, more=k > 0)
        if not tracks:
            return found
        found, _, first = rebuild(found, tracks, old)
        adjust(found)
    for track, start in zip(old, first):
        where = triangulate(found, track)
        if where is not None:
            elements = pycolmap.Track()
            for k, (i, _) in enumerate(track):
                elements.add_element(i, start[k])
            found.add_point3D(where, elements, np.zeros(3, np.uint8))
    points_only = pycolmap.BundleAdjustmentOptions()
    points_only.print_summary = False
    points_only.refine_rig_from_world = points_only.refine_focal_length = points_only.refine_extra_params = False
    points_only.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    pycolmap.bundle_adjustment(found, points_only)
    return found


def _patches(
    found: Any, pictures: dict[str, Rgb], options: PatchTrackOptions, *, more: bool
) -> list[tuple[F64, Track]]:
    """Points and where their patches were found; `more`: with corners between them in views that see few."""
    images = registered_images(found, pictures, options=options.images)
    taken: set[tuple[int, int, int]] = set()
    out = []
    for point in sorted(found.points3D.values(), key=lambda p: (-p.track.length(), p.error)):
        seen = {i: images[i].to_image(at) for i, at in track_of(found, point)}
        sight = {i: normalized(e.centre - point.xyz) for i, e in images.items()}
        normal = normalized(np.sum([sight[i] for i in seen], axis=0))
        own = max(seen, key=lambda i: float(sight[i] @ normal))
        image, at = images[own], seen[own]
        cell = own, int(at[1]) // options.spacing_px, int(at[0]) // options.spacing_px
        if not image.contains(at, margin=options.margin_px) or cell in taken:
            continue
        places = _follow(images, own, seen, point.xyz, normal, sight, options)
        if len(places) > 1:
            taken.add(cell)
            out.append((np.asarray(point.xyz), [(i, images[i].to_camera(q)) for i, q in places.items()]))
    return out + _corners(images, out, taken, options) if more else out


def _corners(
    images: dict[int, RegisteredImage], known: list[tuple[F64, Track]], taken: set[tuple[int, int, int]],
    options: PatchTrackOptions,
) -> list[tuple[F64, Track]]:
    """As `_patches`, of corners between known points, in views that see few: on the plane through those round them."""
    import cv2
    from scipy.spatial import cKDTree

    out: list[tuple[F64, Track]] = []
    for i, image in images.items():
        near = [(image.to_image(at), where) for where, track in known for j, at in track if j == i]
        wanted = options.enough_points - len(near)
        if wanted <= 0 or len(near) < 3 * options.neighbours:
            continue
        tree, places = cKDTree([at for at, _ in near]), np.array([where for _, where in near])
        corners = cv2.goodFeaturesToTrack(
            image.grey, options.corners_times * options.enough_points, options.corner_quality, 2 * options.spacing_px
        )
        for at in np.asarray([] if corners is None else corners, np.float64).reshape(-1, 2):
            distance, which = tree.query(at, k=options.neighbours)
            cell = i, int(at[1]) // options.spacing_px, int(at[0]) // options.spacing_px
            if distance[-1] > options.most_neighbour_distance_px or cell in taken:
                continue
            if not image.contains(at, margin=options.margin_px):
                continue
            middle = places[which].mean(0)
            _, spread, axes = np.linalg.svd(places[which] - middle)
            normal = axes[2] if axes[2] @ (image.centre - middle) > 0 else -axes[2]
            ray = image.rotation.T @ np.array([*image.camera.cam_from_img(image.to_camera(at)[None])[0], 1.0])
            towards = -float(ray @ normal) / float(np.linalg.norm(ray))
            if spread[2] > options.most_thickness_ratio * spread[1] or towards < options.least_facing_cosine:
                continue
            point = image.centre + ray * float((middle - image.centre) @ normal / (ray @ normal))
            sight = {j: normalized(e.centre - point) for j, e in images.items()}
            found = _follow(images, i, {i: at}, point, normal, sight, options)
            if len(found) > 2:
                taken.add(cell)
                out.append((point, [(j, images[j].to_camera(q)) for j, q in found.items()]))
                wanted -= 1
                if wanted == 0:
                    break
    return out


def _follow(
    images: dict[int, RegisteredImage], own: int, seen: dict[int, F64], point: F64, normal: F64,
    sight: dict[int, F64], options: PatchTrackOptions,
) -> dict[int, F64]:
    """Where the patch of the view `own` lies in the views (by number) where it is found, itself among them."""
    import cv2

    ecc: Any = cv2.findTransformECC  # its stub lacks the width of the blur, the last argument
    grey, at = images[own].grey, seen[own]
    corner = np.round(at).astype(int) - options.patch_half_px
    side = 2 * options.patch_half_px + 1
    patch = grey[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    if patch.std() < options.least_contrast:
        return {}
    warps = {own: np.eye(2, 3)}
    places = {own: at}
    alike = {i: float(sight[i] @ sight[own]) for i in images}
    widest, step = np.cos(np.radians([options.widest_angle_deg, options.widest_step_deg]))
    reach = options.search_half_patches * options.patch_half_px
    until = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, options.iterations, options.precision
    for k in sorted((i for i in images if i != own and alike[i] > widest), key=lambda i: -alike[i]):
        nearest = max(places, key=lambda i: float(sight[i] @ sight[k]))
        if sight[nearest] @ sight[k] < step:
            continue
        moved = _transfer(images[nearest], images[k], point, normal, places[nearest])
        if moved is None:
            continue
        warp = _after(moved, warps[nearest])
        if k in seen:
            warp[:, 2] += seen[k] - _at(warp, at)
        expected = _at(warp, at)
        if not images[k].contains(expected, margin=options.margin_px):
            continue
        # ECC differentiates all of the picture that it is given.
        low = np.maximum(expected.astype(int) - reach, 0)
        around = images[k].grey[low[1] : low[1] + 2 * reach, low[0] : low[0] + 2 * reach]
        start = warp.copy()
        start[:, 2] += warp[:, :2] @ corner - low
        try:
            score, laid = ecc(patch, around, start.astype(np.float32), cv2.MOTION_AFFINE, until, None, 1)
        except cv2.error:  # it went astray
            continue
        end = np.asarray(laid, np.float64)
        end[:, 2] += low - end[:, :2] @ corner
        stretch = np.linalg.svd(end[:, :2] @ np.linalg.inv(warp[:, :2]), compute_uv=False)
        astray = np.linalg.norm(_at(end, at) - expected) > options.most_shift_px
        skewed = stretch[0] > options.most_stretch or stretch[1] < 1 / options.most_stretch
        if score < options.least_correlation or astray or skewed:
            continue
        warps[k], places[k] = end, _at(end, at)
    return places


def _transfer(a: RegisteredImage, b: RegisteredImage, point: F64, normal: F64, at: F64) -> F64 | None:
    """(2, 3): how pixels of `a` round `at` lie in `b`, on a small plane at `point`; None where `b` does not see it."""
    rays = a.camera.cam_from_img(a.to_camera(at + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])))
    ways = np.column_stack([rays, np.ones(3)]) @ a.rotation
    along = ways @ normal
    if np.abs(along).min() < 1e-6:
        return None
    places = a.centre + ways * ((point - a.centre) @ normal / along)[:, None]
    inside = places @ b.rotation.T + b.translation
    if inside[:, 2].min() <= 0:
        return None
    pixels = b.to_image(np.asarray(b.camera.img_from_cam(inside)))
    if not np.isfinite(pixels).all():
        return None
    slope = (pixels[1:] - pixels[0]).T
    return np.column_stack([slope, pixels[0] - slope @ at])


def _at(warp: F64, at: F64) -> F64:
    return np.asarray(warp[:, :2] @ at + warp[:, 2])


def _after(second: F64, first: F64) -> F64:
    """The affine map (2, 3) that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])
