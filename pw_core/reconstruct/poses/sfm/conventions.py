"""Poses in another convention than was asked for, told from the pictures or the depth before anything is made of them.

Camera to world in place of world to camera, OpenGL's axes (y up, z backward) or a ROS camera_link (x forward, z up) in
place of an optical frame are the commonest mistakes with poses. What two pictures show of the same places agrees with
poses that are right, and with few others: each convention is tried, and one that agrees far better than what was given
is named. (Round a ball, where views 10 to 50 degrees apart turn about one axis, up to 43 % of the matches agree with a
wrong one, and 99 % with the right one.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64
from pw_core.media.cameras import OPENGL
from pw_core.reconstruct.inputs import Inputs, ViewInput

BODY = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
"""From axes x forward, y left, z up (REP 103) to optical axes."""
CONVENTIONS: dict[str, Callable[[F64], F64]] = {
    "camera to world": lambda m: np.asarray(np.linalg.inv(m), np.float64),
    "world to camera with OpenGL's axes (y up, z backward)": lambda m: OPENGL @ m,
    "camera to world with OpenGL's axes (y up, z backward)": lambda m: OPENGL @ np.linalg.inv(m),
    "world to camera_link (x forward, z up), not to its optical frame": lambda m: BODY @ m,
    "camera_link (x forward, z up) to world": lambda m: BODY @ np.linalg.inv(m),
}
"""What a pose may have been meant as, and the world to optical frame (4, 4) that it then is."""


@dataclass(frozen=True, kw_only=True)
class ConventionOptions:
    """When given poses are taken for ones of another convention."""

    epipolar_distance_ratio: float = 0.02
    """How near to its epipolar line a match agrees, of the picture's width."""
    depth_difference_ratio: float = 0.02
    """How near to the depth that another picture has a place agrees, of that depth."""
    agreeing_share: float = 0.7
    """Share that must agree with the other convention ..."""
    times_better: float = 2.0
    """... and how many times as many as with what was given."""
    unit_times_better: float = 1.5
    """How many times as many must agree with another unit: things at about one distance agree with many."""
    unit_factors: tuple[float, ...] = (1000.0, 100.0, 10.0, 6.5535, 5.0, 4.0)
    """Between units that depth comes in: 1 mm, 1 cm, 0.1 mm, Replica's, TUM's, 0.25 mm (L515)."""
    places: int = 400
    """Places taken from each depth picture."""
    partners: int = 3
    """How many of the next pictures they are looked for in."""


def check_by_matches(
    inputs: Inputs, database: Path, *, larger: int = 1, options: ConventionOptions = ConventionOptions()
) -> None:
    """Refuse given poses that the matches in a COLMAP database contradict in the way of another convention.

    larger: how many times the pictures are enlarged in the database.

    Raises:
        ReconstructError (INVALID_CAMERA): names the convention.
    """
    import pycolmap

    db = pycolmap.Database.open(database)
    of = {i.image_id: i.name for i in db.read_all_images()}
    points = {of[i]: np.asarray(db.read_keypoints(i), np.float64)[:, :2] / larger for i in of}
    ids, geometries = db.read_two_view_geometries()
    db.close()
    views = {v.name: v for v in inputs.views}
    pairs = []
    for pair, geometry in zip(ids, geometries):
        agree = np.asarray(geometry.inlier_matches)
        if len(agree):
            a, b = (of[i] for i in pycolmap.pair_id_to_image_pair(pair))
            pairs.append((views[a], views[b], points[a][agree[:, 0]], points[b][agree[:, 1]]))
    if pairs:
        _refuse_other_convention(lambda read: _epipolar_share(pairs, read, options), "matches", options)


def check_by_depth(inputs: Inputs, *, options: ConventionOptions = ConventionOptions()) -> None:
    """Refuse given poses that the depth of the pictures contradicts in the way of another convention, or of another
    unit.

    Raises:
        ReconstructError: INVALID_CAMERA names the convention, INVALID_IMAGE the factor between depth and poses.
    """
    deep = [v for v in inputs.views if v.depth is not None and v.camera is not None]
    if len(deep) > 1:
        _refuse_other_unit(lambda read: _depth_share(deep, read, options), options)
        _refuse_other_convention(
            lambda read: _depth_share(deep, read, options), "places that depth pictures see in common", options
        )


