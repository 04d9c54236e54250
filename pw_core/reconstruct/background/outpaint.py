"""How the room goes on past the photo's borders: what turned views see there.

The photo says nothing of it, so it is made of the photo: the table goes on as a table, filled on its plane, and what is
behind it as what is behind it (`inpaint.fill`: He and Sun 2012 extend pictures the same way), in large pieces and never
mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.gaussians import F32, Camera
from pw_core.reconstruct.background.inpaint import InpaintOptions
from pw_core.reconstruct.background.inpaint import fill as inpaint
from pw_core.reconstruct.background.table import TableOptions, fill_table, on_table
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class OutpaintOptions:
    """The picture that goes on past the photo's borders."""

    aside_ratio: float = 0.6
    """How far it goes on to the left and right [share of the photo's width]."""
    above_ratio: float = 0.3
    """The same above and below."""
    most_pixels: int = 110_000
    """Of the whole picture: seconds. What is past the borders is out of focus anyway."""
    table: TableOptions = TableOptions(most_cells=100_000)
    """How the table goes on."""
    inpaint: InpaintOptions = InpaintOptions(copy_weight=0.02)
    """How what is behind it goes on: with the copies' own brightness, as there is no far border to lead it back."""
    blurs_px: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 32.0)
    """Standard deviations of the blur of what stands behind the table [px of the photo]: the further from what is
    known, the less a copy is to be taken for a thing."""
    blur_ratio: float = 0.05
    """Such a blur, over the distance from the photo's border."""
    far_blur_ratio: float = 0.7
    """The same, over the distance from the border of the picture that goes on."""
    below_blur_ratio: float = 0.15
    """The same, over the distance under the table's end, where what stands behind it goes on as its mirror image."""


@dataclass(frozen=True)
class Outpainted:
    """A photo (H, W, 3) that goes on past its borders.

    Args:
        blurred: the picture (h, w, 3), 0 to 255, sharp first, then behind the table the blurrier the later.
        table: where (h, w) it shows the table.
        scale: its pixels a pixel of the photo.
        corner: column and row [px of the photo] where it begins: none or less.
        size: width and height [px] of the photo.
    """

    blurred: tuple[F32, ...]
    table: Mask
    scale: float
    corner: tuple[int, int]
    size: tuple[int, int]
    options: OutpaintOptions

    def colors(
        self, centres: NDArray[np.floating], *, wall_only: bool = False, blur_px: NDArray[np.floating] | float = 0.0
    ) -> F32:  # fmt: skip
        """(n, 3), 0 to 1, at pixels of the photo (n, 2). wall_only: of the backdrop, which goes on behind the table as
        it stands above it; blur_px (n,): standard deviation by which it is blurred more."""
        import cv2

        height, width = self.table.shape
        at = (centres - self.corner) * self.scale
        rows = np.flatnonzero(np.asarray(self.table.any(axis=1)))
        low = int(rows[0]) if wall_only and len(rows) and rows[0] else height
        column, row = _mirror(at[:, 0], width), _mirror(at[:, 1], low)
        x, y = (np.asarray(v - 0.5, np.float32) for v in (column, row))

        def sample(picture: F32) -> F32:
            out = np.empty((len(x), 3), np.float32)
            for k in range(0, len(x), 16384):  # remap takes no more than 32767 rows
                part = slice(k, k + 16384)
                out[part] = cv2.remap(
                    picture, x[part, None], y[part, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )[:, 0]
            return out

        # From none to the first blur and from one to the next, each twice as wide, without a step.
        o, out = self.options, sample(self.blurred[0])
        sigma = o.blur_ratio * _outside(centres, (0, 0), self.size) + o.far_blur_ratio * _outside(
            at / self.scale, (0, 0), (width / self.scale, height / self.scale)
        )
        sigma = sigma + blur_px + o.below_blur_ratio * np.maximum(at[:, 1] - low, 0) / self.scale
        on_wall = ~self.table[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)]
        for each, picture in zip(o.blurs_px, self.blurred[1:]):
            share = np.clip(np.log2(np.maximum(sigma / each, 0.25)) + 1, 0, 1) * on_wall
            if share.any():
                out += share[:, None].astype(np.float32) * (sample(picture) - out)
        return np.asarray(out / 255.0, np.float32)


def outpaint(
    filled: Rgb, config: SceneConfig, camera: Camera, *, options: OutpaintOptions = OutpaintOptions()
) -> Outpainted:  # fmt: skip
    """A photo without things and shadows, made to go on past its borders."""
    import cv2

    height, width = filled.shape[:2]
    aside, above = round(options.aside_ratio * width), round(options.above_ratio * width)
    whole = (width + 2 * aside) * (height + 2 * above)
    scale = min(1.0, float(np.sqrt(options.most_pixels / whole)))
    size = (round(width * scale), round(height * scale))
    left, top = round(aside * scale), round(above * scale)
    small = cv2.resize(filled, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    k = np.array(camera.K, np.float64)
    k[0] *= size[0] / width
    k[1] *= size[1] / height
    k[0, 2] += left
    k[1, 2] += top
    wide = replace(camera, K=k, width=size[0] + 2 * left, height=size[1] + 2 * top)
    known = np.zeros((wide.height, wide.width), bool)
    known[top : top + size[1], left : left + size[0]] = True
    table = on_table(config, wide)
    # Where there is nothing to copy, as where no backdrop is seen, the border's colours go on.
    picture: F32 = np.asarray(cv2.copyMakeBorder(small, top, top, left, left, cv2.BORDER_REPLICATE), np.float32)
    # Pixels beside the table are mixed with it.
    wall = known & (cv2.dilate(table.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    picture = inpaint(np.asarray(picture, np.float32), ~table & ~wall, wall, options=options.inpaint)
    if (~known & table).any() and (known & table).any():
        picture = fill_table(picture, ~known, table, wide, options.table)
    picture = np.asarray(np.clip(picture, 0, 255), np.float32)
    blurred = [_blur(picture, ~table, sigma * scale) for sigma in options.blurs_px]
    corner = (-round(left / scale), -round(top / scale))
    return Outpainted((picture, *blurred), table, scale, corner, (width, height), options)


def _blur(picture: F32, wall: Mask, sigma: float) -> F32:
    """What is behind the table, `wall` (h, w), of the picture (h, w, 3), blurred."""
    import cv2

    share, sums = (
        cv2.GaussianBlur(a, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        for a in (wall.astype(np.float32), picture * wall[..., None].astype(np.float32))
    )
    return np.asarray(sums / np.maximum(share, 1e-3)[..., None], np.float32)


def _outside(
    at: NDArray[np.floating], low: tuple[float, float], high: tuple[float, float]
) -> NDArray[np.floating]:  # fmt: skip
    """How far (n,) [px] positions (n, 2) are outside a rectangle."""
    return np.asarray(np.maximum(np.max(np.maximum(low - at, at - high), axis=1), 0.0))


def _mirror(at: NDArray[np.floating], span: float) -> NDArray[np.floating]:
    """Positions folded into [0, span] as between two mirrors."""
    folded = np.abs(at) % (2 * span)
    return np.asarray(np.where(folded < span, folded, 2 * span - folded))
