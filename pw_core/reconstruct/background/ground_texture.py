"""The plane as seen from straight above, put together from the photos that see it, and what of it none of them sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F32, F64, Gaussians
from pw_core.reconstruct.background.inpaint import InpaintOptions, fill
from pw_core.reconstruct.background.poisson import smooth
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.types import Mask, View


@dataclass(frozen=True, kw_only=True)
class GroundTextureOptions:
    """The ground orthophoto, and how holes in it are filled."""

    side_px: int = 512
    """Of the orthophoto."""
    light_scale_px: float = 8.0
    """Standard deviation of the blur that parts light, which goes on smoothly, from grain, which is copied."""
    mask_margin_px: int = 2
    """Pixels round a mask that may show the entity too: masks are not exact to the pixel."""
    photo_border_px: int = 2
    """Pixels along a photo's border that may be dark: from the lens, and from straightening what it bent."""
    off_plane_ratio: float = 0.02
    """Of its distance: how far from the plane what a view sees may be and still be taken for the plane."""
    least_alpha: float = 0.5
    """Of what stands before the plane, to hide it."""
    inpaint: InpaintOptions = InpaintOptions()
    """How grain is copied into holes."""


@dataclass(frozen=True)
class GroundOrthophoto:
    """The plane from straight above, P pixels wide and high: points [m] (P, P, 3) on it, x of the picture along -y and
    its y along -x; picture (P, P, 3), 0 to 255, where `known` (P, P); step [m] between pixels."""

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


def ground_orthophoto(
    middle: F64, side: float, views: Sequence[View], union: Mapping[str, Mask], background: Gaussians, *,
    options: GroundTextureOptions = GroundTextureOptions(),
) -> GroundOrthophoto:  # fmt: skip
    """A square of the plane z = 0 of that side [m] round `middle` (2,), each pixel from the photo that shows it
    largest.

    union: by view, the pixels of all entities, which hide the plane, as does what of the background stands before it.
    """
    import cv2
    import torch

    size = options.side_px
    step = side / size
    axis = side / 2 - (np.arange(size) + 0.5) * step
    points = np.zeros((size, size, 3))
    points[..., 0], points[..., 1] = middle[0] + axis[:, None], middle[1] + axis[None]
    flat = points.reshape(-1, 3)
    picture, best = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    tensors = gaussian_tensors(background)
    for v in views:
        uv, z = v.camera.project(flat)
        border = options.photo_border_px
        inside = (z > 0) & (uv > border).all(1)
        inside &= (uv[:, 0] < v.camera.width - border) & (uv[:, 1] < v.camera.height - border)
        at = np.where(inside[:, None], uv, 0).astype(int)
        hidden = ndimage.binary_dilation(union[v.name], iterations=options.mask_margin_px)
        with torch.no_grad():
            drawn = draw_tensors(tensors, v.camera, render_depth="median", sh_degree=background.sh_degree)
        depth, alpha = drawn.depth[0, ..., 0].numpy(), drawn.alpha[0, ..., 0].numpy()
        away = table_depth(v.camera)
        hidden |= (alpha > options.least_alpha) & ~(np.abs(depth - away) < options.off_plane_ratio * away)
        inside &= ~hidden[at[:, 1], at[:, 0]]
        ray = v.camera.centre - flat
        large = np.abs(ray[:, 2]) / np.linalg.norm(ray, axis=1) / np.maximum(z, 1e-9) ** 2
        large = np.where(inside, large * v.camera.K[0, 0] ** 2, 0).reshape(size, size).astype(np.float32)
        u, w = (uv.reshape(size, size, 2)[..., i].astype(np.float32) - 0.5 for i in (0, 1))
        shown = cv2.remap(v.image, u, w, cv2.INTER_LINEAR)
        picture = np.where((large > best)[..., None], shown, picture).astype(np.float32)
        best = np.maximum(best, large)
    return GroundOrthophoto(points, picture, best > 0, step)


def seen_beside(
    points: F64, views: Sequence[View], union: Mapping[str, Mask], *,
    options: GroundTextureOptions = GroundTextureOptions(),
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:  # fmt: skip
    """Of points [m] (n, 3): how many views have them beside their entities (`union`, by view), how many at all."""
    beside, shown = np.zeros(len(points), np.intp), np.zeros(len(points), np.intp)
    for v in views:
        at, _, inside = v.camera.pixels(points)
        i = np.flatnonzero(inside)
        x, y = at[i].T
        wide = ndimage.binary_dilation(union[v.name], iterations=options.mask_margin_px)
        beside[i] += ~wide[y, x]
        shown[i] += 1
    return beside, shown


def fill_texture(
    picture: F32, hole: Mask, known: Mask, *, options: GroundTextureOptions = GroundTextureOptions()
) -> F32:
    """`picture` (H, W, 3), 0 to 255, with `hole` filled: its light goes over the hole smoothly, its grain is copied in
    large pieces from `known` where they fit (`inpaint.fill`)."""
    import cv2

    if not hole.any() or not (known & ~hole).any():
        return picture
    known = known & ~hole
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), options.light_scale_px)[..., None]
    bright = cv2.GaussianBlur(picture * known[..., None].astype(np.float32), (0, 0), options.light_scale_px)
    light = smooth(np.asarray(bright / np.maximum(share, 1e-6), np.float32), hole, known)
    grain = np.where(known[..., None], picture - light, 0).astype(np.float32)
    filled = light + fill(grain, hole, known, options=options.inpaint)
    return np.asarray(np.where(hole[..., None], filled, picture).clip(0, 255), np.float32)
