"""The floor or table plane, and up, from points and cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64


@dataclass(frozen=True, kw_only=True)
class PlaneOptions:
    """How the plane is found. The tolerance is `inlier_distance_ratio` of the cameras' distance."""

    candidates: int = 6000
    """Planes through three points that are tried."""
    inlier_distance_ratio: float = 0.004
    """Distance from the plane within which a point counts as on it, as a share of the cameras' distance."""
    reach_ratio: float = 2.0
    """Points further from the middle than that many times the cameras' distance are not looked at."""
    least_camera_height_ratio: float = 0.02
    """Of the cameras' distance: how high over the plane all cameras must be."""
    least_upright_cosine: float = 0.3
    """Least mean cosine between the cameras' upward axes and the normal: a wall is no floor."""
    most_lean_deg: float = 30.0
    """How far a floor may lean from upright [degrees], where the cameras tell what upright is."""
    upright_spread: float = 0.02
    """Cameras tell upright if the mean square of their rightward axes along the second direction is above this: not if
    all look from one side ..."""
    upright_roll: float = 0.25
    """... and that along the third below this share of it: not if they were rolled anyhow."""
    clear_inlier_share: float = 0.6
    """Of the points: a plane that holds so many and bears the entities is theirs, whatever else there is."""
    least_inlier_share: float = 0.1
    """Of the points, how many a plane must hold."""
    least_bearing_share: float = 0.03
    """Of the points, how many a plane that bears the entities must hold."""
    below_share: float = 0.05
    """Of the entities' points, how many may lie below what they stand on."""
    foot_height_ratio: float = 0.3
    """Of the entities' extent: how high over the plane their lowest points may be; plain feet have no points."""
    search_radius_ratio: float = 0.5
    """Of the entities' extent: how far from their points the plane is looked for."""
    place_tolerances: float = 3.0
    """Side of a place, in tolerances."""
    clearance_tolerances: float = 2.0
    """In tolerances: points further below a plane than this speak against it."""
    level_tolerances: float = 2.0
    """In tolerances: distance from a plain table within which a point counts as on it: it has few, faint points."""
    level_candidates: int = 1000
    """Leans of a plain table that are tried."""
    level_sd_deg: float = 1.0
    """How level people hold cameras on average: one standard deviation [degrees]."""
    level_most_lean_deg: float = 2.0
    """The most that a plain table may lean against how cameras are held [degrees]."""
    level_band_tolerances: float = 10.0
    """In tolerances: how far from level a plain table's points may lie."""
    level_least_points: int = 8
    """Points that a plain table must have."""
    buried_weight: int = 4
    """Points on a plain table that one below it outweighs, before its lean is known: a slice through the foot of a
    thing holds many too."""
    refits: int = 3
    """Least-squares fits to the points on the plane, each to those near the last."""


@dataclass(frozen=True)
class Plane:
    """normal (3,) and offset: n . x = offset; inliers: share of the points on it; bears: whether the entities stand on
    it (None: not asked)."""

    normal: F64
    offset: float
    inliers: float
    bears: bool | None = None


