"""The Gaussians of a solid that was lifted from one photo, and how they hang on its particles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pw_core.config import EntityConfig
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct.binding.assemble import Body
from pw_core.reconstruct.binding.bind import Bound
from pw_core.reconstruct.segmentation.fine_parts import FineParts
from pw_core.reconstruct.splatting.splats import SplatOptions, steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import Solid, pixel_centres, table_depth
from pw_core.reconstruct.surface.particles import ParticleOptions, bind, cover, sample_inside
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class SkinOptions:
    """Gaussians on a lifted solid: a front seen in the photo, a back guessed from it, an outline between them."""

    mixed_px: float = 2.0
    """This near to the outline, pixels are mixed with what lies behind."""
    thin_middle: float = 0.6
    """Of half the width of what is thinner than four times that: further in, pixels are the least mixed there."""
    least_inner_share: float = 0.5
    """Of a mask: where less of it than this is off the outline, it is too thin to spare its outline."""
    back_blur_px: float = 5.0
    """Of the colours at the back: what is there is unknown, and highlights and prints are not copied."""
    back_step_px: int = 2
    """Between two Gaussians of the back."""
    outline_step_px: float = 3.0
    """Between two Gaussians from front to back."""
    outline_width_px: float = 1.5
    """Pixels this near to the edge have such Gaussians: the edge's own, diagonal neighbours included."""
    outline_smoothing_px: float = 1.0
    """Standard deviation of the blur of distances before their gradient says across the outline."""
    outline_overlap: float = 1.5
    """How long and deep they are, in steps: they overlap, or a turned view would look in between."""
    least_alpha: float = 0.05
    """Of a fine part beside the mask, for a Gaussian to stand for it."""
    most_alpha: float = 0.98
    """Of one: a surface's opacity."""
    fine_splats: SplatOptions = SplatOptions(sigma_per_sample=0.25)
    """Of fine parts: a spine is hardly wider than a pixel, and is drawn no wider."""
    before_table: float = 0.999
    """Of the table's depth, at the most, of fine parts that hang down before it."""


@dataclass(frozen=True)
class Skin:
    """Gaussians; the source pixel (row * width + column) of each, -1: none; which lie at the outline or are fine, mixed
    with what is behind; which are fine."""

    gaussians: Gaussians
    pixels: NDArray[np.int64]
    outline: Mask
    fine: Mask


def bound_skin(entity: EntityConfig, solid: Solid, body: Body, skin: Skin, camera: Camera) -> Bound:
    """Particles in a solid, with the skin on them. What is fine and far from the solid hangs on the nearest particle of
    it by a longer offset: no particle stands for it, or spines would be a body of their own."""
    inside = sample_inside(solid, camera, volume_m3=body.volume_m3, count=body.count, name=entity.name)
    means = skin.gaussians.means.astype(np.float64)
    positions = cover(inside, means[~skin.fine])
    distance, _ = cKDTree(positions).query(means)
    delta = np.maximum(inside.spacing_m, np.where(skin.fine, distance / ParticleOptions().reach, 0))
    return Bound(positions, delta, skin.gaussians, *bind(positions, delta, skin.gaussians, entity))


def photo_skin(
    solid: Solid, pixels: Rgb, camera: Camera, *, fine: FineParts | None = None, options: SkinOptions = SkinOptions()
) -> Skin:
    """Front Gaussians, one a pixel; back ones, one in four; what closes the gap between them along the outline; and
    fine parts beside it.

    The back has the front's colours at the same pixels, blurred: what is behind is unknown, and this keeps it alike
    without copying highlights and prints.
    """
    import cv2

    height, width = solid.mask.shape
    centres = pixel_centres(height, width)
    grid = camera.unproject(centres, solid.front)
    across, down = (np.nan_to_num(s) for s in steps_of(grid))
    mask = solid.mask & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(solid.mask, 1)))[1:-1, 1:-1]
    inner = _unmixed(distance, options)
    if inner.sum() < options.least_inner_share * solid.mask.sum():
        inner = solid.mask
    # A pixel at the outline is mixed with what lies behind, and a turned view would show a line of it in the midst of
    # the thing: it takes the colour of the nearest further in.
    y, x = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    own = pixels[y, x]
    front = surface_gaussians(grid[mask], across[mask], down[mask], own[mask] / 255.0)
    sigma = options.back_blur_px
    blurred = cv2.GaussianBlur(pixels.astype(np.float32) * inner[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), sigma)[..., None]
    color = np.where(weight > 1e-3, blurred / np.maximum(weight, 1e-3), own) / 255.0
    step = options.back_step_px
    sparse = np.zeros_like(mask)
    sparse[::step, ::step] = True
    grid = camera.unproject(centres, solid.back)
    across, down = (step * np.nan_to_num(s) for s in steps_of(grid))
    unseen = inner & sparse & (np.linalg.norm(across, axis=-1) > 0) & (np.linalg.norm(down, axis=-1) > 0)
    back = surface_gaussians(grid[unseen], across[unseen], down[unseen], color[unseen])
    outline = _outline(solid, inner, color, camera, options)
    rest = len(back) + len(outline)
    source = np.concatenate([np.flatnonzero(mask.reshape(-1)), np.full(rest, -1)])
    mixed = np.concatenate([~inner[mask], np.zeros(rest, bool)])
    spread, at = _fine_gaussians(solid, fine, camera, options)
    return Skin(
        Gaussians.concatenate([front, back, outline, spread]), np.concatenate([source, at]),
        np.concatenate([mixed, np.ones(len(at), bool)]), np.arange(len(source) + len(at)) >= len(source),
    )  # fmt: skip


