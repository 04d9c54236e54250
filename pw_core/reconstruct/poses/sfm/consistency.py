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


@dataclass(frozen=True, kw_only=True)
class ConsistencyOptions:
    """When poses are trusted."""

    enough_points: int = 200
    """A registered image that sees as many is beyond chance; where one sees fewer, all are checked."""
    enough_places: int = 20
    """Places on the plane, registered to what the other images show there, that bear out a pose beyond chance."""
    least_points: int = 20
    """That an image must see where the halves do not both register it."""
    most_uncertainty_deg: float = 2.0
    """An image whose rotation is known no better is not trusted."""
    confirmed_share: float = 1 / 3
    """Share of the registered images that both halves must place alike for any to be trusted ..."""
    least_confirmed: int = 3
    """... and how many at least."""
    seed: int = 0
    """Of the division in halves."""


@dataclass(frozen=True)
class Verdict:
    """What is trusted and what is not, by image; uncertainty_deg: about how well its rotation is known, where both
    halves registered it; reasons: of each image that is not trusted."""

    trusted: tuple[str, ...]
    uncertainty_deg: dict[str, float]
    reasons: dict[str, str]


def assess(
    found: Any, halves: tuple[Any, Any], *, ground_places: Mapping[str, int],
    options: ConsistencyOptions = ConsistencyOptions(),
) -> Verdict:  # fmt: skip
    """Which images of a pycolmap reconstruction the maps from two halves of its matches (None: none) bear out, or so
    many places of the plane (`ground_places`, by name; see `register_to_ground`)."""
    seen = {i.name: i.num_points3D for i in found.images.values() if i.has_pose}
    uncertainty = {n: d / 2 for n, d in rotation_differences(*halves).items() if n in seen}
    on_ground = {n for n, places in ground_places.items() if places >= options.enough_places}
    good = on_ground | {n for n, d in uncertainty.items() if d <= options.most_uncertainty_deg}
    reasons = {}
    for name, points in seen.items():
        if name in on_ground:
            continue
        if name in uncertainty and uncertainty[name] > options.most_uncertainty_deg:
            reasons[name] = f"its turn is known to {uncertainty[name]:.0f} degrees only"
        elif name not in uncertainty and points < options.least_points:
            reasons[name] = f"half of the matches do not place it and it sees {points} points only"
        elif len(good) < max(options.least_confirmed, options.confirmed_share * len(seen)):
            reasons[name] = f"two halves of the matches place {len(good)} of {len(seen)} pictures alike"
    return Verdict(tuple(n for n in seen if n not in reasons), uncertainty, reasons)


def rotation_differences(first: Any, second: Any) -> dict[str, float]:
    """Angles between the rotations of two maps' cameras [degrees], by name, where both have one.

    The maps' frames are laid on each other as most of the cameras have it.
    """
    rotations = [_rotations(m) for m in (first, second)]
    names = sorted(rotations[0].keys() & rotations[1].keys())
    if len(names) < 3:
        return {}
    frames = np.array([rotations[0][n].T @ rotations[1][n] for n in names])
    trace = np.einsum("aij,bij->ab", frames, frames)
    angles = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return dict(zip(names, angles[np.median(angles, axis=1).argmin()].tolist()))


def _rotations(found: Any) -> dict[str, F64]:
    if found is None:
        return {}
    return {i.name: i.cam_from_world().matrix()[:, :3] for i in found.images.values() if i.has_pose}


def map_halves(
    database: Path, mapping: Callable[[Path], Any], *, verify: Callable[[Path], None],
    options: ConsistencyOptions = ConsistencyOptions(),
) -> tuple[Any, Any]:  # fmt: skip
    """What `mapping` makes of each half of a COLMAP database's matches after `verify`; both get a database's path.

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
    edges = {k: m + np.array([start[k[0]], start[k[1]]]) for k, m in pairs.items()}
    side = _sides(edges, sum(images.values()), seed=options.seed)
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
        out.append(mapping(part))
        part.unlink()
    return out[0], out[1]


def _sides(edges: dict[Any, Any], count: int, *, seed: int) -> Any:
    """0 or 1 for each of `count` features, the same for all that matches (n, 2) join."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([np.zeros((0, 2), np.int64), *edges.values()])
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups, label = connected_components(graph, directed=False)
    return np.random.default_rng(seed).integers(2, size=groups)[label]


def deregister(found: Any, names: set[str]) -> None:
    """Take pictures and what only they see out of a reconstruction, in place."""
    import pycolmap

    manager = pycolmap.ObservationManager(found)
    for image in list(found.images.values()):
        if image.name in names and image.has_pose:
            manager.deregister_frame(image.frame_id)
    found.update_point_3d_errors()
