"""How pairs of RGB-D pictures stand to each other: matched features, lifted by depth, move as one rigid body.

A match of two places in space tells more than one of two pixels: three such matches are a motion, and each further one
that agrees to millimetres in all three axes is hardly chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64, I64
from pw_core.reconstruct.poses.rgbd.depth_map import DepthMap, Lifted, spread_out
from pw_core.reconstruct.poses.sfm.verification import choose

MOTION_SAMPLE = 3
"""Matches that are a motion: not a choice."""


@dataclass(frozen=True, kw_only=True)
class PairwiseOptions:
    """Which pairs of pictures are laid on each other by their matches."""

    tries: int = 4000
    """Motions that are tried."""
    refits: int = 5
    """Least-squares fits to the matches that agree, at most."""
    tolerance_sd: float = 3.0
    """Standard deviations of a lifted feature within which two are the same place."""
    sample_spread_tolerances: float = 5.0
    """In the tolerance: how far apart the places of a sample must be."""
    most_expected: float = 1.0
    """Motions as good that chance may be expected to give a pair at the most."""
    probes: int = 2000
    """Points by which two depth pictures are compared."""
    least_probes: int = 50
    """Of them that must fall on known depth for a contradiction."""
    most_contradicted_share: float = 0.25
    """Share of the probes of one picture that may stand where the other saw through."""
    noises: float = 6.0
    """Standard deviations of a depth pixel that are no contradiction."""


@dataclass(frozen=True)
class Motion:
    """second_from_first (4, 4), rigid; agree (n,): which of the pair's matches bear it out; log10_expected: how many
    motions this good chance would give."""

    second_from_first: F64
    agree: NDArray[np.bool_]
    log10_expected: float


def read_matches(database: Path, names: list[str], *, larger: int) -> tuple[list[F64], dict[tuple[int, int], I64]]:
    """Features of the pictures [px of the given pictures] and all matches (n, 2) of pairs i < j in a COLMAP database,
    verified or not. larger: how many times the pictures were enlarged."""
    import pycolmap

    db = pycolmap.Database.open(database)
    ids = {i.name: i.image_id for i in db.read_all_images()}
    rows = [np.asarray(db.read_keypoints(ids[n]), np.float64) if n in ids else np.zeros((0, 2)) for n in names]
    pixels = [of[:, :2] / larger if of.size else np.zeros((0, 2)) for of in rows]
    numbers = {ids[n]: k for k, n in enumerate(names) if n in ids}
    out = {}
    pairs, found = db.read_all_matches()
    db.close()
    for pair, of in zip(pairs, found):
        a, b = pycolmap.pair_id_to_image_pair(pair)
        i, j = numbers[a], numbers[b]
        m = np.asarray(of, np.int64).reshape(-1, 2)
        if len(m):
            out[min(i, j), max(i, j)] = m if i < j else m[:, ::-1]
    return pixels, out


def read_verified(database: Path, names: list[str]) -> dict[tuple[int, int], I64]:
    """Of the matches in a COLMAP database those (n, 2) of pairs i < j that an epipolar geometry bears out, where chance
    does not explain it."""
    import pycolmap

    db = pycolmap.Database.open(database)
    numbers = {i.image_id: names.index(i.name) for i in db.read_all_images() if i.name in names}
    ids, geometries = db.read_two_view_geometries()
    db.close()
    out = {}
    for pair, geometry in zip(ids, geometries):
        i, j = (numbers.get(k) for k in pycolmap.pair_id_to_image_pair(pair))
        m = np.asarray(geometry.inlier_matches, np.int64).reshape(-1, 2)
        if i is not None and j is not None and len(m):
            out[min(i, j), max(i, j)] = m if i < j else m[:, ::-1]
    return out


def proportion(first: F64, second: F64) -> tuple[float, float]:
    """How many times as far apart points `second` (n, 3) are as `first`, and by which share that varies (medians)."""
    picks = np.random.default_rng(0).integers(len(first), size=(500, 2))
    sides = [np.linalg.norm(p[picks[:, 0]] - p[picks[:, 1]], axis=1) for p in (first, second)]
    ratios = (sides[1] / np.maximum(sides[0], 1e-9))[picks[:, 0] != picks[:, 1]]
    middle = float(np.median(ratios))
    return middle, float(np.median(np.abs(ratios / middle - 1)))


def tolerance_of(maps: list[DepthMap], *, options: PairwiseOptions = PairwiseOptions()) -> float:
    """How near [m] two lifted features of the same place lie, at the distances that the depth pictures have."""
    across = [m.distance_m / float(m.K[0, 0]) for m in maps]
    return options.tolerance_sd * float(np.hypot(np.median(across), np.median([m.error_m for m in maps])))


def motions(
    lifted: list[Lifted], matches: Mapping[tuple[int, int], I64], maps: list[DepthMap | None], *,
    tolerance: float, options: PairwiseOptions = PairwiseOptions(),
) -> dict[tuple[int, int], Motion]:  # fmt: skip
    """Motions of the pairs whose matches chance does not explain and whose depths do not contradict each other."""
    probes: dict[int, F64] = {}
    for k, surface in enumerate(maps):
        if surface is not None:
            x, y = spread_out(surface, options.probes, seed=k).T
            probes[k] = surface.points[y, x].astype(np.float64)
    out = {}
    for (i, j), m in matches.items():
        both = lifted[i].ok[m[:, 0]] & lifted[j].ok[m[:, 1]]
        if both.sum() <= MOTION_SAMPLE:
            continue
        first_points, second_points = lifted[i].points[m[both, 0]], lifted[j].points[m[both, 1]]
        found = motion(first_points, second_points, tolerance=tolerance, options=options)
        first, second = maps[i], maps[j]
        if found is None or found.log10_expected > np.log10(options.most_expected) or first is None or second is None:
            continue
        T = found.second_from_first
        back = np.asarray(np.linalg.inv(T))
        shares = [
            contradicted(probes[i], T, second, options=options), contradicted(probes[j], back, first, options=options)
        ]  # fmt: skip
        if max(shares) > options.most_contradicted_share:
            continue
        agree = np.zeros(len(m), bool)
        agree[np.nonzero(both)[0]] = found.agree
        out[i, j] = Motion(T, agree, found.log10_expected)
    return out


def motion(
    first: F64, second: F64, *, tolerance: float, options: PairwiseOptions = PairwiseOptions()
) -> Motion | None:
    """The rigid motion that takes most of the points `first` (n, 3) to `second` within `tolerance` [m] (MSAC: Torr and
    Zisserman 2000); None where no three of them are one."""
    count = len(first)
    if count <= MOTION_SAMPLE:
        return None
    picks = np.random.default_rng(0).integers(count, size=(options.tries, MOTION_SAMPLE))
    sides = [np.linalg.norm(p[picks] - p[np.roll(picks, 1, axis=1)], axis=-1) for p in (first, second)]
    wide = (sides[0] > options.sample_spread_tolerances * tolerance).all(1)
    picks = picks[(np.abs(sides[0] - sides[1]) < 2 * tolerance).all(1) & wide]
    if len(picks) == 0:
        return None
    turns, shifts = rigid(first[picks], second[picks])
    best, cost = 0, np.inf
    for part in np.array_split(np.arange(len(picks)), max(1, len(picks) * count // 500_000)):
        moved = np.einsum("kij,nj->kni", turns[part], first) + shifts[part, None]
        costs = np.minimum(np.linalg.norm(moved - second, axis=-1) / tolerance, 1).sum(1)
        if costs.min() < cost:
            best, cost = int(part[costs.argmin()]), float(costs.min())
    turn, shift = turns[best], shifts[best]
    agree = np.linalg.norm(first @ turn.T + shift - second, axis=1) < tolerance
    for _ in range(options.refits):
        if agree.sum() <= MOTION_SAMPLE:
            return None
        turn, shift = rigid(first[agree], second[agree])
        again = np.linalg.norm(first @ turn.T + shift - second, axis=1) < tolerance
        if (again == agree).all():
            break
        agree = again
    if agree.sum() <= MOTION_SAMPLE:
        return None
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turn, shift
    return Motion(T, agree, log10_expected(second[agree], count, tolerance=tolerance))


def rigid(first: F64, second: F64) -> tuple[F64, F64]:
    """Rotations (..., 3, 3) and shifts (..., 3) that lay points (..., n, 3) onto others, least squares (Arun 1987)."""
    a, b = first.mean(-2, keepdims=True), second.mean(-2, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(second - b, -1, -2) @ (first - a))
    flip = np.zeros(u.shape)
    flip[..., 0, 0] = flip[..., 1, 1] = 1
    flip[..., 2, 2] = np.sign(np.linalg.det(u @ vt))
    turn = u @ flip @ vt
    return turn, (b - a @ np.swapaxes(turn, -1, -2))[..., 0, :]


def log10_expected(points: F64, matches: int, *, tolerance: float) -> float:
    """log10 of the number of motions that chance would give as good as one that `points` (k, 3) of all matches agree
    with: as `verification.log10_expected`, with places spread over a surface as wide as those points."""
    count = len(points)
    if count <= MOTION_SAMPLE:
        return float(np.inf)
    wide = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 0))
    area = np.pi * 2 * wide[2] * 2 * max(float(wide[1]), tolerance)
    near = min(1.0, np.pi * tolerance**2 / max(area, 1e-12))
    terms = np.log(max(matches - MOTION_SAMPLE, 1)) + choose(matches, count) + choose(count, MOTION_SAMPLE)
    return float((terms + (count - MOTION_SAMPLE) * np.log(near)) / np.log(10))


def contradicted(points: F64, T: F64, surface: DepthMap, *, options: PairwiseOptions = PairwiseOptions()) -> float:
    """Share of `points` (n, 3), moved by T (4, 4) into a depth picture's frame, that stand well before what it saw
    there: it would have seen them. Of those that fall on known depth; 0 where hardly any does."""
    moved = points @ T[:3, :3].T + T[:3, 3]
    _, at, inside = projected(moved, surface)
    seen = surface.points[at[1], at[0]][:, 2]
    if len(seen) < options.least_probes:
        return 0.0
    before = seen * (1 - surface.options.step_ratio) - options.noises * surface.noise_m
    return float((moved[inside, 2] < before).mean())


def projected(points: F64, surface: DepthMap) -> tuple[F64, tuple[I64, I64], I64]:
    """Where points (n, 3) in a depth picture's frame fall on known depth: their places there (k, 2) [px], the columns
    and rows of those pixels, and which of the points they are (k,)."""
    front = np.nonzero(points[:, 2] > 1e-3)[0]
    K = surface.K
    pixels = points[front, :2] / points[front, 2:] * np.array([K[0, 0], K[1, 1]]) + K[:2, 2]
    size = np.array(surface.ok.shape[::-1])
    inside = ((pixels >= 0) & (pixels < size)).all(1)
    cell = np.floor(pixels[inside]).astype(np.int64)
    known = surface.ok[cell[:, 1], cell[:, 0]]
    kept = front[inside][known]
    return pixels[inside][known], (cell[known, 0], cell[known, 1]), kept
