"""The floor or table plane, and up, from points and cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64

TRIES = 6000
NEAR = 0.004
"""Distance from the plane within which a point counts as on it, as a share of the cameras' distance."""
UPRIGHT = 0.3
LEAN_DEG = 30.0
"""How far a floor may lean from upright, where the cameras tell what upright is."""
SPREAD, ROLLED = 0.02, 0.25
"""Cameras tell upright if the mean square of their rightward axes along the second direction is above the one, and that
along the third below the other of it: not if all look from one side, or were rolled anyhow."""
CLEAR = 0.6
"""Of the points: a plane that holds so many and bears the entities is theirs, whatever else there is."""
LEAST, LEAST_BEARING = 0.1, 0.03
"""Of the points, how many a plane must hold; and one that bears the entities."""
BELOW = 0.05
"""Of the entities' points, how many may lie below what they stand on."""
FEET = 0.3
"""Of the entities' extent: how high over the plane their lowest points may be; plain feet have no points."""
AROUND = 0.5
"""Of the entities' extent: how far from their points the plane is looked for."""
PLACE = 3.0
"""Side of a place, in the tolerance of the plane."""
LEVEL_DEG, LEANS_DEG = 1.0, 2.0
"""How level people hold cameras on average: one standard deviation, and the most."""
LOW, FEW = 10.0, 8
"""Of a plain table: how far from level its points may lie, in the tolerance; and how many there must be."""
BURIED = 4
"""Points on a plain table that one below it outweighs, before its lean is known: a slice through the foot of a thing
holds many too."""


@dataclass(frozen=True)
class Plane:
    """normal (3,) and offset: n . x = offset; inliers: share of the points on it; bears: whether the entities stand on
    it (None: not asked)."""

    normal: F64
    offset: float
    inliers: float
    bears: bool | None = None


