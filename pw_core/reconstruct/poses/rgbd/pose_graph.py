"""RGB-D pictures placed: pairs by matches and depth, chained, adjusted together; what cannot be trusted is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pw_core.gaussians import F64, I64
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.poses.rgbd.depth_map import DepthMap, DepthMapOptions, Lifted, depth_map, lift, spread_out
from pw_core.reconstruct.poses.rgbd.joint_icp import Adjusted, JointIcpOptions, adjust
from pw_core.reconstruct.poses.rgbd.pairwise import (
    Motion,
    PairwiseOptions,
    contradicted,
    motions,
    proportion,
    tolerance_of,
)
from pw_core.reconstruct.poses.rgbd.plane_search import PlaneSearchOptions, Standing, misfit, standing, sweep


@dataclass(frozen=True, kw_only=True)
class PoseGraphOptions:
    """How pictures are placed, and when a place is trusted."""

    depth: DepthMapOptions = DepthMapOptions()
    """How depth is smoothed."""
    pairwise: PairwiseOptions = PairwiseOptions()
    """Pairs by their matches."""
    plane_search: PlaneSearchOptions = PlaneSearchOptions()
    """Pairs by depth alone."""
    icp: JointIcpOptions = JointIcpOptions()
    """The adjustment of all poses."""
    second_gate_share: float = 0.5
    """Of its first gate, after an adjustment to the matches alone."""
    sure_sd: float = 3.0
    """Standard deviations within which a rotation is known: those of the adjustment leave out what errors have in
    common."""
    most_uncertainty_deg: float = 2.0
    """A picture whose rotation is known no better [degrees] is not trusted."""
    most_contradicted_share: float = 0.1
    """Share of a depth picture that may stand where others saw through, once all are placed ..."""
    facing_cosine: float = 0.5
    """... of those others whose lines of sight are as near to its own."""
    most_lost_share: float = 0.5
    """Share of the matches that placed a picture that may be lost in the end ..."""
    lost_tolerances: float = 2.0
    """... because their places are further apart, in the tolerance."""
    many_matches: int = 25
    """That need no depth to bear them out."""
    sweeps: int = 150
    """Pairs of pictures, at most, that are laid on each other by depth alone; each takes a second."""
    least_verified: int = 20
    """Matches of a pair that tell what is wrong with depth ..."""
    same_shape_spread: float = 0.1
    """... how much proportions may vary if only the unit is ..."""
    other_unit_log: float = 0.05
    """... and how far from 1 its factor must be (natural logarithm)."""
    least_seen: int = 12
    """Matches that a picture without depth must have with places that are known ..."""
    seen_error_px: float = 4.0
    """... how near they must fall ..."""
    seen_tries: int = 5000
    """... poses that are tried ..."""
    seen_confidence: float = 0.9999
    """... and the probability of a right one among them at which no more are."""


@dataclass(frozen=True)
class Gathered:
    """Pictures with intrinsics, what their depth shows (None: no depth), their features lifted, matches (n, 2) of pairs
    i < j, and how near [m] two lifted features of one place lie; verified: matches that an epipolar geometry bears out.
    """

    views: tuple[ViewInput, ...]
    maps: list[DepthMap | None]
    lifted: list[Lifted]
    matches: dict[tuple[int, int], I64]
    tolerance: float
    verified: dict[tuple[int, int], I64] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """Poses, camera to world (4, 4), by number; why others were left out and how well turns are known [deg], by name;
    the rest of the report."""

    poses: dict[int, F64] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    turn_deg: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


def gather(
    views: Sequence[ViewInput], pixels: list[F64], matches: dict[tuple[int, int], I64], *,
    options: PoseGraphOptions = PoseGraphOptions(),
) -> Gathered:  # fmt: skip
    """What is compared: pixels (n, 2) are the features of each picture, which has its intrinsics."""
    maps: list[DepthMap | None] = []
    lifted = []
    for v, at in zip(views, pixels):
        assert v.K is not None
        maps.append(None if v.depth is None else depth_map(v.depth, v.K, options=options.depth))
        lifted.append(lift(at, v.K, maps[-1]))
    tolerance = tolerance_of([m for m in maps if m is not None], options=options.pairwise)
    return Gathered(tuple(views), maps, lifted, matches, tolerance)


def place(
    given: Gathered, start: dict[int, F64], *, progress: Progress | None = None,
    options: PoseGraphOptions = PoseGraphOptions(),
) -> Found:  # fmt: skip
    """Poses of all that can be placed and trusted; start: what is known of some of them, within centimetres. Where
    matches do not do, depth alone is tried if there is someone to `progress` of it: it takes seconds a picture."""
    names = [v.name for v in given.views]
    matched = motions(given.lifted, given.matches, given.maps, tolerance=given.tolerance, options=options.pairwise)
    pairs = _borne_out(given, matched, options)
    poses = chain(len(names), pairs, start)
    swept: dict[tuple[int, int], Motion] = {}
    if progress is not None:
        poses, swept = _by_sweeps(poses, given, pairs, progress, options)
    alone = progress is not None
    why = {names[k]: _unplaced(k, given, pairs, options, alone=alone) for k in range(len(names)) if k not in poses}
    result: Adjusted | None = None
    known: dict[int, float] = {}
    for first in (True, False):
        for k, v in enumerate(given.views):
            if k not in poses and v.depth is None:
                seen = _by_places(k, poses, given, options)
                if seen is not None:
                    poses[k] = seen
                    why.pop(v.name, None)
        if len(poses) < 2:
            break
        poses, result = _adjusted(poses, given, options, again=not first)
        known = dict(zip(poses, (options.sure_sd * result.turn_sd_deg).tolist()))
        untrusted = {} if not first else _untrusted(poses, known, given, pairs, options)
        if not untrusted:
            break
        why |= {names[k]: reason for k, reason in untrusted.items()}
        poses = {k: p for k, p in poses.items() if k not in untrusted}
    report: dict[str, Any] = {"pairs": len(pairs), "pairs_by_depth_alone": len(swept)}
    if result is not None:
        report["depths_agree_to_m"] = round(result.off_m, 6)
        noise = [m.noise_m for m in given.maps if m is not None]
        report["depth_noise_m"] = round(float(np.median(noise)), 6)
    return Found(poses, why, {names[k]: known[k] for k in poses if k in known}, report)


def _borne_out(
    given: Gathered, pairs: dict[tuple[int, int], Motion], options: PoseGraphOptions
) -> dict[tuple[int, int], Motion]:
    """The pairs that many matches lay on each other, and those of few whose depth fits, too, once adjusted."""
    out = {}
    shown: dict[int, Standing | None] = {}
    for (i, j), m in pairs.items():
        if m.agree.sum() >= options.many_matches:
            out[i, j] = m
            continue
        for k in (i, j):
            surface = given.maps[k]
            if k not in shown:
                shown[k] = None if surface is None else standing(surface, seed=k, options=options.plane_search)
        first, second = shown[i], shown[j]
        if first is None or second is None:
            out[i, j] = m
            continue
        at = adjust(
            np.array([np.eye(4), m.second_from_first]), [given.lifted[j], given.lifted[i]],
            {(0, 1): given.matches[i, j][m.agree][:, ::-1]}, [given.maps[j], given.maps[i]], tolerance=given.tolerance,
            options=options.icp,
        ).poses  # fmt: skip
        T = np.asarray(np.linalg.inv(at[0]) @ at[1])
        if misfit(first, second, T, options=options.plane_search) < options.plane_search.most_misfit:
            out[i, j] = replace(m, second_from_first=T)
    return out


def chain(count: int, pairs: dict[tuple[int, int], Motion], start: dict[int, F64]) -> dict[int, F64]:
    """Poses, camera to world, from pair to pair, those first that most matches bear out (Prim's tree); from what is
    known or, where nothing is, of the largest group of pictures that hang together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    poses = dict(start)
    if not poses:
        if not pairs:
            return {}
        ends = np.array(list(pairs))
        graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
        _, group = connected_components(graph, directed=False)
        largest = np.bincount(group).argmax()
        support = np.zeros(count)
        for (i, j), m in pairs.items():
            support[[i, j]] += m.agree.sum()
        poses = {int(np.where(group == largest, support, -1).argmax()): np.eye(4)}
    while True:
        open_ = {(i, j): m for (i, j), m in pairs.items() if (i in poses) != (j in poses)}
        if not open_:
            return poses
        (i, j), best = max(open_.items(), key=lambda e: int(e[1].agree.sum()))
        if i in poses:
            poses[j] = poses[i] @ np.linalg.inv(best.second_from_first)
        else:
            poses[i] = poses[j] @ best.second_from_first


def _by_sweeps(
    poses: dict[int, F64], given: Gathered, pairs: dict[tuple[int, int], Motion], progress: Progress,
    options: PoseGraphOptions,
) -> tuple[dict[int, F64], dict[tuple[int, int], Motion]]:
    """Poses of more pictures, laid on placed ones by depth alone, near ones in order first; and the pairs that were."""
    paired = {k for pair in pairs for k in pair}
    left = [k for k, m in enumerate(given.maps)
            if k not in poses and m is not None and (k in paired or not _mismatched(k, given, options))]  # fmt: skip
    if not left:
        return poses, {}
    shown = {k: standing(m, seed=k, options=options.plane_search) for k, m in enumerate(given.maps)
             if m is not None and (k in poses or k in left)}  # fmt: skip
    usable = [k for k, s in shown.items() if s is not None]
    if not poses and usable:
        poses = {usable[0]: np.eye(4)}
    swept: dict[tuple[int, int], Motion] = {}
    tried: set[tuple[int, int]] = set()
    while len(tried) < options.sweeps:
        open_ = [(k, j) for k in usable for j in usable if k not in poses and j in poses and (k, j) not in tried]
        if not open_:
            break
        k, j = min(open_, key=lambda e: (abs(e[0] - e[1]), e))
        tried.add((k, j))
        progress("pictures without matches, by depth alone", 0.1 + 0.03 * len(tried) / options.sweeps)
        mine, theirs = shown[k], shown[j]
        found = None
        if mine is not None and theirs is not None:
            found = sweep(mine, theirs, options=options.plane_search, icp=options.icp)
        if found is not None:
            T = found if k < j else np.asarray(np.linalg.inv(found))
            swept[min(k, j), max(k, j)] = Motion(T, np.zeros(0, bool), -np.inf)
            poses = chain(len(given.views), pairs | swept, poses)
    return poses, swept


def _adjusted(
    poses: dict[int, F64], given: Gathered, options: PoseGraphOptions, *, again: bool
) -> tuple[dict[int, F64], Adjusted]:
    """The poses adjusted: first by matches, then by depth too."""
    order = sorted(poses)
    number = {k: n for n, k in enumerate(order)}
    lifted, maps = [given.lifted[k] for k in order], [given.maps[k] for k in order]
    matches = {(number[i], number[j]): m for (i, j), m in given.matches.items() if i in number and j in number}
    at = np.array([poses[k] for k in order])
    if not again:
        at = adjust(at, lifted, matches, maps, tolerance=given.tolerance, dense=False, options=options.icp).poses
    gate = options.icp.last_gate if again else options.second_gate_share * options.icp.first_gate
    result = adjust(at, lifted, matches, maps, tolerance=given.tolerance, gate=gate, options=options.icp)
    return dict(zip(order, result.poses)), result


def _untrusted(
    poses: dict[int, F64], known: dict[int, float], given: Gathered, pairs: dict[tuple[int, int], Motion],
    options: PoseGraphOptions,
) -> dict[int, str]:  # fmt: skip
    """Which of the placed pictures cannot be trusted, and why."""
    out = {}
    probes = {}
    for k in poses:
        surface = given.maps[k]
        if surface is not None:
            x, y = spread_out(surface, options.pairwise.probes, seed=k).T
            probes[k] = surface.points[y, x].astype(np.float64)
    for k in poses:
        if known[k] > options.most_uncertainty_deg:
            out[k] = f"its turn is known to {known[k]:.0f} degrees only"
            continue
        before = []
        for j in poses:
            other = given.maps[j]
            if j == k or other is None or k not in probes or poses[j][:3, 2] @ poses[k][:3, 2] < options.facing_cosine:
                continue
            T = np.asarray(np.linalg.inv(poses[j]) @ poses[k])
            before.append(contradicted(probes[k], T, other, options=options.pairwise))
        if before and np.median(before) > options.most_contradicted_share:
            out[k] = f"{100 * np.median(before):.0f} % of its depth stands where others saw through"
            continue
        kept, all_ = 0, 0
        for (i, j), m in pairs.items():
            if k in (i, j) and i in poses and j in poses:
                a, b = given.matches[i, j][m.agree].T
                first = given.lifted[i].points[a] @ poses[i][:3, :3].T + poses[i][:3, 3]
                second = given.lifted[j].points[b] @ poses[j][:3, :3].T + poses[j][:3, 3]
                kept += int((np.linalg.norm(first - second, axis=1) < options.lost_tolerances * given.tolerance).sum())
                all_ += int(m.agree.sum())
        if all_ and kept < (1 - options.most_lost_share) * all_:
            out[k] = f"{all_ - kept} of the {all_} matches that place it say otherwise than those of others"
    return out


def _unplaced(
    k: int, given: Gathered, pairs: dict[tuple[int, int], Motion], options: PoseGraphOptions, *, alone: bool
) -> str:
    """Why a picture has no place; alone: depth was tried without matches, too."""
    if given.views[k].depth is None:
        return f"it has no depth, and fewer than {options.least_seen} of its matches agree on a place"
    matched = sum(len(m) for pair, m in given.matches.items() if k in pair)
    with_others = sum(k in pair for pair in pairs)
    if with_others:
        return "its matches lead to a few other pictures only, apart from the rest"
    if given.views[k].depth is not None and given.maps[k] is None:
        return "its depth is nowhere smooth"
    wrong = _mismatched(k, given, options)
    if wrong:
        return wrong
    also = "; its depth alone fits that of others nowhere, or in several ways" if alone else ""
    return f"its {matched} matches with others, lifted by depth, agree on no motion that chance does not explain{also}"


def _mismatched(k: int, given: Gathered, options: PoseGraphOptions) -> str:
    """What is wrong with the depth of a picture whose matches an epipolar geometry bears out, but no motion in space;
    empty where there are no such matches."""
    times = []
    for (i, j), m in given.verified.items():
        m = m[given.lifted[i].ok[m[:, 0]] & given.lifted[j].ok[m[:, 1]]]
        if k in (i, j) and len(m) >= options.least_verified:
            middle, spread = proportion(given.lifted[i].points[m[:, 0]], given.lifted[j].points[m[:, 1]])
            times.append((middle if k == j else 1 / middle, spread))
    factor, spread = (np.median(of) for of in zip(*times)) if times else (1.0, np.inf)
    if spread < options.same_shape_spread and abs(np.log(factor)) > options.other_unit_log:
        return (f"its depth is {factor:.3g} times what others say; is it in the same unit "
                "(uint16: millimetres, float: metres)?")  # fmt: skip
    if times:
        return ("its picture matches others and its depth does not: is it registered to the picture, along the optical "
                "axis, and are the intrinsics right?")  # fmt: skip
    return ""


def _by_places(k: int, poses: dict[int, F64], given: Gathered, options: PoseGraphOptions) -> F64 | None:
    """The pose of a picture without depth, from its matches with lifted features of placed ones."""
    import cv2

    places, at = places_of(k, poses, given)
    K = given.views[k].K
    if len(places) < options.least_seen or K is None:
        return None
    pixels = given.lifted[k].rays[at][:, :2] * np.array([K[0, 0], K[1, 1]]) + K[:2, 2]
    cv2.setRNGSeed(0)
    ok, turn, shift, agree = cv2.solvePnPRansac(
        places, pixels, K, np.zeros(4), iterationsCount=options.seen_tries, reprojectionError=options.seen_error_px,
        confidence=options.seen_confidence,
    )  # fmt: skip
    if not ok or agree is None or len(agree) < options.least_seen:
        return None
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
    return np.asarray(np.linalg.inv(T))


def places_of(k: int, poses: dict[int, F64], given: Gathered) -> tuple[F64, I64]:
    """Where placed pictures with depth say that features of picture k are, in the world (n, 3), and which (n,)."""
    places, at = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for (i, j), m in given.matches.items():
        other, mine, theirs = (j, m[:, 0], m[:, 1]) if i == k else (i, m[:, 1], m[:, 0])
        if k not in (i, j) or other not in poses:
            continue
        known = given.lifted[other].ok[theirs]
        T = poses[other]
        places.append(given.lifted[other].points[theirs[known]] @ T[:3, :3].T + T[:3, 3])
        at.append(mine[known])
    return np.concatenate(places), np.concatenate(at)