def find_plane(
    points: F64, centres: F64, *, ups: F64 | None = None, rights: F64 | None = None, own: F64 | None = None,
    options: PlaneOptions = PlaneOptions(),
) -> Plane:  # fmt: skip
    """The plane with the most points and all cameras on one side (RANSAC, Fischler and Bolles 1981).

    ups (n, 3): the cameras' own upward axes, which a floor's normal does not oppose: a wall is no floor. rights (n, 3):
    their axes to the right, which people hold level (`upright`). own (m, 3): points of what stands on the plane, not
    among `points`: a plane that they stand on goes before a larger one that cuts through them or is far below.

    A plain table shows hardly any points, and what stands on it thousands: where the largest plane has more of them
    below it than on it, or cuts through the entities, the level plane with nothing below it is taken (`_level`).

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): no plane holds a tenth of the points.
    """
    if len(points) < 3:
        raise ReconstructError(f"no floor or table plane: only {len(points)} points; show more of what the "
                               "thing stands on", code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    middle = np.median(points, axis=0)
    reach = float(np.median(np.linalg.norm(centres - middle, axis=1)))
    near = points[np.linalg.norm(points - middle, axis=1) < options.reach_ratio * reach]
    tolerance = options.inlier_distance_ratio * reach
    candidates = _candidates(near, centres, reach, ups, rights, options)
    best, bears, round_it = _largest(near, *candidates, tolerance), None, near
    if own is not None:
        clear = best is not None and best[2] >= options.clear_inlier_share * len(near)
        bears = (
            clear and best is not None
            and bool(_under(own, best[0][None], np.array([best[1]]), tolerance, options)[0])
        )  # fmt: skip
        if not bears:
            places = _places(near, own, tolerance, options)
            other = _bearing(near, places, own, centres, reach, ups, rights, options)
            if other is not None and other[2] >= options.least_bearing_share * len(near):
                best, bears, round_it = other, True, places
    up = None if ups is None or rights is None else upright(ups, rights, options=options)
    if up is not None and not bears:
        cuts = best is not None and _cuts(best, near, own, tolerance, options)
        level = _level(near, own, up, tolerance, options) if best is None or cuts else None
        if level is not None:
            return Plane(level[0], level[1], level[2] / len(near), None if own is None else True)
    if best is None or (not bears and best[2] < options.least_inlier_share * len(near)):
        count = 0 if best is None else best[2]
        raise ReconstructError(
            f"no floor or table plane: the best holds {count} of {len(near)} points; show more of what the thing "
            "stands on", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    normal, offset, score = best
    for _ in range(options.refits):
        on = round_it[np.abs(round_it @ normal - offset) < tolerance]
        if len(on) < 3:
            break
        centre = on.mean(0)
        fitted = np.linalg.svd(on - centre, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(centre @ normal)
    return Plane(normal, offset, score / len(near), bears)


def upright(ups: F64, rights: F64, *, options: PlaneOptions = PlaneOptions()) -> F64 | None:
    """Up (3,), as what is square to all cameras' axes to the right; None where these do not tell.

    ups, rights (n, 3): unit axes of the cameras.
    """
    values, vectors = np.linalg.eigh(rights.T @ rights / len(rights))
    if values[1] < options.upright_spread or values[0] > options.upright_roll * values[1]:
        return None
    up: F64 = vectors[:, 0] * np.sign((ups @ vectors[:, 0]).sum())
    return up


def _places(near: F64, own: F64, tolerance: float, options: PlaneOptions) -> F64:
    """Of the points those round the entities' own, one for each place: a printed page beside the thing is not to outdo
    the plain table."""
    from scipy.spatial import cKDTree

    close = near[cKDTree(own).query(near)[0] < options.search_radius_ratio * np.linalg.norm(np.ptp(own, axis=0))]
    cells = np.floor(close / (options.place_tolerances * tolerance)).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return close[first]


def _under(own: F64, normals: F64, offsets: F64, tolerance: float, options: PlaneOptions) -> NDArray[np.bool_]:
    """(k,): whether the entities' points are above the planes, and the lowest not far."""
    if len(normals) == 0:
        return np.zeros(0, bool)
    lowest = np.percentile(own @ normals.T - offsets, 100 * options.below_share, axis=0)
    highest = options.foot_height_ratio * np.linalg.norm(np.ptp(own, axis=0))
    return np.asarray((lowest > -tolerance) & (lowest < highest))


def _bearing(
    near: F64, places: F64, own: F64, centres: F64, reach: float, ups: F64 | None, rights: F64 | None,
    options: PlaneOptions,
) -> tuple[F64, float, int] | None:  # fmt: skip
    """The plane that bears the entities' points `own`: normal, offset, and how many of the points are on it.

    It lies below them, not far; of such, it is the one that most places round them are on, less those that are below:
    nothing is seen below what a thing stands on.
    """
    tolerance = options.inlier_distance_ratio * reach
    if len(places) < 3:
        return None
    normals, offsets = _candidates(places, centres, reach, ups, rights, options)
    fit = _under(own, normals, offsets, tolerance, options)
    if not fit.any():
        return None
    normals, offsets = normals[fit], offsets[fit]
    scores = []
    for n, d in zip(normals, offsets):
        height = places @ n - d
        below = height < -options.clearance_tolerances * tolerance
        scores.append(int((np.abs(height) < tolerance).sum()) - int(below.sum()))
    k = int(np.argmax(scores))
    on = int((np.abs(near @ normals[k] - offsets[k]) < tolerance).sum())
    return normals[k], float(offsets[k]), on


def _cuts(plane: tuple[F64, float, int], near: F64, own: F64 | None, tolerance: float, options: PlaneOptions) -> bool:
    """Whether a plane runs through the entities' points `own`, or through what all points show."""
    normal, offset, on = plane
    if own is not None:
        return bool(np.percentile(own @ normal - offset, 100 * options.below_share) < -tolerance)
    return int((near @ normal - offset < -options.clearance_tolerances * tolerance).sum()) > on


def _level(
    near: F64, own: F64 | None, up: F64, tolerance: float, options: PlaneOptions
) -> tuple[F64, float, int] | None:
    """The nearly level plane that most points are on, less what speaks against it below, for nothing is seen there;
    under the entities' points `own`. Normal, offset, and how many points are on it; None where they are few.

    Its lean is what few points far out say, weighed with how level cameras are held.
    """
    reach = options.level_tolerances * tolerance

    def score(normal: F64, offset: float) -> int:
        height = near @ normal - offset
        return int((np.abs(height) < reach).sum()) - int((height < -reach).sum())

    heights = near @ up
    limit = np.inf if own is None else float(np.percentile(own @ up, 100 * options.below_share)) + tolerance
    tries = np.unique(heights[heights <= limit])
    if len(tries) == 0:
        return None
    ordered = np.sort(heights)
    below = np.searchsorted(ordered, tries - reach)
    offset = float(tries[(np.searchsorted(ordered, tries + reach) - (1 + options.buried_weight) * below).argmax()])
    low = near[np.abs(heights - offset) < options.level_band_tolerances * tolerance]
    best, normal, level = score(up, offset), up, offset
    rng = np.random.default_rng(0)
    for a, b, c in low[rng.integers(len(low), size=(options.level_candidates, 3))]:
        square = np.cross(b - a, c - a)
        length = float(np.linalg.norm(square)) * float(np.sign(square @ up))
        if length == 0 or square @ up < abs(length) * np.cos(np.radians(options.level_most_lean_deg)):
            continue
        value = score(square / length, float(a @ square / length))
        if value > best:
            best, normal, offset = value, square / length, float(a @ square / length)
    if options.buried_weight * int((near @ normal - offset < -reach).sum()) > best:  # it leans into what stands there
        normal, offset = up, level
    side = np.linalg.svd(up[None])[2][1:]
    prior = np.array([[1.0, 0, 0], [0, 1.0, 0]]) * reach / np.radians(options.level_sd_deg)
    for _ in range(options.refits):
        on_it = low[np.abs(low @ normal - offset) < reach]
        if len(on_it) < options.level_least_points:
            return None
        # p . (up + leans . side) = offset, with leans about 0.
        rows = np.column_stack([on_it @ side.T, -np.ones(len(on_it))])
        found = np.linalg.lstsq(np.vstack([rows, prior]), np.concatenate([-on_it @ up, [0, 0]]), rcond=None)[0]
        normal = up + found[:2] @ side
        size = float(np.linalg.norm(normal))
        normal, offset = normal / size, float(found[2]) / size
    return normal, offset, len(on_it)


def _candidates(
    near: F64, centres: F64, reach: float, ups: F64 | None, rights: F64 | None, options: PlaneOptions
) -> tuple[F64, F64]:
    """Normals (k, 3) and offsets (k,) of planes through three of the points that could be a floor or a table."""
    rng = np.random.default_rng(0)
    a, b, c = near[rng.integers(len(near), size=(3, options.candidates))]
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    a, normals = a[length > 1e-12], normals[length > 1e-12] / length[length > 1e-12, None]
    heights = centres @ normals.T - (a * normals).sum(1)
    down = (heights < 0).mean(0) > 0.5
    normals[down], heights[:, down] = -normals[down], -heights[:, down]
    offsets = (a * normals).sum(1)
    fit = heights.min(0) >= options.least_camera_height_ratio * reach
    if ups is not None:
        fit &= (ups @ normals.T).mean(0) >= options.least_upright_cosine
        up = None if rights is None else upright(ups, rights, options=options)
        if up is not None:
            fit &= normals @ up > np.cos(np.radians(options.most_lean_deg))
    return normals[fit], offsets[fit]


def _largest(near: F64, normals: F64, offsets: F64, tolerance: float) -> tuple[F64, float, int] | None:
    """Normal, offset and how many points of the plane that holds the most."""
    if len(normals) == 0:
        return None
    counts = [int((np.abs(near @ n - d) < tolerance).sum()) for n, d in zip(normals, offsets)]
    k = int(np.argmax(counts))
    return normals[k], float(offsets[k]), counts[k]
