"""Tracks made longer by patches: each point's surroundings are found again in every view that should show it.

Features of smooth and of wet things are matched between neighbours only, to half a pixel, and poses drift along such a
chain. Where poses are nearly known, a patch round a point can be drawn as another view should show it, and laid on that
view to a tenth of a pixel (least squares matching: Gruen 1985; ECC: Evangelidis and Psarakis 2008); what does not look
alike is left out. Views a third of a circle apart then speak of the same points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pw_core.gaussians import F64
from pw_core.reconstruct.poses.sfm.tracks import Eye, Track, eyes_of, meet, rebuilt, track_of, unit
from pw_core.reconstruct.types import Rgb

HALF_PX, MARGIN = 10, 11
"""Of a patch's width, in pictures of at most `tracks.WIDEST_PX`; and of its middle from their border."""
ALIKE = 0.9
"""Least correlation of a patch with what it is laid on."""
FAR_PX = 3.0
"""A patch that is found further from where it was expected is another."""
WIDEST_TURN_DEG, STEP_DEG = 50.0, 35.0
"""Between the lines of sight of a patch's own view and another, and of that one and the nearest where it was found."""
SPACE_PX = 3
"""Between the points of one view."""
PLAIN = 1.0
"""Patches whose grey values (0 to 255) spread less show nothing."""
ENOUGH = 200
"""Points in a view; where there are fewer, corners between them are tried."""
CORNER = 0.002
"""The least of a corner's smaller eigenvalue, as a share of the picture's best."""
ROUND, BETWEEN_PX = 6, 30.0
"""Known points that a corner's place is taken from, and how far they may be."""
FLAT, STEEP = 0.3, 0.25
"""How thick they may lie beside how wide, and the least cosine of the line of sight to their normal."""
SKEWED = 1.5
"""How much a patch may be stretched against what was expected."""


def lengthen(found: Any, pictures: dict[str, Rgb], *, adjust: Callable[[Any], None], rounds: int = 2) -> Any:
    """A pycolmap reconstruction of the same pictures with the points seen by as many views as show them, adjusted; and
    with the points of `found` where the new poses leave them.

    pictures: by the name of each image in `found`, which counts in their pixels; adjust: adjusts a reconstruction in
    place.
    """
    import pycolmap

    old = [track_of(found, p) for p in found.points3D.values()]
    for k in range(rounds):
        tracks = _patches(found, pictures, more=k > 0)
        if not tracks:
            return found
        found, _, first = rebuilt(found, tracks, old)
        adjust(found)
    for track, start in zip(old, first):
        where = meet(found, track)
        if where is not None:
            elements = pycolmap.Track()
            for k, (i, _) in enumerate(track):
                elements.add_element(i, start[k])
            found.add_point3D(where, elements, np.zeros(3, np.uint8))
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_rig_from_world = options.refine_focal_length = options.refine_extra_params = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    pycolmap.bundle_adjustment(found, options)
    return found


def _patches(found: Any, pictures: dict[str, Rgb], *, more: bool) -> list[tuple[F64, Track]]:
    """Points and where their patches were found; `more`: with corners between them in views that see few."""
    eyes = eyes_of(found, pictures)
    taken: set[tuple[int, int, int]] = set()
    out = []
    for point in sorted(found.points3D.values(), key=lambda p: (-p.track.length(), p.error)):
        seen = {i: eyes[i].pixel(at) for i, at in track_of(found, point)}
        sight = {i: unit(e.centre - point.xyz) for i, e in eyes.items()}
        normal = unit(np.sum([sight[i] for i in seen], axis=0))
        own = max(seen, key=lambda i: float(sight[i] @ normal))
        eye, at = eyes[own], seen[own]
        cell = own, int(at[1]) // SPACE_PX, int(at[0]) // SPACE_PX
        if not eye.holds(at, margin=MARGIN) or cell in taken:
            continue
        places = _follow(eyes, own, seen, point.xyz, normal, sight)
        if len(places) > 1:
            taken.add(cell)
            out.append((np.asarray(point.xyz), [(i, eyes[i].given(q)) for i, q in places.items()]))
    return out + _corners(eyes, out, taken) if more else out


