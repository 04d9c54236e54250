"""The table as seen from above: a raster on the plane, and how what things hid of it is filled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pw_core.config import SceneConfig
from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.background.inpaint import InpaintOptions
from pw_core.reconstruct.background.inpaint import fill as inpaint
from pw_core.reconstruct.background.poisson import smooth
from pw_core.reconstruct.ground.table_color import table_color
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How the table is filled under the entities, on a raster that lies on it."""

    most_cells: int = 400_000
    """Of the raster: seconds."""
    most_coarse: float = 2.5
    """Cells over the footprint of a pixel in the middle of what is hidden, at the most: what is so far away that they
    would be larger, as beside a horizon, takes what is before it."""
    light_scale_cells: float = 20.0
    """What is wider on the table than this counts as light, not as pattern."""
    strange_medians: float = 5.0
    """How many medians a colour is off the table's when it is something else."""
    strange_levels: float = 24.0
    """Less than this off it is never something else."""
    pattern_cells: int = 5
    """What is smaller is pattern: a knot, a crumb."""
    strange_margin_cells: int = 9
    """Diameter by which what is something else is widened."""
    end_px: int = 3
    """So near to the table's far end pixels are mixed with what stands behind it, or the end is not quite where the
    scene says: they are no pattern to copy, and no light to go on."""
    end_average_px: int = 9
    """Over so much of a row its colour beside a hole is averaged there."""
    grain_cells: float = 1.5
    """Standard deviation of the blur of the pattern in which grain is looked for."""
    least_coherence: float = 0.7
    """Of the pattern's structure tensor, from which it has a grain: 0 it has none, 1 it does not change along it."""
    grain_search_deg: float = 6.0
    """How far from that its direction is looked for"""
    grain_reach_cells: tuple[float, ...] = (30.0, 60.0, 120.0)
    """by comparing the pattern with itself so far along it."""
    inpaint: InpaintOptions = InpaintOptions()
    """How the table's pattern, and what is beyond the table, are copied into holes."""


def on_table(config: SceneConfig, camera: Camera) -> Mask:
    """Pixels (H, W) whose ray meets the table before its edge."""
    if not config.has_table:
        return np.zeros((camera.height, camera.width), bool)
    x = table_depth(camera) * camera.rays(pixel_centres(camera.height, camera.width))[..., 0]
    return np.asarray(x < config.table.edge_m)


def fill_table(photo: F32, hidden: Mask, table: Mask, camera: Camera, options: TableOptions) -> F32:
    """On the rectified plane, where grain and pattern are as large far away as near by.

    Copies bring the pattern only: how bright the table is goes over the hole smoothly, or a shadow would be copied too,
    and a pattern with the light of somewhere else.
    """
    import cv2

    plane = TableRaster.of(hidden & table, camera, options)
    seen = plane.sample(photo)
    inner = cv2.erode(table.astype(np.uint8), np.ones((2 * options.end_px + 1, 1), np.uint8)) > 0
    end = table & ~inner
    known = plane.sample((inner & ~hidden).astype(np.float32)) > 0.999
    hole = plane.sample((table & hidden).astype(np.float32)) > 0
    known &= ~hole
    # Cells beside the picture's borders are looked at too where pixels there are interpolated.
    hole = (cv2.dilate(hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~known
    odd = odd_cells(seen, known, options)
    known &= ~(odd & ~touching(odd, hole))
    if not (known & ~odd).any():
        return photo
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), options.light_scale_cells)[..., None]
    bright = cv2.GaussianBlur(seen * known[..., None], (0, 0), options.light_scale_cells) / np.maximum(share, 1e-6)
    light = smooth(np.asarray(bright, np.float32), hole, known)
    shown = np.asarray(seen - light, np.float32)
    how = replace(options.inpaint, along=grain(shown, known & ~odd, options))
    pattern = inpaint(shown, hole, known, source=~odd, options=how)
    out = photo.copy()
    out[hidden & table] = plane.back(pattern + light, hidden & table)
    return _along_rows(out, hidden & end, end & ~hidden, options.end_average_px)


