"""What is behind: the photo without the entities, laid on the table up to its edge and on a backdrop beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct.background.far_edge import FarEdgeOptions, below_far_edge, under_table
from pw_core.reconstruct.background.inpaint import fill as inpaint
from pw_core.reconstruct.background.outpaint import OutpaintOptions, outpaint
from pw_core.reconstruct.background.planes import lay
from pw_core.reconstruct.background.table import TableOptions, fill_table, on_table
from pw_core.reconstruct.splatting.splats import surface_gaussians
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class HiddenOptions:
    """What the entities and their contact shadows hide of a photo."""

    outline_px: int = 9
    """Diameter by which masks are widened: pixels at outlines are mixed."""
    mixed_px: int = 5
    """The same for what a photo shows round a thing: nearer pixels are mixed with it."""
    foot_share: float = 2 / 3
    """Of a standing entity's height that is above its foot: a contact shadow hugs what is below."""
    shadow_width_ratio: float = 0.22
    """Of the entity's height: width by which its foot is widened for the shadow."""
    shadow_height_ratio: float = 0.16
    """Of the entity's height: the same, up and down."""
    tinted_ratio: float = 0.06
    """Of the square root of a standing entity's area: so far around it the table has its tint, and corners of its foot
    that the mask missed."""
    least_size_px: int = 8
    """For which an entity's height counts at the least."""


@dataclass(frozen=True, kw_only=True)
class BackgroundOptions:
    """Gaussians of the background, past the photo's borders too."""

    rings: tuple[tuple[int, float], ...] = ((2, 0.12), (4, 0.6))
    """Size of cells [px] past the picture's borders, and how far they go [share of the width]; half as far up and
    down."""
    far_ring: tuple[int, float] = (16, 1.5)
    """The same beyond those: what is seen of it, turned by 40 degrees, is a blur."""
    overlap: float = 1.5
    """How wide the Gaussian of a coarse cell is, in cells."""
    border_px: int = 4
    """Along the photo's borders, where the coarse may lie before the fine."""
    outpaint: OutpaintOptions = OutpaintOptions()
    """How the room goes on past the photo's borders."""
    far_edge: FarEdgeOptions = FarEdgeOptions()
    """What views from above see past the table's far edge."""
    seam_px: int = 3
    """So near to the table's end colours are not sharpened."""
    setback_ratio: float = 0.001
    """How much further away than it is a cell is laid, for each pixel that it is wider than one."""
    most_stretch: float = 40.0
    """Of Gaussians: at the horizon they are long and flat."""


def seam(table: Mask, *, options: BackgroundOptions = BackgroundOptions()) -> Mask:
    """Pixels (H, W) near to where the table (H, W) ends."""
    import cv2

    wide = np.ones((2 * options.seam_px + 1,) * 2, np.uint8)
    return np.asarray((cv2.dilate(table.astype(np.uint8), wide) > 0) & (cv2.erode(table.astype(np.uint8), wide) == 0))


def hidden_region(
    masks: list[Mask], standing: list[bool], *, options: HiddenOptions = HiddenOptions()
) -> Mask:  # fmt: skip
    """Masks with the mixed pixels at their outlines and, below and beside those that stand, the contact shadow."""
    import cv2

    union = np.any(masks, axis=0).astype(np.uint8)
    outlines = cv2.dilate(union, _ellipse(options.outline_px, options.outline_px))
    # A standing thing's contact shadow hugs its lower half.
    foot, size = np.zeros_like(union), options.least_size_px
    for mask in (m for m, stands in zip(masks, standing) if stands):
        own = np.flatnonzero(mask.any(axis=1))
        size = max(size, own[-1] - own[0])
        lower = mask.astype(np.uint8)
        lower[: own[0] + int(options.foot_share * (own[-1] - own[0]))] = 0
        foot |= lower
    wide, high = (max(3, round(r * size)) | 1 for r in (options.shadow_width_ratio, options.shadow_height_ratio))
    shadow = cv2.dilate(foot, _ellipse(wide, high))
    return np.asarray((outlines > 0) | (shadow > 0))


def tinted_region(masks: list[Mask], standing: list[bool], *, options: HiddenOptions = HiddenOptions()) -> Mask:
    """Pixels (H, W) on and so near to what stands that a table in them is better filled than kept."""
    import cv2

    out = np.zeros(masks[0].shape, bool)
    for mask in (m for m, stands in zip(masks, standing) if stands):
        wide = 2 * round(options.tinted_ratio * float(np.sqrt(mask.sum()))) + 1
        wide = max(wide, options.outline_px)
        out |= cv2.dilate(mask.astype(np.uint8), _ellipse(wide, wide)) > 0
    return out


