"""Two depth pictures without matches: laid on each other by the plane that both show and what stands on it.

The plane fixes height and two turns; what is left is tried: all turns about its normal, with what stands on it in the
same place. From the best of these starts the pictures are adjusted to each other, and what comes out best counts only
where it fits well and no other turn fits nearly as well: round things fit at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.gaussians import F64
from pw_core.reconstruct.poses.rgbd.depth_map import STEP, DepthMap, Lifted, spread_out
from pw_core.reconstruct.poses.rgbd.joint_icp import adjust
from pw_core.reconstruct.poses.rgbd.pairwise import fall

TURNS, REFINED = 36, 12
"""Starts about the plane's normal, and how many of the best are adjusted."""
OTHER_DEG = 15.0
"""A turn that differs by more is another answer."""
FITS, CLEARER, MUCH_CLEARER = 0.25, 0.2, 1.8
"""Misfit (0: lies on it, 1: does not) of an answer at most; how much the next must be above it, and how many times."""
POINTS, LEAST_POINTS = 3000, 200
"""Of a picture that are compared, and how many must stand on the plane."""
LEAST_SEEN = 0.25
"""Share of them that must fall on what the other saw."""
HEIGHT, FLAT = 0.01, 0.003
"""Of the distance: how high a point is above the plane that stands on it, and how near to it one that is on it."""
LEAST_ON = 0.2
"""Share of a picture's points that its plane must hold."""
FURTHER = 1.5
"""Of the median distance of what stands on the plane: what is further is behind it."""
PLANES, PLANE_POINTS = 300, 4000
"""Planes that are tried in a picture, and points by which."""


@dataclass(frozen=True)
class Standing:
    """What a depth picture shows to stand on a plane: points and normals (n, 3) in the camera's axes; the plane's frame
    from the camera's (4, 4), z up, its origin amid what stands there; tolerance [m]."""

    surface: DepthMap
    points: F64
    normals: F64
    frame: F64
    tolerance: float


def standing(surface: DepthMap, *, seed: int) -> Standing | None:
    """None where there is no plane with something on it."""
    import cv2

    rng = np.random.default_rng(seed)
    y, x = np.nonzero(surface.ok)
    few = rng.permutation(len(y))[:PLANE_POINTS]
    points, normals = (of[y[few], x[few]].astype(np.float64) for of in (surface.points, surface.normals))
    distance = surface.distance_m
    near = 3 * surface.error_m + FLAT * distance
    on = np.zeros(len(points), bool)
    for k in rng.permutation(len(points))[:PLANES]:
        there = (np.abs((points - points[k]) @ normals[k]) < near) & (normals @ normals[k] > 0.95)
        on = there if there.sum() > on.sum() else on
    if on.mean() < LEAST_ON:
        return None
    foot = points[on].mean(0)
    normal = np.linalg.svd(points[on] - foot, full_matrices=False)[2][2]
    normal = normal if normal @ foot < 0 else -normal
    ahead = np.array([0.0, 0.0, 1.0]) - normal * normal[2]
    if np.linalg.norm(ahead) < 1e-3:  # it looks straight down
        ahead = np.array([0.0, -1.0, 0.0]) + normal * normal[1]
    ahead /= np.linalg.norm(ahead)
    turn = np.stack([ahead, np.cross(normal, ahead), normal])
    x, y = spread_out(surface, POINTS, seed=seed).T
    points, normals = (of[y, x].astype(np.float64) for of in (surface.points, surface.normals))
    up = (points - foot) @ normal > max(4 * surface.error_m, HEIGHT * distance)
    if up.sum() < LEAST_POINTS:
        return None
    far = np.linalg.norm(points, axis=1)
    up &= far < FURTHER * np.median(far[up])
    flat = (points[up] - foot) @ turn[:2].T
    middle, _ = cv2.minEnclosingCircle(flat.astype(np.float32))
    frame = np.eye(4)
    frame[:3, :3] = turn
    frame[:3, 3] = -turn @ foot - np.array([*middle, 0.0])
    return Standing(surface, points[up], normals[up], frame, max(3 * surface.error_m, FLAT * distance))


def sweep(first: Standing, second: Standing) -> F64 | None:
    """second_from_first (4, 4), rigid; None where nothing fits, or more than one turn does."""
    starts = []
    for k in range(TURNS):
        about = np.eye(4)
        about[:3, :3] = Rotation.from_euler("z", 2 * np.pi * k / TURNS).as_matrix()
        T = np.asarray(np.linalg.inv(second.frame) @ about @ first.frame)
        starts.append((misfit(first, second, T, times=3), T))
    starts.sort(key=lambda s: s[0])
    nothing = Lifted(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0, bool))
    ends = []
    for _, T in starts[:REFINED]:
        poses = np.array([np.eye(4), T])
        end = adjust(poses, [nothing, nothing], {}, [second.surface, first.surface], tolerance=second.tolerance).poses
        T = np.asarray(np.linalg.inv(end[0]) @ end[1])
        ends.append((misfit(first, second, T), T))
    ends.sort(key=lambda s: s[0])
    best, found = ends[0]
    turn = found[:3, :3].T
    others = [s for s, T in ends if np.degrees(Rotation.from_matrix(turn @ T[:3, :3]).magnitude()) > OTHER_DEG]
    next_ = min(others, default=1.0)
    return found if best < FITS and next_ > max(best + CLEARER, MUCH_CLEARER * best) else None


def misfit(first: Standing, second: Standing, second_from_first: F64, *, times: float = 1.0) -> float:
    """0 to 1: how badly what stands in either picture fits the other; `times` as lenient."""
    back = np.asarray(np.linalg.inv(second_from_first))
    return (_off(first, second, second_from_first, times) + _off(second, first, back, times)) / 2


def _off(of: Standing, on: Standing, T: F64, times: float) -> float:
    moved = of.points @ T[:3, :3].T + T[:3, 3]
    _, (x, y), which = fall(moved, on.surface)
    there, normals = (a[y, x].astype(np.float64) for a in (on.surface.points, on.surface.normals))
    slack = STEP * there[:, 2] + 6 * on.surface.noise_m
    before = moved[which, 2] < there[:, 2] - slack
    alike = (of.normals[which] @ T[:3, :3].T * normals).sum(1) > 0.5
    seen = before | ((moved[which, 2] < there[:, 2] + slack) & alike)  # what is hidden is no sign of either
    if seen.sum() < LEAST_SEEN * len(moved):
        return 1.0
    off = np.abs(((moved[which] - there) * normals).sum(1)) / (times * on.tolerance)
    return float(np.where(before, 1.0, np.minimum(off, 1.0))[seen].mean())
