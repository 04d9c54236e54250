"""What is behind: the photo without the entities, laid on the table up to its edge and on a backdrop beyond."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct.image import Rgb
from pw_core.reconstruct.masks import Mask
from pw_core.reconstruct.solid import pixel_centres, table_depth
from pw_core.reconstruct.splats import surface_gaussians

MARGIN = 0.6
COARSE = 4
OVERLAP = 1.5


def on_table(config: SceneConfig, camera: Camera) -> Mask:
    """Pixels (H, W) whose ray meets the table before its edge."""
    x = table_depth(camera) * camera.rays(pixel_centres(camera.height, camera.width))[..., 0]
    return np.asarray(x < config.table.edge_m)


def hidden_region(masks: list[Mask]) -> Mask:
    """Masks with the rim of mixed pixels and, below and beside, the contact shadow."""
    import cv2

    union = np.any(masks, axis=0).astype(np.uint8)
    rows = np.flatnonzero(union.any(axis=1))
    size = max(rows[-1] - rows[0], 8)
    rim = cv2.dilate(union, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    # A standing thing's contact shadow hugs its lower half.
    foot = np.zeros_like(union)
    for mask in masks:
        own = np.flatnonzero(mask.any(axis=1))
        lower = mask.astype(np.uint8)
        lower[: own[0] + 2 * (own[-1] - own[0]) // 3] = 0
        foot |= lower
    wide, high = max(3, round(0.22 * size)) | 1, max(3, round(0.16 * size)) | 1
    shadow = cv2.dilate(foot, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, high)))
    return np.asarray((rim > 0) | (shadow > 0))


def fill(photo: Rgb, hidden: Mask, table: Mask) -> Rgb:
    """The photo with `hidden` filled.

    On the table along lines of equal distance, which are image rows since the camera does not roll: texture mirrored in
    from both sides of the hole and blended, so that grain along the table runs on. Elsewhere by OpenCV's inpainting.
    """
    import cv2

    out = photo.copy()
    above = int(np.argmax(table.any(axis=1))) if table.any() else len(photo)
    if above > 0 and hidden[:above].any() and not hidden[:above].all():
        # Cut off at the table's edge, or the table would be drawn up into the backdrop.
        out[:above] = cv2.inpaint(photo[:above], hidden[:above].astype(np.uint8), 4, cv2.INPAINT_TELEA)
    target = photo.astype(np.float32)
    result = out.astype(np.float32)
    width = photo.shape[1]
    for y in np.flatnonzero((hidden & table).any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden[y].astype(int), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            k = np.arange(b - a)
            left = target[y, _mirror(a - 1 - k, 0, a)] if a > 0 else None
            right = target[y, _mirror(b + (b - 1 - a - k), b, width)] if b < width else None
            if left is None and right is None:
                continue
            t = ((k + 0.5) / (b - a))[:, None]
            if left is None or right is None:
                line = right if left is None else left
            else:
                line = (1 - t) * left + t * right
            use = table[y, a:b]
            assert line is not None
            result[y, a:b][use] = line[use]
    result = _joined(result, target, hidden & table, ~hidden & table)
    soft = cv2.GaussianBlur(result, (0, 0), 1.0)
    result[hidden] = 0.5 * result[hidden] + 0.5 * soft[hidden]
    return np.asarray(result.round().clip(0, 255), np.uint8)


def _joined(filled: NDArray[np.float32], photo: NDArray[np.float32], hole: Mask, known: Mask) -> NDArray[np.float32]:
    """`filled` (H, W, 3) with the hole's gradients and, at its border, the photo's values (Pérez et al. 2003, "Poisson
    image editing"); where the border is neither, no slope."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    rows, columns = np.nonzero(hole)
    if len(rows) == 0:
        return filled
    height, width = hole.shape
    number = np.full(hole.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    diagonal = np.zeros(len(rows))
    # What must be added to `filled` is smooth: it solves Laplace's equation with the step at the border as its values.
    step = np.zeros((len(rows), 3))
    pairs = []
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        y, x = rows + dy, columns + dx
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clip(0, height - 1), x.clip(0, width - 1)
        within = inside & hole[y, x]
        outer = inside & known[y, x]
        pairs.append((np.flatnonzero(within), number[y, x][within]))
        diagonal += within | outer
        # The filling's own next value is not known: it is taken to go on as it is.
        step[outer] += photo[y, x][outer] - filled[rows, columns][outer]
    i, j = (np.concatenate(p) for p in zip(*pairs))
    tie = 1e-4  # a hole without known neighbours stays as it is
    matrix = sparse.diags(diagonal + tie).tocsc() - sparse.csc_matrix((np.ones(len(i)), (i, j)), shape=(len(rows),) * 2)
    out = filled.copy()
    out[rows, columns] += splu(matrix.tocsc()).solve(step).astype(np.float32)
    return out


def _mirror(index: NDArray[np.integer], low: int, high: int) -> NDArray[np.integer]:
    """Indices folded into [low, high) as between two mirrors."""
    span = high - low
    folded = np.abs((index - low) % (2 * span))
    return np.asarray(low + np.where(folded < span, folded, 2 * span - 1 - folded))


def background_gaussians(filled: Rgb, config: SceneConfig, camera: Camera) -> tuple[Gaussians, NDArray[np.int64]]:
    """One Gaussian a pixel, and coarser ones past the picture's borders and on the backdrop behind the table's edge,
    for turned views; the pixel (row * width + column) of each, -1 for the coarse."""
    height, width = filled.shape[:2]
    fine = pixel_centres(height, width).reshape(-1, 2)
    extra = round(MARGIN * width)
    y, x = np.mgrid[-extra // 2 : height + extra // 2 : COARSE, -extra : width + extra : COARSE]
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    coarse = np.stack([x[outside], y[outside]], axis=1) + COARSE / 2
    parts, pixels = [], []
    # Turned views look behind the table's edge: the backdrop goes on below it, mirrored.
    horizon = int(np.argmax(on_table(config, camera).any(axis=1)))
    y, x = np.mgrid[horizon : horizon + height // 4 : COARSE, -extra : width + extra : COARSE]
    behind = np.stack([x.ravel(), y.ravel()], axis=1) + COARSE / 2
    for centres, size, wall_only in (
        (fine, 1.0, False),
        (coarse.astype(np.float64), float(COARSE), False),
        (behind.astype(np.float64), float(COARSE), True),
    ):
        points, across, down, keep = _lay(centres, size, config, camera, wall_only=wall_only)
        # Mirrored at the borders rather than stretched: a backdrop goes on as it was.
        column = _mirror(np.floor(centres[keep, 0]).astype(int), 0, width)
        row = _mirror(np.floor(centres[keep, 1]).astype(int), 0, horizon if wall_only and horizon else height)
        wide = 1.0 if size == 1.0 else OVERLAP
        colors = filled[row, column] / 255.0
        parts.append(surface_gaussians(points, wide * across, wide * down, colors, max_stretch=40.0))
        pixels.append(row * width + column if size == 1.0 else np.full(len(row), -1))
    return Gaussians.concatenate(parts), np.concatenate(pixels)


def _lay(
    centres: F64, size: float, config: SceneConfig, camera: Camera, *, wall_only: bool = False
) -> tuple[F64, F64, F64, NDArray[np.bool_]]:
    edge = config.table.edge_m
    wall = edge + config.table.backdrop_m
    height = camera.centre[2]

    def meet(pixels: F64, table: NDArray[np.bool_]) -> F64:
        rays = camera.rays(pixels)
        with np.errstate(divide="ignore"):
            depth = np.where(table, -height / np.minimum(rays[:, 2], -1e-9), wall / rays[:, 0])
        return np.asarray(camera.centre + rays * depth[:, None])

    rays = camera.rays(centres)
    ahead = rays[:, 0] > 1e-3
    table = (rays[:, 2] < -1e-9) & (rays[:, 0] * height < -rays[:, 2] * edge) & (not wall_only)
    keep = ahead | table
    c, t = centres[keep], table[keep]
    right, below = np.array([size / 2, 0]), np.array([0, size / 2])
    points = meet(c, t)
    across = meet(c + right, t) - meet(c - right, t)
    down = meet(c + below, t) - meet(c - below, t)
    return points, across, down, keep
