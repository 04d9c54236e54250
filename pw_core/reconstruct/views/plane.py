"""The floor or table plane, up, and the metre."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64
from pw_core.reconstruct.views.poses import Posed, View
from pw_core.reconstruct.views.settings import ViewsSettings

TRIES = 800
NEAR = 0.004
"""Distance from the plane within which a point counts as on it, as a share of the cameras' distance."""
UPRIGHT = 0.3
ASSUMED_SIZE_M = 0.2


@dataclass(frozen=True)
class Plane:
    """normal (3,) and offset: n . x = offset; inliers: share of the points on it."""

    normal: F64
    offset: float
    inliers: float


def find_plane(points: F64, centres: F64, *, ups: F64 | None = None) -> Plane:
    """The plane with the most points and all cameras on one side (RANSAC, Fischler and Bolles 1981).

    ups (n, 3): the cameras' own upward axes, which a floor's normal does not oppose: a wall is no floor.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): no plane holds a tenth of the points.
    """
    rng = np.random.default_rng(0)
    middle = np.median(points, axis=0)
    reach = float(np.median(np.linalg.norm(centres - middle, axis=1)))
    near = points[np.linalg.norm(points - middle, axis=1) < 2 * reach]
    best, score = None, 0
    for _ in range(TRIES):
        a, b, c = near[rng.choice(len(near), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length < 1e-12:
            continue
        normal /= length
        height = (centres - a) @ normal
        if (height < 0).mean() > 0.5:
            normal, height = -normal, -height
        if height.min() < 0.02 * reach or (ups is not None and (ups @ normal).mean() < UPRIGHT):
            continue
        count = int((np.abs((near - a) @ normal) < NEAR * reach).sum())
        if count > score:
            best, score = (normal, float(a @ normal)), count
    if best is None or score < 0.1 * len(near):
        raise ReconstructError(
            f"no floor or table plane: the best holds {score} of {len(near)} points; show more of what the thing "
            "stands on", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    normal, offset = best
    for _ in range(3):
        on = near[np.abs(near @ normal - offset) < NEAR * reach]
        centre = on.mean(0)
        fitted = np.linalg.svd(on - centre, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(centre @ normal)
    return Plane(normal, offset, score / len(near))


def to_table(posed: Posed, plane: Plane, *, scale: float) -> tuple[Posed, F64]:
    """The same with the plane as z = 0, x along the first camera's look, and lengths times `scale`; and the similarity
    (4, 4) from the old frame."""
    first = posed.views[0].camera
    forward = first.viewmat[2, :3]
    x = forward - plane.normal * (forward @ plane.normal)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(plane.normal, x), plane.normal])
    foot = first.centre - plane.normal * (first.centre @ plane.normal - plane.offset)
    T = np.eye(4)
    T[:3, :3] = scale * turn
    T[:3, 3] = -scale * turn @ foot
    return moved(posed, T), T


def moved(posed: Posed, T: F64) -> Posed:
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


def stand(posed: Posed, settings: ViewsSettings, *, metric: bool, object_extent: float = 0.0) -> tuple[Posed, Any]:
    """The scene on its plane in metres, and a report: plane, scale and where the scale is from.

    metric: poses or depth were in metres. object_extent: longest extent of the first entity in the old unit, 0 unknown.
    """
    ups = np.array([-v.camera.viewmat[1, :3] for v in posed.views])
    plane = find_plane(posed.points, np.array([v.camera.centre for v in posed.views]), ups=ups)
    height = float(posed.views[0].camera.centre @ plane.normal - plane.offset)
    if metric:
        scale, source = 1.0, "given poses or depth"
    elif settings.camera_height_m > 0:
        scale, source = settings.camera_height_m / height, f"camera height {settings.camera_height_m} m"
    elif settings.object_size_m > 0 and object_extent > 0:
        scale, source = settings.object_size_m / object_extent, f"object size {settings.object_size_m} m"
    elif object_extent > 0:
        scale = ASSUMED_SIZE_M / object_extent
        source = f"unknown; the first entity is assumed to be {ASSUMED_SIZE_M} m long"
    else:
        scale, source = 1 / height, "unknown; the first camera is assumed to be 1 m above the plane"
    report = {"plane_inliers": round(plane.inliers, 4), "scale": scale, "scale_from": source, "metric": metric}
    level = plane.normal[2] > np.cos(np.radians(3)) and abs(plane.offset) < 0.02
    if metric and (settings.frame == "given" or (settings.frame == "auto" and level)):
        return posed, report | {"frame": "as given", "world_from_given": np.eye(4).tolist()}
    out, T = to_table(posed, plane, scale=scale)
    return out, report | {"frame": "z = 0 on the plane", "world_from_given": T.tolist()}
