"""What the entities hid of the plane they stand on, filled from the plane around, so that a moved entity leaves no
hole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct import continuation
from pw_core.reconstruct.masks import Mask
from pw_core.reconstruct.splats import surface_gaussians
from pw_core.reconstruct.views.fit import Params, draw
from pw_core.reconstruct.views.fuse import Fused
from pw_core.reconstruct.views.poses import View

SIZE = 512
SOLID = 0.35
RIM = 0.06
"""Of the entities' size: how far from what they hide the ground is taken to have some of their colour."""
BESIDE = 0.4
"""Of the entities' size: how far from their feet the ground is filled."""
SHADE_PX = 8.0
HALO = 2.5
"""Voxels round an entity in which no background Gaussian stays."""
WIDE = 3.0
"""Side of the plane's picture, in sizes of what stands on it."""


def fill_behind(
    background: Gaussians, solids: Sequence[Fused], views: Sequence[View], union: Mapping[str, Mask]
) -> tuple[Gaussians, dict[str, float]]:
    """The background without what is left of the entities, and with the ground below them; and a report.

    The plane is drawn from straight above; where no view saw it past the entities it is filled from around
    (`fill_texture`), one Gaussian a pixel.
    """
    import torch
    from scipy import ndimage

    corners = np.concatenate([s.mesh.vertices for s in solids])
    low, high = corners.min(0), corners.max(0)
    side = WIDE * float((high - low)[:2].max())
    camera = _above((low + high)[:2] / 2, side, float(high[2]))
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pixel = np.stack([x + 0.5, y + 0.5], -1)
    ground = camera.unproject(pixel, np.full((SIZE, SIZE), camera.centre[2]))
    hidden = ~_seen(ground.reshape(-1, 3), views, union).reshape(SIZE, SIZE)
    foot = np.zeros((SIZE, SIZE), bool)
    for solid in solids:
        foot |= solid.distance(ground.reshape(-1, 3) + np.array([0, 0, 0.5 * solid.step])).reshape(SIZE, SIZE) < 0
    near = ndimage.distance_transform_edt(~foot) <= BESIDE * SIZE / WIDE
    # The rim takes some of the entity's colour: masks are not exact to the pixel.
    hole = ndimage.distance_transform_edt(~((hidden & near) | foot)) <= RIM * SIZE / WIDE
    keep = ~_in_hole(background, camera, hole, float(high[2]))
    for solid in solids:
        keep &= solid.distance(background.means.astype(np.float64)) > HALO * solid.step
    left = background[keep]
    with torch.no_grad():
        flat = left[np.abs(left.means[:, 2]) < 0.25 * high[2]]
        drawn = draw(Params(flat, 1.0, "cpu").drawn(), camera, sh_degree=int(np.sqrt(left.sh.shape[1])) - 1)
    rgb, alpha = drawn.rgb[0].numpy(), drawn.alpha[0, ..., 0].numpy()
    rgb = np.clip(rgb / np.maximum(alpha, 0.05)[..., None], 0, 1)
    hole |= near & (alpha < SOLID)
    known = (alpha > SOLID) & ~hole & ~hidden
    picture = np.ascontiguousarray(255 * rgb, np.float32)
    filled = fill_texture(picture, hole, known) / 255
    step = side / SIZE
    n = int(hole.sum())
    across, down = np.zeros((n, 3)), np.zeros((n, 3))
    across[:, 1], down[:, 0] = -1.3 * step, -1.3 * step
    points = ground[hole]
    points[:, 2] = -0.2 * step
    patch = surface_gaussians(points, across, down, filled[hole])
    sh = np.zeros((n, left.sh.shape[1], 3), np.float32)
    sh[:, :1] = patch.sh
    patch = Gaussians(patch.means, patch.quats, patch.log_scales, patch.opacities, sh)
    report = {"filled_m2": round(n * step * step, 6), "dropped": int((~keep).sum()), "added": n}
    return Gaussians.concatenate([left, patch]), report


def fill_texture(picture: np.ndarray, hole: Mask, known: Mask) -> np.ndarray:
    """`picture` (H, W, 3), 0 to 255, with `hole` filled: its light goes over the hole smoothly, its grain is copied in
    large pieces from `known` where they fit (`continuation.fill`)."""
    import cv2

    if not hole.any() or not (known & ~hole).any():
        return picture
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), SHADE_PX)[..., None]
    light = cv2.GaussianBlur(picture * known[..., None].astype(np.float32), (0, 0), SHADE_PX)
    shade = continuation.smooth(np.asarray(light / np.maximum(share, 1e-6), np.float32), hole, known)
    grain = np.where(known[..., None], picture - shade, 0).astype(np.float32)
    filled = shade + continuation.fill(grain, hole, known)
    return np.asarray(np.where(hole[..., None], filled, picture).clip(0, 255), np.float32)


def _above(middle: F64, side: float, top: float) -> Camera:
    """Straight down, x of the picture along -y and its y along -x, far away so that it is nearly orthographic."""
    far = 20 * max(side, top)
    f = SIZE * far / side
    K = np.array([[f, 0, SIZE / 2], [0, f, SIZE / 2], [0, 0, 1.0]])
    R = np.array([[0, -1.0, 0], [-1.0, 0, 0], [0, 0, -1.0]])
    m = np.eye(4)
    m[:3, :3] = R
    m[:3, 3] = -R @ np.array([middle[0], middle[1], far])
    return Camera("above", K, m, SIZE, SIZE)


def _seen(points: F64, views: Sequence[View], union: Mapping[str, Mask]) -> np.ndarray:
    from scipy import ndimage

    out = np.zeros(len(points), bool)
    for v in views:
        uv, z = v.camera.project(points)
        x, y = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
        i = np.flatnonzero((z > 0) & (x >= 0) & (x < v.camera.width) & (y >= 0) & (y < v.camera.height))
        wide = ndimage.binary_dilation(union[v.name], iterations=2)
        out[i] |= ~wide[y[i], x[i]]
    return out


def _in_hole(g: Gaussians, camera: Camera, hole: Mask, top: float) -> np.ndarray:
    uv, _ = camera.project(g.means.astype(np.float64))
    x, y = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
    inside = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE) & (g.means[:, 2] < 1.2 * top)
    out = np.zeros(len(g), bool)
    out[inside] = hole[y[inside], x[inside]]
    return out