def _ellipse(width: int, height: int) -> Any:
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height))


def fill(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, *, options: TableOptions = TableOptions()
) -> Rgb:  # fmt: skip
    """The photo with `hidden` filled: the table from the table, as seen from above, all else from all else."""
    out = photo.astype(np.float32)
    out = inpaint(out, hidden & ~table, ~hidden & ~table, options=options.inpaint)
    if (hidden & table).any():
        out = fill_table(out, hidden, table, camera, options)
    return np.asarray(out.round().clip(0, 255), np.uint8)


def background_gaussians(
    filled: Rgb, config: SceneConfig, camera: Camera, *, wall_m: float | None = None,
    options: BackgroundOptions = BackgroundOptions(),
) -> tuple[Gaussians, NDArray[np.int64]]:  # fmt: skip
    """One Gaussian a pixel, and coarser ones past the picture's borders and on the backdrop behind the table's edge,
    for turned views; the pixel (row * width + column) of each; -1 for the coarse, and at the borders, where the coarse
    may lie before the fine. wall_m: x [m] of the backdrop where there is no table."""
    height, width = filled.shape[:2]
    layers = [(pixel_centres(height, width).reshape(-1, 2), 1, False)]
    inner = 0
    for size, share in options.rings:
        outer = round(share * width)
        layers.append((_ring(height, width, inner, outer, size), size, False))
        inner = outer
    # Turned views look behind the table's edge: the backdrop goes on below it, mirrored.
    table = on_table(config, camera)
    horizon = int(np.argmax(table.any(axis=1)))
    beyond = outpaint(filled, config, camera, options=options.outpaint)
    y, x = np.mgrid[horizon - size : horizon + height // 4 : size, -outer : width + outer : size]
    if wall_m is None:
        layers.append((np.stack([x.ravel(), y.ravel()], axis=1) + size / 2, size, True))
    far, share = options.far_ring
    further = round(share * width)
    layers.append((_ring(height, width, outer, further, far), far, False))
    if wall_m is None:
        y, x = np.mgrid[horizon - far : horizon + height // 4 : far, -further : width + further : far]
        use = (x < far - outer) | (x >= width + outer - far)
        layers.append((np.stack([x[use], y[use]], axis=1) + far / 2, far, True))
    parts, pixels = [], []
    for centres, size, wall_only in layers:
        points, across, down, keep = lay(
            centres, float(size), config, camera, wall_only=wall_only or wall_m is not None, wall_m=wall_m
        )
        # The coarser lie a little behind and reach under the finer, which hide them there: no line where they meet.
        points = camera.centre + (1 + options.setback_ratio * (size - 1)) * (points - camera.centre)
        if size == 1:
            column, row = np.floor(centres[keep]).astype(int).T
            wide, colors = 1.0, filled[row, column] / 255.0
        else:
            wide, colors = options.overlap, beyond.colors(centres[keep], wall_only=wall_only)
        parts.append(surface_gaussians(points, wide * across, wide * down, colors, max_stretch=options.most_stretch))
        pixels.append(_own_pixels(row, column, filled.shape, options) if size == 1 else np.full(len(points), -1))
    if wall_m is None and table.any():
        rows = (horizon, horizon + height // 4)
        parts.append(under_table(filled, table, config, camera, options=options.far_edge))
        parts.append(below_far_edge(beyond, rows, (outer, further), config, camera, options=options.far_edge))
        pixels += [np.full(len(part), -1) for part in parts[-2:]]
    return Gaussians.concatenate(parts), np.concatenate(pixels)


def _own_pixels(
    row: NDArray[np.integer], column: NDArray[np.integer], shape: tuple[int, ...], options: BackgroundOptions
) -> NDArray[np.int64]:
    """row * width + column of each (n,); -1 at the photo's borders."""
    height, width = shape[:2]
    to_border = np.minimum(np.minimum(row, height - 1 - row), np.minimum(column, width - 1 - column))
    return np.asarray(np.where(to_border < options.border_px, -1, row * width + column), np.int64)


def _ring(height: int, width: int, inner: int, outer: int, size: int) -> F64:
    """Centres (n, 2) [px] of cells `size` wide that are more than `inner` beside the picture, or half as much above or
    below, less a cell, and no more than `outer`."""
    y, x = np.mgrid[-(outer // 2) : height + outer // 2 : size, -outer : width + outer : size]
    aside, above = size - inner, size - inner // 2
    use = (x < aside) | (x >= width - aside) | (y < above) | (y >= height - above)
    return np.stack([x[use], y[use]], axis=1) + size / 2