def grain(pattern: F32, known: Mask, options: TableOptions) -> tuple[float, float] | None:
    """Unit vector (rows, columns) along which what is known (R, C) of a pattern (R, C, 3) changes least, as planks do;
    None where it has no such direction (structure tensor: Bigün and Granlund 1987)."""
    import cv2

    wide = 2 * round(3 * options.grain_cells) + 1
    inner = cv2.erode(known.astype(np.uint8), np.ones((wide, wide), np.uint8), borderValue=0) > 0
    if not inner.any():
        return None
    plain = np.where(known, pattern.mean(-1), 0).astype(np.float32)
    grey = np.asarray(cv2.GaussianBlur(plain, (0, 0), options.grain_cells), np.float32)
    slopes = np.asarray(np.gradient(grey))[:, inner]
    values, vectors = np.linalg.eigh(slopes @ slopes.T)
    if values[1] - values[0] < options.least_coherence * (values[1] + values[0]):
        return None
    # Slopes tell it to a few degrees; over the length of a copy those would be steps.
    rough = float(np.arctan2(vectors[0, 0], vectors[1, 0]))
    tried = rough + np.radians(np.linspace(-options.grain_search_deg, options.grain_search_deg, 41))
    costs = [np.mean([_changed(grey, known, a, far) for far in options.grain_reach_cells]) for a in tried]
    best = float(tried[int(np.argmin(costs))])
    return float(np.sin(best)), float(np.cos(best))


def _changed(grey: F32, known: Mask, angle: float, far: float) -> float:
    """How much what is known (R, C) of a pattern (R, C) changes over `far` cells at an angle [rad] to its rows."""
    import cv2

    shift = np.array([[1, 0, -far * np.cos(angle)], [0, 1, -far * np.sin(angle)]], np.float32)
    size = (grey.shape[1], grey.shape[0])
    there = cv2.warpAffine(grey, shift, size, flags=cv2.INTER_LINEAR)
    both = known & (cv2.warpAffine(known.astype(np.float32), shift, size, flags=cv2.INTER_LINEAR) > 0.999)
    return float(np.abs(grey - there)[both].mean()) if both.sum() > known.sum() / 10 else 255.0


def _along_rows(picture: F32, hole: Mask, known: Mask, average_px: int) -> F32:
    """The picture (H, W, 3) with each row of `hole` (H, W) going over from what is known of that row on its left to
    what is on its right: a level camera sees the table's end along rows, wherever it is."""
    out = picture.copy()
    for row in np.flatnonzero(hole.any(axis=1)):
        parts, count = ndimage.label(hole[row])
        for part in range(1, count + 1):
            at = np.flatnonzero(parts == part)
            beside = [np.arange(at[0] - average_px, at[0]), np.arange(at[-1] + 1, at[-1] + 1 + average_px)]
            seen = [b[(b >= 0) & (b < known.shape[1])] for b in beside]
            colors = [picture[row, s[known[row, s]]].mean(0) for s in seen if known[row, s].any()]
            if colors:
                share = np.linspace(0, 1, len(at), dtype=np.float32)[:, None]
                out[row, at] = (1 - share) * colors[0] + share * colors[-1]
    return out


def odd_cells(seen: F32, known: Mask, options: TableOptions) -> Mask:
    """What stands on the table, shadows and reflections: cells far from the table's colour, which is taken to change
    over it as a quadratic does."""
    import cv2

    odd = np.zeros(known.shape, np.uint8)
    color = table_color(seen, known)
    if color is None:
        return odd > 0
    limit = max(options.strange_medians * float(np.median(color.off)), options.strange_levels)
    odd[known] = color.off > limit
    opened = cv2.morphologyEx(odd, cv2.MORPH_OPEN, np.ones((options.pattern_cells,) * 2, np.uint8))
    return np.asarray(cv2.dilate(opened, np.ones((options.strange_margin_cells,) * 2, np.uint8)) > 0)