def _refuse_other_unit(share: Callable[[Callable[[F64], F64]], float], options: ConventionOptions) -> None:
    """Depth that is `factor` times too large agrees with poses whose translations are, too."""

    def longer(factor: float) -> Callable[[F64], F64]:
        return lambda m: np.vstack([np.column_stack([m[:3, :3], factor * m[:3, 3]]), m[3:]])

    given = share(lambda m: m)
    unmoved = share(longer(0.0))  # what agrees though all cameras stand at one place says nothing
    factors = {f: share(longer(f)) for unit in options.unit_factors for f in (unit, 1 / unit)}
    best = max(factors, key=lambda f: factors[f])
    better = factors[best] > options.unit_times_better * max(given, unmoved)
    if factors[best] >= options.agreeing_share and better:
        times = f"{best:g} times too large" if best > 1 else f"{1 / best:g} times too small"
        raise ReconstructError(
            f"depth is {times} for the poses: {100 * given:.0f} % of the places that depth pictures see in common "
            f"agree, {100 * factors[best]:.0f} % with depth divided by {best:g}. Whole numbers are millimetres, unless "
            f"reconstruct.views.depth_scale says how many metres a unit has ({1e-3 / best:.3g} here)",
            code=ErrorCode.INVALID_IMAGE,
        )


def _refuse_other_convention(
    share: Callable[[Callable[[F64], F64]], float], what: str, options: ConventionOptions
) -> None:
    given = share(lambda m: m)
    others = {name: share(read) for name, read in CONVENTIONS.items()}
    best = max(others, key=lambda name: others[name])
    if others[best] >= options.agreeing_share and others[best] > options.times_better * given:
        raise ReconstructError(
            f"the poses are not world to camera with optical axes (x right, y down, z forward): {100 * given:.0f} % of "
            f"the {what} agree with them. Read as {best}, {100 * others[best]:.0f} % do: convert them",
            code=ErrorCode.INVALID_CAMERA,
        )


def _epipolar_share(
    pairs: Sequence[tuple[ViewInput, ViewInput, F64, F64]], read: Callable[[F64], F64], options: ConventionOptions
) -> float:
    """Share of matches (n, 2) and (n, 2) [px] that lie near their epipolar lines in both pictures."""
    near = total = 0
    for a, b, first, second in pairs:
        assert a.K is not None and b.K is not None and a.viewmat is not None and b.viewmat is not None
        T = read(b.viewmat) @ np.linalg.inv(read(a.viewmat))
        x, y, z = T[:3, 3]
        F = np.linalg.inv(b.K).T @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T[:3, :3] @ np.linalg.inv(a.K)
        p, q = (np.column_stack([m, np.ones(len(m))]) for m in (first, second))
        there, back = p @ F.T, q @ F
        off = np.abs((q * there).sum(1)) / np.maximum(
            np.minimum(np.hypot(there[:, 0], there[:, 1]), np.hypot(back[:, 0], back[:, 1])), 1e-12
        )
        near += int((off < options.epipolar_distance_ratio * a.image.shape[1]).sum())
        total += len(p)
    return near / total


def _depth_share(views: Sequence[ViewInput], read: Callable[[F64], F64], options: ConventionOptions) -> float:
    """Share of places, seen in one depth picture, that another has at the same place; of those that the best-placed of
    its partners shows."""
    near = total = 0
    rng = np.random.default_rng(0)
    for i, a in enumerate(views):
        assert a.depth is not None and a.K is not None and a.viewmat is not None
        v, u = np.nonzero(a.depth > 0)
        pick = rng.permutation(len(v))[:options.places]
        z = a.depth[v[pick], u[pick]].astype(np.float64)
        rays = np.column_stack([u[pick] + 0.5, v[pick] + 0.5, np.ones(len(pick))]) @ np.linalg.inv(a.K).T
        world = np.column_stack([rays * z[:, None], np.ones(len(pick))]) @ np.linalg.inv(read(a.viewmat)).T
        most = 0
        for k in range(1, min(options.partners, len(views) - 1) + 1):
            b = views[(i + k) % len(views)]
            assert b.depth is not None and b.K is not None and b.viewmat is not None
            seen = (world @ read(b.viewmat).T)[:, :3]
            seen = seen[seen[:, 2] > 1e-6]
            at = np.floor(seen @ b.K.T / seen[:, 2:])[:, :2]
            inside = ((at >= 0) & (at < np.array(b.depth.shape[::-1]))).all(1)
            there = b.depth[at[inside, 1].astype(int), at[inside, 0].astype(int)]
            z_seen = seen[inside, 2]
            most = max(most, int((np.abs(there - z_seen) < options.depth_difference_ratio * z_seen).sum()))
        near += most
        total += len(pick)
    return near / max(total, 1)
