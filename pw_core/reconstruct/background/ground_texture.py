"""The plane as seen from straight above, put together from the photos that see it, and what of it none of them sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F32, F64, Gaussians
from pw_core.reconstruct.background import inpaint as continuation
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.types import Mask, View

SIZE = 512
SHADE_PX = 8.0
RIM_PX = 2
"""Pixels round a mask that may show the entity too: masks are not exact to the pixel."""
BORDER_PX = 2
"""Pixels along a photo's border that may be dark: from the lens, and from straightening what it bent."""
APART = 0.02
"""Of its distance: how far from the plane what a view sees may be and still be taken for the plane."""


@dataclass(frozen=True)
class Paving:
    """points [m] (SIZE, SIZE, 3) on the plane, x of the picture along -y and its y along -x; picture (SIZE, SIZE, 3),
    0 to 255, where `known` (SIZE, SIZE); step [m] between pixels."""

    points: F64
    picture: F32
    known: Mask
    step: float

    def index(self, points: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Row and column (n,) of the pixel under each of the points [m] (n, 3), and whether there is one."""
        first = self.points[0, 0]
        row = np.floor((first[0] - points[:, 0]) / self.step + 0.5).astype(np.intp)
        column = np.floor((first[1] - points[:, 1]) / self.step + 0.5).astype(np.intp)
        size = len(self.points)
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        return row.clip(0, size - 1), column.clip(0, size - 1), inside


def pave(
    middle: F64, side: float, views: Sequence[View], union: Mapping[str, Mask], background: Gaussians
) -> Paving:  # fmt: skip
    """A square of the plane z = 0 of that side [m] round `middle` (2,), each pixel from the photo that shows it
    largest.

    union: by view, the pixels of all entities, which hide the plane, as does what of the background stands before it.
    """
    import cv2
    import torch

    step = side / SIZE
    axis = side / 2 - (np.arange(SIZE) + 0.5) * step
    points = np.zeros((SIZE, SIZE, 3))
    points[..., 0], points[..., 1] = middle[0] + axis[:, None], middle[1] + axis[None]
    flat = points.reshape(-1, 3)
    picture, best = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32)
    tensors = gaussian_tensors(background)
    for v in views:
        uv, z = v.camera.project(flat)
        inside = (z > 0) & (uv > BORDER_PX).all(1)
        inside &= (uv[:, 0] < v.camera.width - BORDER_PX) & (uv[:, 1] < v.camera.height - BORDER_PX)
        at = np.where(inside[:, None], uv, 0).astype(int)
        hidden = ndimage.binary_dilation(union[v.name], iterations=RIM_PX)
        with torch.no_grad():
            drawn = draw_tensors(tensors, v.camera, render_depth="median", sh_degree=background.sh_degree)
        depth, alpha = drawn.depth[0, ..., 0].numpy(), drawn.alpha[0, ..., 0].numpy()
        away = table_depth(v.camera)
        hidden |= (alpha > 0.5) & ~(np.abs(depth - away) < APART * away)
        inside &= ~hidden[at[:, 1], at[:, 0]]
        ray = v.camera.centre - flat
        large = np.abs(ray[:, 2]) / np.linalg.norm(ray, axis=1) / np.maximum(z, 1e-9) ** 2
        large = np.where(inside, large * v.camera.K[0, 0] ** 2, 0).reshape(SIZE, SIZE).astype(np.float32)
        u, w = (uv.reshape(SIZE, SIZE, 2)[..., i].astype(np.float32) - 0.5 for i in (0, 1))
        shown = cv2.remap(v.image, u, w, cv2.INTER_LINEAR)
        picture = np.where((large > best)[..., None], shown, picture).astype(np.float32)
        best = np.maximum(best, large)
    return Paving(points, picture, best > 0, step)


def seen(points: F64, views: Sequence[View], union: Mapping[str, Mask]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of points [m] (n, 3): how many views have them beside their entities (`union`, by view), how many at all."""
    beside, shown = np.zeros(len(points), np.intp), np.zeros(len(points), np.intp)
    for v in views:
        uv, z = v.camera.project(points)
        x, y = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
        i = np.flatnonzero((z > 0) & (x >= 0) & (x < v.camera.width) & (y >= 0) & (y < v.camera.height))
        wide = ndimage.binary_dilation(union[v.name], iterations=RIM_PX)
        beside[i] += ~wide[y[i], x[i]]
        shown[i] += 1
    return beside, shown


def fill_texture(picture: np.ndarray, hole: Mask, known: Mask) -> np.ndarray:
    """`picture` (H, W, 3), 0 to 255, with `hole` filled: its light goes over the hole smoothly, its grain is copied in
    large pieces from `known` where they fit (`continuation.fill`)."""
    import cv2

    if not hole.any() or not (known & ~hole).any():
        return picture
    known = known & ~hole
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), SHADE_PX)[..., None]
    light = cv2.GaussianBlur(picture * known[..., None].astype(np.float32), (0, 0), SHADE_PX)
    shade = continuation.smooth(np.asarray(light / np.maximum(share, 1e-6), np.float32), hole, known)
    grain = np.where(known[..., None], picture - shade, 0).astype(np.float32)
    filled = shade + continuation.fill(grain, hole, known)
    return np.asarray(np.where(hole[..., None], filled, picture).clip(0, 255), np.float32)