def touching(odd: Mask, hole: Mask) -> Mask:
    """The odd regions that reach the hole: the entity's own shadow and reflection, which go on under it."""
    parts, _ = ndimage.label(odd)
    own = np.unique(parts[ndimage.binary_dilation(hole, iterations=2) & odd])
    return np.asarray(np.isin(parts, own[own > 0]))


@dataclass(frozen=True)
class TableRaster:
    """A raster on the table: cells as wide and as deep as a pixel's footprint in the middle of what is hidden."""

    camera: Camera
    corner: F64
    """x and y [m] of the middle of the first cell."""
    step: F64
    """[m] from row to row, which go away from the camera, and from column to column, which go to the right."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, hidden: Mask, camera: Camera, options: TableOptions) -> TableRaster:
        centres = pixel_centres(camera.height, camera.width)
        with np.errstate(invalid="ignore"):  # along the horizon
            points = camera.unproject(centres, table_depth(camera))
        rows = np.flatnonzero(hidden.any(axis=1))
        middle = min(int((rows[0] + rows[-1]) // 2), camera.height - 2)
        half = camera.width // 2
        deep = points[middle, half, 0] - points[middle + 1, half, 0]
        wide = points[middle, half, 1] - points[middle, half + 1, 1]
        near = points[-1, half, 0]
        # As far as what is hidden reaches, and half as far again to copy from; towards a horizon that is without end,
        # and cells would be larger than what is near.
        ends = points[rows[rows <= middle], half, 0] if rows[0] <= middle else points[rows[:1], half, 0]
        reaches = points[rows[: len(ends)], 0, 1]
        fars = ends + 0.25 * (ends - near)
        cells = ((fars - near) / deep + 1) * (2 * reaches / wide + 1)
        fits = np.flatnonzero(cells <= options.most_coarse**2 * options.most_cells)
        at = int(fits[0]) if len(fits) else len(ends) - 1
        far, reach = float(fars[at]), float(reaches[at])
        step = np.array([deep, -wide])
        shape = (int(np.ceil((far - near) / deep)) + 1, int(np.ceil(2 * reach / wide)) + 1)
        too_many = max(1.0, np.sqrt(shape[0] * shape[1] / options.most_cells))
        shape = (int(np.ceil(shape[0] / too_many)), int(np.ceil(shape[1] / too_many)))
        return cls(camera, np.array([near, reach]), step * too_many, shape)

    def sample(self, picture: F32) -> F32:
        """What a picture (H, W[, C]) shows of each cell; 0 beside the picture."""
        import cv2

        i, j = np.mgrid[0 : self.shape[0], 0 : self.shape[1]]
        xy = self.corner + np.stack([i, j], axis=-1) * self.step
        uv, _ = self.camera.project(np.concatenate([xy, np.zeros((*self.shape, 1))], axis=-1))
        at = (uv - 0.5).astype(np.float32)
        return np.asarray(cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0), np.float32)

    def back(self, raster: F32, mask: Mask) -> F32:
        """The raster's values (n, C) at the pixels of `mask`, in their order."""
        import cv2

        rows, columns = np.nonzero(mask)
        pixels = np.stack([columns, rows], axis=-1) + 0.5
        rays = self.camera.rays(np.asarray(pixels, np.float64))
        points = self.camera.centre + rays * (-self.camera.centre[2] / rays[:, 2])[:, None]
        at = ((points[:, :2] - self.corner) / self.step).astype(np.float32)
        out = np.empty((len(rows), raster.shape[2]), np.float32)
        for start in range(0, len(rows), 16384):  # remap takes no more than 32767 rows
            part = at[start : start + 16384]
            out[start : start + 16384] = cv2.remap(
                raster, part[:, 1:2], part[:, 0:1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )[:, 0]
        return out
