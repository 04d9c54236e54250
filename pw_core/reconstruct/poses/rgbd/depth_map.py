"""A depth picture as a surface with normals, without its noise, and places in a picture lifted by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, I64


@dataclass(frozen=True, kw_only=True)
class DepthMapOptions:
    """How depth is smoothed and which of it is used."""

    least_noise_m: float = 1e-4
    """Of a depth pixel [m]: no depth is taken to be better."""
    smallest_half_px: int = 2
    """Half the width of the windows that planes are laid through, at little noise ..."""
    largest_half_px: int = 5
    """... and at much."""
    step_ratio: float = 0.03
    """Of the depth: neighbours that are further apart, besides noise, are of two things."""
    step_noises: float = 6.0
    """Standard deviations of the noise that count as no step."""
    quiet_ratio: float = 0.2
    """Of a pixel's width: noise below which depth is used as given."""
    least_pixels: int = 100
    """On planes, that a depth picture must have to be used."""
    bent_ratio: float = 2e-3
    """Of the depth: how far a window's depths may lie off its plane, besides noise."""
    feature_px: float = 0.6
    """How well a feature is placed, in pixels of the pictures."""
    least_facing_cosine: float = 0.15
    """Between a line of sight and a normal, for a point to be used."""
    directions: int = 5
    """Normals are told apart by as many steps a unit of each axis."""


@dataclass(frozen=True)
class DepthMap:
    """What one picture's depth shows, in the camera's axes, without single bad pixels.

    points [m], normals towards the camera (H, W, 3); ok (H, W): whether a plane fits there; slope (H, W, 2): of the
    depth [m] along x and y [a pixel]; noise_m: of one pixel as given; error_m: of a depth in `points`; window_px:
    pixels that went into each; options: that it was made with.
    """

    points: F32
    normals: F32
    ok: NDArray[np.bool_]
    slope: F32
    K: F64
    noise_m: float
    error_m: float
    window_px: int
    options: DepthMapOptions = DepthMapOptions()

    @property
    def distance_m(self) -> float:
        """Median depth."""
        return float(np.median(self.points[self.ok][:, 2]))


@dataclass(frozen=True)
class Lifted:
    """Places in one picture: rays (n, 3) with unit depth; points [m] (n, 3) and their covariance [m^2] (n, 3, 3), in
    the camera's axes; ok (n,): whether depth says where they are."""

    rays: F64
    points: F64
    covariances: F64
    ok: NDArray[np.bool_]


def noise_of(depth: F32, *, options: DepthMapOptions = DepthMapOptions()) -> float:
    """Standard deviation [m] of a depth pixel, from second differences along rows (the median: edges are few)."""
    d = depth.astype(np.float64)
    known = (d[:, :-2] > 0) & (d[:, 1:-1] > 0) & (d[:, 2:] > 0)
    if not known.any():
        return options.least_noise_m
    second = np.abs(d[:, :-2] - 2 * d[:, 1:-1] + d[:, 2:])[known]
    return max(options.least_noise_m, float(np.median(second)) / 0.6745 / np.sqrt(6))


