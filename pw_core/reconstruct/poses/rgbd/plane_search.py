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
from pw_core.reconstruct.poses.rgbd.depth_map import DepthMap, Lifted, spread_out
from pw_core.reconstruct.poses.rgbd.joint_icp import JointIcpOptions, adjust
from pw_core.reconstruct.poses.rgbd.pairwise import projected


@dataclass(frozen=True, kw_only=True)
class PlaneSearchOptions:
    """How depth pictures are laid on each other by their plane."""

    turns: int = 36
    """Starts about the plane's normal ..."""
    refined: int = 12
    """... and how many of the best are adjusted."""
    start_leniency: float = 3.0
    """Tolerances that a start is compared within, where an answer has one."""
    other_deg: float = 15.0
    """A turn that differs by more [degrees] is another answer."""
    most_misfit: float = 0.25
    """Misfit (0: lies on it, 1: does not) of an answer at most ..."""
    clearer_by: float = 0.2
    """... how much the next must be above it ..."""
    clearer_times: float = 1.8
    """... and how many times."""
    points: int = 3000
    """Of a picture that are compared ..."""
    least_points: int = 200
    """... and how many must stand on the plane."""
    least_seen_share: float = 0.25
    """Share of them that must fall on what the other saw."""
    least_normal_cosine: float = 0.5
    """Between the normals of two points that are compared."""
    noises: float = 6.0
    """Standard deviations of a depth pixel that hide nothing."""
    height_ratio: float = 0.01
    """Of the distance: how high a point is above the plane that stands on it ..."""
    height_errors: float = 4.0
    """... and in standard deviations of a depth, where that is more."""
    flat_ratio: float = 0.003
    """Of the distance: how near to the plane a point on it is ..."""
    flat_errors: float = 3.0
    """... and in standard deviations of a depth, besides or where that is more."""
    plane_normal_cosine: float = 0.95
    """Between the plane's normal and that of a point on it."""
    least_plane_share: float = 0.2
    """Share of a picture's points that its plane must hold."""
    furthest_ratio: float = 1.5
    """Of the median distance of what stands on the plane: what is further is behind it."""
    planes: int = 300
    """Planes that are tried in a picture ..."""
    plane_points: int = 4000
    """... and points by which."""


@dataclass(frozen=True)
class Standing:
    """What a depth picture shows to stand on a plane: points and normals (n, 3) in the camera's axes; the plane's frame
    from the camera's (4, 4), z up, its origin amid what stands there; tolerance [m]."""

    surface: DepthMap
    points: F64
    normals: F64
    frame: F64
    tolerance: float


def standing(surface: DepthMap, *, seed: int, options: PlaneSearchOptions = PlaneSearchOptions()) -> Standing | None:
    """None where there is no plane with something on it."""
    import cv2

    rng = np.random.default_rng(seed)
    y, x = np.nonzero(surface.ok)
    few = rng.permutation(len(y))[:options.plane_points]
    points, normals = (of[y[few], x[few]].astype(np.float64) for of in (surface.points, surface.normals))
    distance = surface.distance_m
    near = options.flat_errors * surface.error_m + options.flat_ratio * distance
    on = np.zeros(len(points), bool)
    for k in rng.permutation(len(points))[:options.planes]:
        alike = normals @ normals[k] > options.plane_normal_cosine
        there = (np.abs((points - points[k]) @ normals[k]) < near) & alike
        on = there if there.sum() > on.sum() else on
    if on.mean() < options.least_plane_share:
        return None
    foot = points[on].mean(0)
    normal = np.linalg.svd(points[on] - foot, full_matrices=False)[2][2]
    normal = normal if normal @ foot < 0 else -normal
    ahead = np.array([0.0, 0.0, 1.0]) - normal * normal[2]
    if np.linalg.norm(ahead) < 1e-3:  # it looks straight down
        ahead = np.array([0.0, -1.0, 0.0]) + normal * normal[1]
    ahead /= np.linalg.norm(ahead)
    turn = np.stack([ahead, np.cross(normal, ahead), normal])
    x, y = spread_out(surface, options.points, seed=seed).T
    points, normals = (of[y, x].astype(np.float64) for of in (surface.points, surface.normals))
    up = (points - foot) @ normal > max(options.height_errors * surface.error_m, options.height_ratio * distance)
    if up.sum() < options.least_points:
        return None
    far = np.linalg.norm(points, axis=1)
    up &= far < options.furthest_ratio * np.median(far[up])
    flat = (points[up] - foot) @ turn[:2].T
    middle, _ = cv2.minEnclosingCircle(flat.astype(np.float32))
    frame = np.eye(4)
    frame[:3, :3] = turn
    frame[:3, 3] = -turn @ foot - np.array([*middle, 0.0])
    tolerance = max(options.flat_errors * surface.error_m, options.flat_ratio * distance)
    return Standing(surface, points[up], normals[up], frame, tolerance)


