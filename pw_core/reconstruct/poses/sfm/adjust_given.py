"""Given poses made better by the pictures: bundle adjustment from where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.sfm.mapping import MappingOptions, map_pictures


@dataclass(frozen=True, kw_only=True)
class AdjustGivenOptions:
    """When given poses can be adjusted."""

    mapping: MappingOptions = MappingOptions()
    """Features and matches."""
    least_views: int = 3
    """Pictures: two leave the metre open."""
    least_points: int = 60
    """Common points at the given poses."""


def adjust_given_poses(
    inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress, *,
    options: AdjustGivenOptions = AdjustGivenOptions(),
) -> tuple[Inputs, dict[str, Any]]:
    """The inputs with poses that agree with the pictures, and by how much they moved [degrees, m] (medians).

    Points are triangulated from the given poses, then poses and points are adjusted together, intrinsics held. Frame
    and metre stay the given ones: the result is laid on the given camera centres by a similarity (Umeyama 1991).

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): under three views, or too few common points.
    """
    import pycolmap

    if len(inputs.views) < options.least_views:
        raise ReconstructError(
            f"views.refine_poses needs {options.least_views} pictures or more, not {len(inputs.views)}",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )
    place = folder / "given"
    place.mkdir(parents=True, exist_ok=True)
    flat = replace(inputs, views=tuple(replace(v, depth=None) for v in inputs.views))
    found = map_pictures(flat, settings, place, progress, level=0, options=options.mapping)
    if found is None or found.num_points3D() < options.least_points:
        count = 0 if found is None else found.num_points3D()
        raise ReconstructError(
            f"views.refine_poses: only {count} common points at the given poses; {options.least_points} are needed. "
            "They may be far off, or in another convention: world to camera, z forward, y down",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    progress("adjusting the given poses", 0.12)
    solver = pycolmap.BundleAdjustmentOptions()
    solver.refine_focal_length = solver.refine_principal_point = solver.refine_extra_params = False
    pycolmap.bundle_adjustment(found, solver)
    views = {i.name: np.vstack([i.cam_from_world().matrix(), [0, 0, 0, 1]]) for i in found.images.values()}
    given = {v.name: v.viewmat for v in inputs.views if v.viewmat is not None}
    names = [n for n in given if n in views]
    scale, turn, shift = similarity(
        np.array([_centre(views[n]) for n in names]), np.array([_centre(given[n]) for n in names])
    )
    placed = {}
    for n in names:
        rotation = views[n][:3, :3] @ turn.T
        centre = scale * turn @ _centre(views[n]) + shift
        placed[n] = np.eye(4)
        placed[n][:3, :3], placed[n][:3, 3] = rotation, -rotation @ centre
    turned = [_angle(placed[n][:3, :3] @ given[n][:3, :3].T) for n in names]
    moved = [float(np.linalg.norm(_centre(placed[n]) - _centre(given[n]))) for n in names]
    out = replace(inputs, views=tuple(replace(v, viewmat=placed.get(v.name, v.viewmat)) for v in inputs.views))
    return out, {"turned_deg": round(float(np.median(turned)), 4), "moved_m": round(float(np.median(moved)), 6),
                 "points": found.num_points3D()}  # fmt: skip


def similarity(source: F64, target: F64) -> tuple[float, F64, F64]:
    """Scale, rotation (3, 3) and shift (3,) that lay points (n, 3) onto others in the least squares sense."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt
    scale = float((values * np.diag(sign)).sum() / max((a**2).sum(), 1e-18))
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)


def _centre(viewmat: F64) -> F64:
    return np.asarray(-viewmat[:3, :3].T @ viewmat[:3, 3])


def _angle(rotation: F64) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
