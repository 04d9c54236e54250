"""What sparse points and masks say of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64, I64
from pw_core.reconstruct.types import Mask, Posed, View


@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """Which sparse points speak of an entity."""

    floor_height_ratio: float = 0.01
    """Of the nearest camera's height over the plane: lower points say nothing of an entity."""
    ground_share: float = 0.5
    """Of that height: points lower than this are the ground's."""
    max_stray_ratio: float = 4.0
    """Of the median distance from the median: points further from it are strays."""


def floor_height(posed: Posed, options: PointOptions) -> float:
    """Height over the plane z = 0, in the scene's unit, below which points say nothing of an entity."""
    return options.floor_height_ratio * min(abs(float(v.camera.centre[2])) for v in posed.views)


def main_cluster(points: F64, *, options: PointOptions = PointOptions()) -> Mask:
    """(n,): which of the points (n, 3) are no strays: near enough to the median, in units of the median distance."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return np.asarray(distance < options.max_stray_ratio * np.median(distance) + 1e-9)


def in_mask(mask: Mask, view: View, points: F64) -> Mask:
    """(n,): which of the points (n, 3) are before the camera and in its mask; beyond the picture's border, the border
    decides."""
    cells, depth, _ = view.camera.pixels(points)
    return np.asarray(mask[cells[:, 1], cells[:, 0]] & (depth > 0))


def pixels_within(view: View, points: NDArray[np.floating]) -> F64:
    """Where those of the points (n, 3) fall that are before the camera and within its picture: (m, 2) [px]."""
    height, width = view.image.shape[:2]
    uv, depth = view.camera.project(points)
    return np.asarray(uv[(depth > 0) & (uv > 0).all(1) & (uv[:, 0] < width) & (uv[:, 1] < height)])


def add_votes(posed: Posed, view: View, mask: Mask, yes: I64, no: I64) -> None:
    """Count in place, for each of the points that a view saw, whether they are in an entity's mask there."""
    seen = posed.seen[view.name]
    inside = in_mask(mask, view, posed.points[seen])
    yes[seen[inside]] += 1
    no[seen[~inside]] += 1


def most_say_own(posed: Posed, masks: Mapping[str, Mask]) -> F64:
    """The sparse points (m, 3) that more masks of one entity, by view, say are its own than not."""
    yes, no = np.zeros(len(posed.points), np.int64), np.zeros(len(posed.points), np.int64)
    for v in posed.views:
        add_votes(posed, v, masks[v.name], yes, no)
    own: F64 = posed.points[yes > no]
    return own