def _corners(
    eyes: dict[int, Eye], known: list[tuple[F64, Track]], taken: set[tuple[int, int, int]]
) -> list[tuple[F64, Track]]:
    """As `_patches`, of corners between known points, in views that see few: on the plane through those round them."""
    import cv2
    from scipy.spatial import cKDTree

    out: list[tuple[F64, Track]] = []
    for i, eye in eyes.items():
        near = [(eye.pixel(at), where) for where, track in known for j, at in track if j == i]
        wanted = ENOUGH - len(near)
        if wanted <= 0 or len(near) < 3 * ROUND:
            continue
        tree, places = cKDTree([at for at, _ in near]), np.array([where for _, where in near])
        corners = cv2.goodFeaturesToTrack(eye.grey, 4 * ENOUGH, CORNER, 2 * SPACE_PX)
        for at in np.asarray([] if corners is None else corners, np.float64).reshape(-1, 2):
            distance, which = tree.query(at, k=ROUND)
            cell = i, int(at[1]) // SPACE_PX, int(at[0]) // SPACE_PX
            if distance[-1] > BETWEEN_PX or cell in taken or not eye.holds(at, margin=MARGIN):
                continue
            middle = places[which].mean(0)
            _, spread, axes = np.linalg.svd(places[which] - middle)
            normal = axes[2] if axes[2] @ (eye.centre - middle) > 0 else -axes[2]
            ray = eye.turn.T @ np.array([*eye.camera.cam_from_img(eye.given(at)[None])[0], 1.0])
            towards = -float(ray @ normal) / float(np.linalg.norm(ray))
            if spread[2] > FLAT * spread[1] or towards < STEEP:
                continue
            point = eye.centre + ray * float((middle - eye.centre) @ normal / (ray @ normal))
            sight = {j: unit(e.centre - point) for j, e in eyes.items()}
            found = _follow(eyes, i, {i: at}, point, normal, sight)
            if len(found) > 2:
                taken.add(cell)
                out.append((point, [(j, eyes[j].given(q)) for j, q in found.items()]))
                wanted -= 1
                if wanted == 0:
                    break
    return out


def _follow(
    eyes: dict[int, Eye], own: int, seen: dict[int, F64], point: F64, normal: F64, sight: dict[int, F64]
) -> dict[int, F64]:
    """Where the patch of the view `own` lies in the views (by number) where it is found, itself among them."""
    import cv2

    ecc: Any = cv2.findTransformECC  # its stub lacks the width of the blur, the last argument
    grey, at = eyes[own].grey, seen[own]
    corner = np.round(at).astype(int) - HALF_PX
    patch = grey[corner[1] : corner[1] + 2 * HALF_PX + 1, corner[0] : corner[0] + 2 * HALF_PX + 1]
    if patch.std() < PLAIN:
        return {}
    warps = {own: np.eye(2, 3)}
    places = {own: at}
    alike = {i: float(sight[i] @ sight[own]) for i in eyes}
    widest, step = np.cos(np.radians([WIDEST_TURN_DEG, STEP_DEG]))
    until = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3
    for k in sorted((i for i in eyes if i != own and alike[i] > widest), key=lambda i: -alike[i]):
        nearest = max(places, key=lambda i: float(sight[i] @ sight[k]))
        if sight[nearest] @ sight[k] < step:
            continue
        moved = _transfer(eyes[nearest], eyes[k], point, normal, places[nearest])
        if moved is None:
            continue
        warp = _after(moved, warps[nearest])
        if k in seen:
            warp[:, 2] += seen[k] - _at(warp, at)
        expected = _at(warp, at)
        if not eyes[k].holds(expected, margin=MARGIN):
            continue
        # ECC differentiates all of the picture that it is given.
        low = np.maximum(expected.astype(int) - 3 * HALF_PX, 0)
        around = eyes[k].grey[low[1] : low[1] + 6 * HALF_PX, low[0] : low[0] + 6 * HALF_PX]
        start = warp.copy()
        start[:, 2] += warp[:, :2] @ corner - low
        try:
            score, laid = ecc(patch, around, start.astype(np.float32), cv2.MOTION_AFFINE, until, None, 1)
        except cv2.error:  # it went astray
            continue
        end = np.asarray(laid, np.float64)
        end[:, 2] += low - end[:, :2] @ corner
        stretch = np.linalg.svd(end[:, :2] @ np.linalg.inv(warp[:, :2]), compute_uv=False)
        astray = np.linalg.norm(_at(end, at) - expected) > FAR_PX
        if score < ALIKE or astray or stretch[0] > SKEWED or stretch[1] < 1 / SKEWED:
            continue
        warps[k], places[k] = end, _at(end, at)
    return places


def _transfer(a: Eye, b: Eye, point: F64, normal: F64, at: F64) -> F64 | None:
    """(2, 3): how pixels of `a` round `at` lie in `b`, on a small plane at `point`; None where `b` does not see it."""
    rays = a.camera.cam_from_img(a.given(at + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])))
    ways = np.column_stack([rays, np.ones(3)]) @ a.turn
    along = ways @ normal
    if np.abs(along).min() < 1e-6:
        return None
    places = a.centre + ways * ((point - a.centre) @ normal / along)[:, None]
    inside = places @ b.turn.T + b.shift
    if inside[:, 2].min() <= 0:
        return None
    pixels = b.pixel(np.asarray(b.camera.img_from_cam(inside)))
    if not np.isfinite(pixels).all():
        return None
    slope = (pixels[1:] - pixels[0]).T
    return np.column_stack([slope, pixels[0] - slope @ at])


def _at(warp: F64, at: F64) -> F64:
    return np.asarray(warp[:, :2] @ at + warp[:, 2])


def _after(second: F64, first: F64) -> F64:
    """The affine map (2, 3) that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])