def _fine_gaussians(
    solid: Solid, fine: FineParts | None, camera: Camera, options: SkinOptions
) -> tuple[Gaussians, NDArray[np.int64]]:  # fmt: skip
    """One a pixel of the fine parts, as far away as the middle of the solid, of stalks, or as that at the nearest place
    of its outline, of spines that stand on it all over; and their pixels."""
    height, width = solid.mask.shape
    use = np.zeros_like(solid.mask) if fine is None else (fine.alpha > options.least_alpha) & ~solid.mask
    nearest = ndimage.distance_transform_edt(~solid.mask, return_distances=False, return_indices=True)
    depth = ((solid.front + solid.back) / 2)[tuple(nearest)][use]
    centres = pixel_centres(height, width)[use]
    if fine is not None and fine.at_middle:
        depth = solid.mid_m / camera.rays(centres)[:, 0]
    if solid.floor:
        depth = np.minimum(depth, options.before_table * table_depth(camera)[use])
    points = camera.unproject(centres, depth)
    across, down = (camera.unproject(centres + step, depth) - points for step in np.eye(2))
    colors = np.zeros((0, 3)) if fine is None else fine.colors[use] / 255
    out = surface_gaussians(points, across, down, colors, options=options.fine_splats)
    if fine is not None:
        alpha = fine.alpha[use].clip(options.least_alpha, options.most_alpha)
        out = replace(out, opacities=np.log(alpha / (1 - alpha)).astype(np.float32))
    return out, np.flatnonzero(use.reshape(-1))


def _unmixed(distance: NDArray[np.floating], options: SkinOptions) -> Mask:
    """Pixels (H, W) so far [px] from the outline that they show the thing alone; the middle of what is thinner: a
    spoon's handle has its own colours, not those of the nearest wide part."""
    half = ndimage.maximum_filter(distance, 2 * round(options.mixed_px) + 1)
    thin = (half <= 2 * options.mixed_px) & (distance > options.thin_middle * half)
    return np.asarray((distance > options.mixed_px) | (thin & (distance > 1)))


def _outline(
    solid: Solid, inner: Mask, color: NDArray[np.floating], camera: Camera, options: SkinOptions
) -> Gaussians:
    """Gaussians between front and back along the outline of `inner`: the two do not quite meet there, and a turned view
    would look in between."""
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inner, 1)))[1:-1, 1:-1]
    rows, columns = np.nonzero(inner & (distance < options.outline_width_px))
    front, back = solid.front[rows, columns], solid.back[rows, columns]
    pixel_m = front / camera.K[0, 0]
    count = np.ceil((back - front) / (options.outline_step_px * pixel_m)).astype(int)
    which = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    depth = front[which] + (step + 0.5) / np.maximum(count[which], 1) * (back - front)[which]
    centre = np.stack([columns, rows], axis=1).astype(np.float64)[which] + 0.5
    # The outline's direction is across the gradient of the distance to it.
    smooth = ndimage.gaussian_filter(distance, options.outline_smoothing_px)
    slope: F64 = np.stack(np.gradient(smooth)[::-1], axis=-1)[rows, columns][which]
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    tangent: F64 = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
    half = options.outline_overlap / 2
    points = camera.unproject(centre, depth)
    along = camera.unproject(centre + half * tangent, depth) - camera.unproject(centre - half * tangent, depth)
    inwards = camera.rays(centre) * (options.outline_overlap * options.outline_step_px * pixel_m[which])[:, None]
    return surface_gaussians(points, along, inwards, color[rows[which], columns[which]])
