"""Whether poses that were found can be trusted: the plane that all views show bears them out, or two maps from separate
halves of the matches agree.

A low reprojection error does not tell: few points fit any pose, and wrong matches that were kept are those that fit.
What one half of the matches says of a camera is independent of what the other half says, so that half of their
difference is about the error of what all of them say together.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.gaussians import F64

ENOUGH_POINTS = 200
"""A placed picture that sees as many is beyond chance; where one sees fewer, all are checked."""
ENOUGH_PLACES = 20
"""Places on the plane, laid on what the other pictures show there, that bear out a pose beyond chance."""
LEAST_POINTS = 20
"""That a picture must see where the halves do not both place it."""
UNSURE_DEG = 2.0
"""A camera whose turn is known no better is not trusted."""
CONFIRMED = 1 / 3
"""Share of the placed pictures that both halves must place alike for any to be trusted."""


@dataclass(frozen=True)
class Verdict:
    """What is trusted and what is not, by picture; unsure_deg: about how well its turn is known, where both halves
    placed it; why: of each picture that is not trusted."""

    trusted: tuple[str, ...]
    unsure_deg: dict[str, float]
    why: dict[str, str]


def judge(found: Any, halves: tuple[Any, Any], *, borne: Mapping[str, int]) -> Verdict:
    """Which pictures of a pycolmap reconstruction the maps from two halves of its matches (None: none) bear out, or so
    many places of the plane (`borne`, by name; see `mosaic`)."""
    seen = {i.name: i.num_points3D for i in found.images.values() if i.has_pose}
    unsure = {n: d / 2 for n, d in apart(*halves).items() if n in seen}
    laid = {n for n, places in borne.items() if places >= ENOUGH_PLACES}
    good = laid | {n for n, d in unsure.items() if d <= UNSURE_DEG}
    why = {}
    for name, points in seen.items():
        if name in laid:
            continue
        if name in unsure and unsure[name] > UNSURE_DEG:
            why[name] = f"its turn is known to {unsure[name]:.0f} degrees only"
        elif name not in unsure and points < LEAST_POINTS:
            why[name] = f"half of the matches do not place it and it sees {points} points only"
        elif len(good) < max(3, CONFIRMED * len(seen)):
            why[name] = f"two halves of the matches place {len(good)} of {len(seen)} pictures alike"
    return Verdict(tuple(n for n in seen if n not in why), unsure, why)


def apart(first: Any, second: Any) -> dict[str, float]:
    """By how much cameras of two maps are turned against each other [degrees], by name, where both have one.

    The maps' frames are laid on each other as most of the cameras have it.
    """
    turns = [_turns(m) for m in (first, second)]
    names = sorted(turns[0].keys() & turns[1].keys())
    if len(names) < 3:
        return {}
    frames = np.array([turns[0][n].T @ turns[1][n] for n in names])
    trace = np.einsum("aij,bij->ab", frames, frames)
    angles = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return dict(zip(names, angles[np.median(angles, axis=1).argmin()].tolist()))


def _turns(found: Any) -> dict[str, F64]:
    if found is None:
        return {}
    return {i.name: i.cam_from_world().matrix()[:, :3] for i in found.images.values() if i.has_pose}


def halves(database: Path, map_: Callable[[Path], Any], *, verify: Callable[[Path], None]) -> tuple[Any, Any]:
    """What `map_` makes of each half of a COLMAP database's matches after `verify`; both are given a database's path.

    Matches that share a feature stay together.
    """
    import pycolmap

    db = pycolmap.Database.open(database)
    ids, matches = db.read_all_matches()
    images = {i.image_id: db.num_keypoints_for_image(i.image_id) for i in db.read_all_images()}
    db.close()
    start = dict(zip(images, np.cumsum([0, *images.values()])))
    pairs = {
        pycolmap.pair_id_to_image_pair(pair): np.asarray(found, np.int64).reshape(-1, 2)
        for pair, found in zip(ids, matches)
    }  # fmt: skip
    side = _sides({k: m + np.array([start[k[0]], start[k[1]]]) for k, m in pairs.items()}, sum(images.values()))
    out = []
    for half in (0, 1):
        part = database.with_name(f"{database.name}.half{half}")
        shutil.copyfile(database, part)
        db = pycolmap.Database.open(part)
        db.clear_two_view_geometries()
        db.clear_matches()
        for (a, b), m in pairs.items():
            own = m[side[m[:, 0] + start[a]] == half]
            if len(own):
                db.write_matches(a, b, own.astype(np.uint32))
        db.close()
        verify(part)
        out.append(map_(part))
        part.unlink()
    return out[0], out[1]


def _sides(edges: dict[Any, Any], count: int) -> Any:
    """0 or 1 for each of `count` features, the same for all that matches (n, 2) join."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([np.zeros((0, 2), np.int64), *edges.values()])
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups, label = connected_components(graph, directed=False)
    return np.random.default_rng(0).integers(2, size=groups)[label]


def withdraw(found: Any, names: set[str]) -> None:
    """Take pictures and what only they see out of a reconstruction, in place."""
    import pycolmap

    manager = pycolmap.ObservationManager(found)
    for image in list(found.images.values()):
        if image.name in names and image.has_pose:
            manager.deregister_frame(image.frame_id)
    found.update_point_3d_errors()