def sweep(
    first: Standing, second: Standing, *, options: PlaneSearchOptions = PlaneSearchOptions(),
    icp: JointIcpOptions = JointIcpOptions(),
) -> F64 | None:  # fmt: skip
    """second_from_first (4, 4), rigid; None where nothing fits, or more than one turn does."""
    starts = []
    for k in range(options.turns):
        about = np.eye(4)
        about[:3, :3] = Rotation.from_euler("z", 2 * np.pi * k / options.turns).as_matrix()
        T = np.asarray(np.linalg.inv(second.frame) @ about @ first.frame)
        starts.append((misfit(first, second, T, times=options.start_leniency, options=options), T))
    starts.sort(key=lambda s: s[0])
    nothing = Lifted(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0, bool))
    ends = []
    for _, T in starts[:options.refined]:
        poses = np.array([np.eye(4), T])
        end = adjust(
            poses, [nothing, nothing], {}, [second.surface, first.surface], tolerance=second.tolerance, options=icp
        ).poses
        T = np.asarray(np.linalg.inv(end[0]) @ end[1])
        ends.append((misfit(first, second, T, options=options), T))
    ends.sort(key=lambda s: s[0])
    best, found = ends[0]
    turn = found[:3, :3].T
    others = [s for s, T in ends if np.degrees(Rotation.from_matrix(turn @ T[:3, :3]).magnitude()) > options.other_deg]
    next_ = min(others, default=1.0)
    clear = next_ > max(best + options.clearer_by, options.clearer_times * best)
    return found if best < options.most_misfit and clear else None


def misfit(
    first: Standing, second: Standing, second_from_first: F64, *, times: float = 1.0,
    options: PlaneSearchOptions = PlaneSearchOptions(),
) -> float:  # fmt: skip
    """0 to 1: how badly what stands in either picture fits the other; `times` as lenient."""
    back = np.asarray(np.linalg.inv(second_from_first))
    there, here = _off(first, second, second_from_first, times, options), _off(second, first, back, times, options)
    return (there + here) / 2


def _off(of: Standing, on: Standing, T: F64, times: float, options: PlaneSearchOptions) -> float:
    moved = of.points @ T[:3, :3].T + T[:3, 3]
    _, (x, y), which = projected(moved, on.surface)
    there, normals = (a[y, x].astype(np.float64) for a in (on.surface.points, on.surface.normals))
    slack = on.surface.options.step_ratio * there[:, 2] + options.noises * on.surface.noise_m
    before = moved[which, 2] < there[:, 2] - slack
    alike = (of.normals[which] @ T[:3, :3].T * normals).sum(1) > options.least_normal_cosine
    seen = before | ((moved[which, 2] < there[:, 2] + slack) & alike)  # what is hidden is no sign of either
    if seen.sum() < options.least_seen_share * len(moved):
        return 1.0
    off = np.abs(((moved[which] - there) * normals).sum(1)) / (times * on.tolerance)
    return float(np.where(before, 1.0, np.minimum(off, 1.0))[seen].mean())
