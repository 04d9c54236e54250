"""How a scanned thing leans: the turn that puts its flat side down, where it has one and does not lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import acos, degrees

import numpy as np

from pw_core.gaussians import F64


@dataclass(frozen=True, kw_only=True)
class StandingOptions:
    """What counts as leaning."""

    lean_deg: tuple[float, float] = (2.0, 30.0)
    """Less is not seen; of more it cannot be told whether it was meant so."""
    contact_share: float = 0.015
    """Of the size: what is that near to the plane it would stand on touches it."""
    least_gain: float = 2.0
    """So many times what it touches now it must touch when it is turned: on a round side it is the same everywhere."""
    least_base_share: float = 0.15
    """Of the outline seen from above, that it must touch."""
    same_side_deg: float = 4.0
    """Between facets of the convex hull that are one side."""
    sides: int = 40
    """Largest facets that are tried."""


def turn_upright(points: F64, options: StandingOptions = StandingOptions()) -> tuple[F64, float] | None:
    """The turn (3, 3) that puts the flat side of `points` (n, 3) down, and by how much it turns [degrees]; None where
    they stand, or have no flat side that is nearly down.

    Each side of the convex hull that looks down is tried as what it stands on: the one is taken that touches most.
    """
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.transform import Rotation

    o, down = options, np.array([0.0, 0, -1])
    try:
        hull = ConvexHull(points)
    except QhullError:
        return None  # flat, or of too few points
    corners = points[hull.simplices]
    areas = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    normals = hull.equations[:, :3]
    facing = np.flatnonzero(normals @ down >= np.cos(np.radians(o.lean_deg[1])))
    size = float(np.ptp(points, axis=0).max())
    own = points[hull.vertices]
    best, most = down, o.least_gain * _touching(own, down, o.contact_share * size)
    for k in facing[np.argsort(-areas[facing])][: o.sides]:
        side = normals @ normals[k] >= np.cos(np.radians(o.same_side_deg))
        way = (areas[side, None] * normals[side]).sum(axis=0)
        way /= np.linalg.norm(way)
        touching = _touching(own, way, o.contact_share * size)
        if touching > most and touching >= o.least_base_share * _touching(own, way, np.inf):
            best, most = way, touching
    angle = degrees(acos(min(1.0, float(best @ down))))
    if angle < o.lean_deg[0]:
        return None
    turn = Rotation.align_vectors(down[None], best[None])[0]
    return np.asarray(turn.as_matrix()), angle


def _touching(points: F64, down: F64, tolerance: float) -> float:
    """Area within the outline of what is within `tolerance` of the lowest point, seen along `down`."""
    from scipy.spatial import ConvexHull, QhullError

    height = points @ down
    low = points[height >= height.max() - tolerance]
    across = np.linalg.svd(down[None])[2][1:]
    try:
        return float(ConvexHull(low @ across.T).volume) if len(low) > 2 else 0.0
    except QhullError:
        return 0.0
