"""The scene on its plane, in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import ViewsSettings
from pw_core.errors import ReconstructError
from pw_core.gaussians import F64
from pw_core.reconstruct.ground.depth_unit import DepthUnitOptions, check_height
from pw_core.reconstruct.ground.plane import Plane, PlaneOptions, find_plane
from pw_core.reconstruct.types import Posed, View


@dataclass(frozen=True, kw_only=True)
class WorldFrameOptions:
    """How the scene's frame and its metre are chosen."""

    plane: PlaneOptions = PlaneOptions()
    """How the plane is found."""
    least_entity_points: int = 8
    """Points of the entities, below which they say nothing of the plane."""
    given_frame_share: float = 1 / 3
    """Share of the points that a plane must hold to outdo z = 0 of the frame that poses were given in."""
    noise_tolerances: float = 3.0
    """By how many tolerances of the plane few and faint points may be off."""
    unit: DepthUnitOptions = DepthUnitOptions()
    """When given metres contradict the height that is told."""
    assumed_size_m: float = 0.2
    """Longest extent of the first entity [m] where nothing tells the metre."""
    level_deg: float = 3.0
    """A given frame whose z axis is as near to the plane's normal as that [degrees] stays as it is ..."""
    level_offset_m: float = 0.02
    """... if its z = 0 is as near to the plane as that [m]."""


def _to_plane(posed: Posed, plane: Plane, *, scale: float) -> tuple[Posed, F64]:
    """The same with the plane as z = 0, x along the first camera's line of sight, and lengths times `scale`; and the
    similarity (4, 4) from the old frame."""
    first = posed.views[0].camera
    forward = first.viewmat[2, :3]
    x = forward - plane.normal * (forward @ plane.normal)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(plane.normal, x), plane.normal])
    foot = first.centre - plane.normal * (first.centre @ plane.normal - plane.offset)
    T = np.eye(4)
    T[:3, :3] = scale * turn
    T[:3, 3] = -scale * turn @ foot
    return transformed(posed, T), T


def transformed(posed: Posed, T: F64) -> Posed:
    """Everything under a similarity T (4, 4); depth scales along."""
    scale = float(np.cbrt(np.linalg.det(T[:3, :3])))
    turn = T[:3, :3] / scale

    def place(v: View) -> View:
        m = np.eye(4)
        m[:3, :3] = v.camera.viewmat[:3, :3] @ turn.T
        m[:3, 3] = scale * v.camera.viewmat[:3, 3] - m[:3, :3] @ T[:3, 3]
        depth = None if v.depth is None else (v.depth * scale).astype(np.float32)
        return replace(v, camera=v.camera.moved(m, name=v.name), depth=depth)

    return replace(posed, views=tuple(map(place, posed.views)), points=posed.points @ T[:3, :3].T + T[:3, 3])


def to_world_frame(
    posed: Posed, settings: ViewsSettings, *, metric: bool, object_extent: float = 0.0,
    own: NDArray[np.bool_] | None = None, metre: str = "", options: WorldFrameOptions = WorldFrameOptions(),
) -> tuple[Posed, Any]:  # fmt: skip
    """The scene on its plane in metres, and a report: plane, scale and where the scale is from.

    metric: poses or depth were in metres. object_extent: longest extent of the first entity in the old unit, 0 unknown.
    own (n,): which of the points are the entities', as far as is known. metre: where that is from, if poses were found,
    so that their frame is no one's.
    """
    ups = np.array([-v.camera.viewmat[1, :3] for v in posed.views])
    rights = np.array([v.camera.viewmat[0, :3] for v in posed.views])
    centres = np.array([v.camera.centre for v in posed.views])
    given = _given(posed, own, options) if metric and not metre and settings.frame == "auto" else None
    try:
        if own is None or own.sum() < options.least_entity_points:
            plane = find_plane(posed.points, centres, ups=ups, rights=rights, options=options.plane)
        else:
            plane = find_plane(
                posed.points[~own], centres, ups=ups, rights=rights, own=posed.points[own], options=options.plane
            )
    except ReconstructError:
        if given is None:
            raise
        plane = given
    if given is not None and plane.inliers < options.given_frame_share:
        plane = given
    height = float(posed.views[0].camera.centre @ plane.normal - plane.offset)
    if metric and settings.depth_scale == 0:
        check_height(height, settings.camera_height_m, "views.camera_height_m", options=options.unit)
    if metric:
        scale, source = 1.0, metre or "given poses or depth"
    elif settings.camera_height_m > 0:
        scale, source = settings.camera_height_m / height, f"camera height {settings.camera_height_m} m"
    elif settings.object_size_m > 0 and object_extent > 0:
        scale, source = settings.object_size_m / object_extent, f"object size {settings.object_size_m} m"
    elif object_extent > 0:
        scale = options.assumed_size_m / object_extent
        source = f"unknown; the first entity is assumed to be {options.assumed_size_m} m long"
    else:
        scale, source = 1 / height, "unknown; the first camera is assumed to be 1 m above the plane"
    report = {"plane_inliers": round(plane.inliers, 4), "scale": scale, "scale_from": source, "metric": metric}
    if plane.bears is not None:
        report["bears_the_entities"] = plane.bears
    level = plane.normal[2] > np.cos(np.radians(options.level_deg)) and abs(plane.offset) < options.level_offset_m
    if metric and not metre and (settings.frame == "given" or (settings.frame == "auto" and level)):
        return posed, report | {"frame": "as given", "world_from_given": np.eye(4).tolist()}
    out, T = _to_plane(posed, plane, scale=scale)
    return out, report | {"frame": "z = 0 on the plane", "world_from_given": T.tolist()}


def _given(posed: Posed, own: NDArray[np.bool_] | None, options: WorldFrameOptions) -> Plane | None:
    """z = 0 of the frame that poses were given in, where the entities' points `own` (n,) stand on it: nothing is seen
    below a table, and a plain one shows hardly any points of its own. None where they do not."""
    if own is None or own.sum() < options.least_entity_points:
        return None
    height, mine = posed.points[:, 2], posed.points[own]
    tolerance = options.plane.inlier_distance_ratio * float(np.median([v.camera.centre[2] for v in posed.views]))
    lowest = float(np.percentile(mine[:, 2], 100 * options.plane.below_share))
    long = float(np.linalg.norm(np.ptp(mine, axis=0)))
    buried = (height < -options.noise_tolerances * tolerance).mean() > options.plane.below_share
    if tolerance <= 0 or buried or not -tolerance < lowest < long:
        return None
    return Plane(np.array([0.0, 0.0, 1.0]), 0.0, float((np.abs(height) < tolerance).mean()), bears=True)