def find_plane(points: F64, centres: F64, *, ups: F64 | None = None, rights: F64 | None = None, own: F64 | None = None
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
    near = points[np.linalg.norm(points - middle, axis=1) < 2 * reach]
    tolerance = NEAR * reach
    best, bears, round_it = _largest(near, *_candidates(near, centres, reach, ups, rights), tolerance), None, near
    if own is not None:
        clear = best is not None and best[2] >= CLEAR * len(near)
        bears = clear and best is not None and bool(_under(own, best[0][None], np.array([best[1]]), tolerance)[0])
        if not bears:
            places = _places(near, own, tolerance)
            other = _bearing(near, places, own, centres, reach, ups, rights)
            if other is not None and other[2] >= LEAST_BEARING * len(near):
                best, bears, round_it = other, True, places
    up = None if ups is None or rights is None else upright(ups, rights)
    if up is not None and not bears:
        cuts = best is not None and _cuts(best, near, own, tolerance)
        level = _level(near, own, up, tolerance) if best is None or cuts else None
        if level is not None:
            return Plane(level[0], level[1], level[2] / len(near), None if own is None else True)
    if best is None or (not bears and best[2] < LEAST * len(near)):
        count = 0 if best is None else best[2]
        raise ReconstructError(
            f"no floor or table plane: the best holds {count} of {len(near)} points; show more of what the thing "
            "stands on", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    normal, offset, score = best
    for _ in range(3):
        on = round_it[np.abs(round_it @ normal - offset) < tolerance]
        if len(on) < 3:
            break
        centre = on.mean(0)
        fitted = np.linalg.svd(on - centre, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(centre @ normal)
    return Plane(normal, offset, score / len(near), bears)


def upright(ups: F64, rights: F64) -> F64 | None:
    """Up (3,), as what is square to all cameras' axes to the right; None where these do not tell.

    ups, rights (n, 3): unit axes of the cameras.
    """
    values, vectors = np.linalg.eigh(rights.T @ rights / len(rights))
    if values[1] < SPREAD or values[0] > ROLLED * values[1]:
        return None
    up: F64 = vectors[:, 0] * np.sign((ups @ vectors[:, 0]).sum())
    return up


def _places(near: F64, own: F64, tolerance: float) -> F64:
    """Of the points those round the entities' own, one for each place: a printed sheet beside the thing is not to outdo
    the plain table."""
    from scipy.spatial import cKDTree

    close = near[cKDTree(own).query(near)[0] < AROUND * np.linalg.norm(np.ptp(own, axis=0))]
    _, first = np.unique(np.floor(close / (PLACE * tolerance)).astype(np.int64), axis=0, return_index=True)
    return close[first]


def _under(own: F64, normals: F64, offsets: F64, tolerance: float) -> NDArray[np.bool_]:
    """(k,): whether the entities' points are above the planes, and the lowest not far."""
    if len(normals) == 0:
        return np.zeros(0, bool)
    lowest = np.percentile(own @ normals.T - offsets, 100 * BELOW, axis=0)
    return np.asarray((lowest > -tolerance) & (lowest < FEET * np.linalg.norm(np.ptp(own, axis=0))))


def _bearing(
    near: F64, places: F64, own: F64, centres: F64, reach: float, ups: F64 | None, rights: F64 | None
) -> tuple[F64, float, int] | None:
    """The plane that bears the entities' points `own`: normal, offset, and how many of the points are on it.

    It lies below them, not far; of such, it is the one that most places round them are on, less those that are below:
    nothing is seen below what a thing stands on.
    """
    tolerance = NEAR * reach
    if len(places) < 3:
        return None
    normals, offsets = _candidates(places, centres, reach, ups, rights)
    fit = _under(own, normals, offsets, tolerance)
    if not fit.any():
        return None
    normals, offsets = normals[fit], offsets[fit]
    scores = []
    for n, d in zip(normals, offsets):
        height = places @ n - d
        scores.append(int((np.abs(height) < tolerance).sum()) - int((height < -2 * tolerance).sum()))
    k = int(np.argmax(scores))
    on = int((np.abs(near @ normals[k] - offsets[k]) < tolerance).sum())
    return normals[k], float(offsets[k]), on


def _cuts(plane: tuple[F64, float, int], near: F64, own: F64 | None, tolerance: float) -> bool:
    """Whether a plane runs through the entities' points `own`, or through what all points show."""
    normal, offset, on = plane
    if own is not None:
        return bool(np.percentile(own @ normal - offset, 100 * BELOW) < -tolerance)
    return int((near @ normal - offset < -2 * tolerance).sum()) > on


def _level(near: F64, own: F64 | None, up: F64, tolerance: float) -> tuple[F64, float, int] | None:
    """The nearly level plane that most points are on, less what speaks against it below, for nothing is seen there;
    under the entities' points `own`. Normal, offset, and how many points are on it; None where they are few.

    Its lean is what few points far out say, weighed with how level cameras are held.
    """

    reach = 2 * tolerance

    def score(normal: F64, offset: float) -> int:
        height = near @ normal - offset
        return int((np.abs(height) < reach).sum()) - int((height < -reach).sum())

    heights = near @ up
    limit = np.inf if own is None else float(np.percentile(own @ up, 100 * BELOW)) + tolerance
    tries = np.unique(heights[heights <= limit])
    if len(tries) == 0:
        return None
    ordered = np.sort(heights)
    below = np.searchsorted(ordered, tries - reach)
    offset = float(tries[(np.searchsorted(ordered, tries + reach) - (1 + BURIED) * below).argmax()])
    low = near[np.abs(heights - offset) < LOW * tolerance]
    best, normal, level = score(up, offset), up, offset
    rng = np.random.default_rng(0)
    for a, b, c in low[rng.integers(len(low), size=(TRIES // 6, 3))]:
        square = np.cross(b - a, c - a)
        length = float(np.linalg.norm(square)) * float(np.sign(square @ up))
        if length == 0 or square @ up < abs(length) * np.cos(np.radians(LEANS_DEG)):
            continue
        value = score(square / length, float(a @ square / length))
        if value > best:
            best, normal, offset = value, square / length, float(a @ square / length)
    if BURIED * int((near @ normal - offset < -reach).sum()) > best:  # it leans into what stands there
        normal, offset = up, level
    side = np.linalg.svd(up[None])[2][1:]
    prior = np.array([[1.0, 0, 0], [0, 1.0, 0]]) * reach / np.radians(LEVEL_DEG)
    for _ in range(3):
        on_it = low[np.abs(low @ normal - offset) < reach]
        if len(on_it) < FEW:
            return None
        # p . (up + leans . side) = offset, with leans about 0.
        rows = np.column_stack([on_it @ side.T, -np.ones(len(on_it))])
        found = np.linalg.lstsq(np.vstack([rows, prior]), np.concatenate([-on_it @ up, [0, 0]]), rcond=None)[0]
        normal = up + found[:2] @ side
        size = float(np.linalg.norm(normal))
        normal, offset = normal / size, float(found[2]) / size
    return normal, offset, len(on_it)


def _candidates(near: F64, centres: F64, reach: float, ups: F64 | None, rights: F64 | None) -> tuple[F64, F64]:
    """Normals (k, 3) and offsets (k,) of planes through three of the points that could be a floor or a table."""
    rng = np.random.default_rng(0)
    a, b, c = near[rng.integers(len(near), size=(3, TRIES))]
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    a, normals = a[length > 1e-12], normals[length > 1e-12] / length[length > 1e-12, None]
    heights = centres @ normals.T - (a * normals).sum(1)
    down = (heights < 0).mean(0) > 0.5
    normals[down], heights[:, down] = -normals[down], -heights[:, down]
    offsets = (a * normals).sum(1)
    fit = heights.min(0) >= 0.02 * reach
    if ups is not None:
        fit &= (ups @ normals.T).mean(0) >= UPRIGHT
        up = None if rights is None else upright(ups, rights)
        if up is not None:
            fit &= normals @ up > np.cos(np.radians(LEAN_DEG))
    return normals[fit], offsets[fit]


def _largest(near: F64, normals: F64, offsets: F64, tolerance: float) -> tuple[F64, float, int] | None:
    """Normal, offset and how many points of the plane that holds the most."""
    if len(normals) == 0:
        return None
    counts = [int((np.abs(near @ n - d) < tolerance).sum()) for n, d in zip(normals, offsets)]
    k = int(np.argmax(counts))
    return normals[k], float(offsets[k]), counts[k]