def depth_map(depth: F32, K: F64, *, options: DepthMapOptions = DepthMapOptions()) -> DepthMap | None:
    """Depth [m] (H, W), 0 where unknown, smoothed by planes through windows; None where hardly a pixel is on one.

    A plane's inverse depth is linear in the pixel, so that one is laid through each window by sums over it; pixels next
    to a step and windows that no plane fits are left out.
    """
    import cv2

    d = depth.astype(np.float64)
    height, width = d.shape
    known = d > 0
    if not known.any():
        return None
    noise = noise_of(depth, options=options)
    pitch = float(np.median(d[known])) / float(K[0, 0])
    wished = round(options.smallest_half_px + 2 * noise / pitch)
    half = int(np.clip(wished, options.smallest_half_px, options.largest_half_px))
    size = 2 * half + 1
    around = np.ones((3, 3), np.uint8)
    step = cv2.dilate(d, around) - cv2.erode(np.where(known, d, np.inf), around)
    whole = known & (step < options.step_ratio * d + options.step_noises * noise)
    m = whole.astype(np.float64)
    w = np.where(whole, 1 / np.where(known, d, 1), 0)
    x, y = np.arange(width) + 0.5 - K[0, 2], (np.arange(height) + 0.5 - K[1, 2])[:, None]
    u, v = np.broadcast_to(x, d.shape), np.broadcast_to(y, d.shape)

    def total(of: F64) -> F64:
        return np.asarray(cv2.boxFilter(of, cv2.CV_64F, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT))

    count = np.maximum(total(m), 1e-9)

    def mean(of: F64) -> F64:
        return total(of) / count

    mu, mv, mw = mean(m * u), mean(m * v), mean(w)
    uu, uv, vv = mean(m * u * u) - mu * mu, mean(m * u * v) - mu * mv, mean(m * v * v) - mv * mv
    uw, vw, ww = mean(u * w) - mu * mw, mean(v * w) - mv * mw, mean(w * w) - mw * mw
    spread = np.maximum(uu * vv - uv * uv, 1e-9)
    b, c = (vv * uw - uv * vw) / spread, (uu * vw - uv * uw) / spread
    inverse = np.maximum(mw + b * (u - mu) + c * (v - mv), 1e-6)
    z = 1 / inverse
    off = np.sqrt(np.maximum(ww - b * uw - c * vw, 0)) * z * z
    ok = (
        whole & (count > size * size / 2) & (np.minimum(uu, vv) > half * half / 6)
        & (off < 2 * noise + options.bent_ratio * z) & (np.abs(z - d) < 4 * noise + 2 * options.bent_ratio * z)
    )  # fmt: skip
    if ok.sum() < options.least_pixels:
        return None
    quiet = noise < options.quiet_ratio * pitch
    if quiet:  # a plane through a window lies a little below a round surface; normals bear that
        z = np.where(known, d, z)
    points = np.stack([u / K[0, 0] * z, v / K[1, 1] * z, z], -1)
    plane = np.stack([b * K[0, 0], c * K[1, 1], inverse - b * u - c * v], -1)  # plane . x = 1 at all its points
    normals = -plane / np.maximum(np.linalg.norm(plane, axis=-1, keepdims=True), 1e-12)
    slope = np.stack([-b * z * z, -c * z * z], -1)
    return DepthMap(
        points.astype(np.float32), normals.astype(np.float32), ok, slope.astype(np.float32), np.asarray(K, np.float64),
        noise, noise if quiet else max(2 * noise / size, options.least_noise_m), size * size, options,
    )  # fmt: skip


def lift(pixels: F64, K: F64, surface: DepthMap | None) -> Lifted:
    """Places at `pixels` (n, 2), centres at +0.5; without a surface only their rays are known."""
    f = np.array([K[0, 0], K[1, 1]])
    rays = np.column_stack([(pixels - K[:2, 2]) / f, np.ones(len(pixels))])
    if surface is None:
        none = np.zeros(len(pixels), bool)
        return Lifted(rays, rays.copy(), np.broadcast_to(np.eye(3), (len(pixels), 3, 3)), none)
    size = np.array(surface.ok.shape[::-1])
    cell = np.floor(pixels).astype(int)
    ok = ((cell >= 0) & (cell < size)).all(1)
    cell = np.clip(cell, 0, size - 1)
    at = cell[:, 1], cell[:, 0]
    ok &= surface.ok[at]
    slope = surface.slope[at].astype(np.float64)
    z0 = np.where(ok, surface.points[at][:, 2].astype(np.float64), 1.0)
    off = pixels - cell - 0.5
    z = np.where(ok, 1 / np.maximum(1 / z0 - (slope * off).sum(1) / z0**2, 1e-6), 1.0)
    across = np.zeros((len(pixels), 3, 2))  # how the point moves with the pixel, along the surface
    across[:, 0, 0], across[:, 1, 1] = z / f[0], z / f[1]
    across += rays[:, :, None] * slope[:, None, :]
    covariances = surface.options.feature_px**2 * across @ across.transpose(0, 2, 1)
    covariances += surface.error_m**2 * rays[:, :, None] * rays[:, None, :] + 1e-10 * np.eye(3)
    return Lifted(rays, rays * z[:, None], covariances, ok)


def spread_out(surface: DepthMap, count: int, *, seed: int) -> I64:
    """About `count` pixels (n, 2) (x, y) of a surface, spread over the directions that its normals have.

    A table has most of the pixels and holds three of six degrees of freedom; what stands on it holds the others
    (normal-space sampling: Rusinkiewicz and Levoy 2001).
    """
    options = surface.options
    y, x = np.nonzero(surface.ok)
    points, normals = surface.points[y, x], surface.normals[y, x]
    facing = -(points * normals).sum(1) > options.least_facing_cosine * np.linalg.norm(points, axis=1)
    y, x, normals = y[facing], x[facing], normals[facing]
    if len(y) == 0:
        return np.zeros((0, 2), np.int64)
    steps = options.directions
    cell = np.floor((normals + 1) * steps).astype(np.int64) @ np.array([(4 * steps) ** 2, 4 * steps, 1])
    _, which, sizes = np.unique(cell, return_inverse=True, return_counts=True)
    most = count / len(sizes)
    for _ in range(8):
        most *= count / np.minimum(sizes, most).sum()
        if most > sizes.max():
            break
    keep = np.random.default_rng(seed).random(len(y)) < np.minimum(1, most / sizes[which])
    return np.column_stack([x[keep], y[keep]])
