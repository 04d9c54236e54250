"""Pairs of pictures that agree by chance: what a random set of matches would do is no sign of a common scene.

A pair's epipolar geometry is judged a contrario (Moisan and Stival, IJCV 2004): how many geometries as good as this one
would be expected among as many matches placed at random where the pair's matches lie. A fixed count of matches, as
COLMAP asks for, is passed by chance where many faint features are matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import gammaln

from pw_core.gaussians import F64

FUNDAMENTAL_SAMPLE = 7
"""Matches that determine a fundamental matrix: not a choice."""


@dataclass(frozen=True, kw_only=True)
class VerificationOptions:
    """Which pairs are kept."""

    most_expected: float = 1.0
    """Geometries as good that chance may be expected to give a pair at the most."""


def log10_expected(first: F64, second: F64, matches: int, *, error_px: float) -> float:
    """log10 of the number of epipolar geometries this good that chance would give.

    first, second (n, 2): where the matches that agree with the geometry lie in either picture [px]; matches: how many
    were tried; error_px: how near to its line a match was to lie.
    """
    from scipy.spatial import ConvexHull, QhullError

    count = len(first)
    if count <= FUNDAMENTAL_SAMPLE:
        return float(np.inf)
    near = 0.0
    for points in (first, second):
        try:
            area = float(ConvexHull(points).volume)
        except QhullError:  # all on one line
            return float(np.inf)
        across = float(np.linalg.norm(points.max(0) - points.min(0)))
        near = max(near, min(1.0, 2 * error_px * across / max(area, 1e-9)))
    terms = np.log(max(matches - FUNDAMENTAL_SAMPLE, 1)) + choose(matches, count) + choose(count, FUNDAMENTAL_SAMPLE)
    return float((terms + (count - FUNDAMENTAL_SAMPLE) * np.log(near)) / np.log(10))


def choose(n: int, k: int) -> float:
    """log of n over k."""
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def drop_chance_pairs(
    database: Path, *, error_px: float, options: VerificationOptions = VerificationOptions()
) -> int:
    """Take the pairs that chance explains out of a COLMAP database's verified ones; how many there were.

    error_px: of the verification, in pixels of the pictures in the database.
    """
    import pycolmap

    db = pycolmap.Database.open(database)
    ids, geometries = db.read_two_view_geometries()
    points = {i.image_id: np.asarray(db.read_keypoints(i.image_id), np.float64)[:, :2] for i in db.read_all_images()}
    dropped = 0
    for pair, geometry in zip(ids, geometries):
        a, b = pycolmap.pair_id_to_image_pair(pair)
        agree = np.asarray(geometry.inlier_matches)
        if len(agree) == 0:
            continue
        first, second = points[a][agree[:, 0]], points[b][agree[:, 1]]
        tried = len(db.read_matches(a, b))
        if log10_expected(first, second, tried, error_px=error_px) > np.log10(options.most_expected):
            db.delete_two_view_geometry(a, b)
            dropped += 1
    db.close()
    return dropped
