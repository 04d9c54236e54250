"""The photo with shadows taken off table and wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Camera
from pw_core.light.cast import Caster
from pw_core.light.overlay import kept
from pw_core.reconstruct.background.table import touching
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class LiftedOptions:
    """How shadows are taken off; levels 0 to 255."""

    floor_levels: float = 8.0
    """Added to colours before their ratios are taken: in dark channels those are noise."""
    least_change: float = 0.01
    """What is darker by less is left as it is."""
    deep: float = 0.55
    """Share of the brightness under which a shadow is so deep that the table in it is filled from elsewhere."""
    left_share: float = 0.9
    """Of the unshadowed table's brightness: what is still darker than this with the shadow taken off is filled, too."""
    wall_shadow: float = 0.03
    """A plain wall that is darker by more than this is filled from the wall round its shadow."""
    wall_margin_px: int = 5
    """And so far round that."""
    left_blur_px: float = 2.0
    """Standard deviation of the blur over which it is darker."""


@dataclass(frozen=True)
class Lit:
    """A light; the photo without the shadows that it casts (H, W, 3), the share of it (H, W, 3) that they keep, and
    where (H, W) they are so deep that nothing is told of the table in them."""

    light: Light
    pixels: Rgb
    kept: F32
    deep: Mask


@dataclass(frozen=True)
class Backdrop:
    """The wall at x_m [m]; told: whether the scene file says how far away it is."""

    x_m: float
    told: bool


@dataclass(frozen=True)
class PlaneLevel:
    """How bright a plane is without things, on the light's cells, the first of which is given: colors (R, C, 3), and by
    how much its pattern exceeds that nearly everywhere, most (3,)."""

    first: F64
    colors: F32
    most: F32


def kept_at(
    table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], light: Light, *, wall: Mask | None = None
) -> tuple[F32, F32]:
    """The share (H, W, 3) of their brightness that table and wall, pixels (H, W), keep under the shadows of things at
    rest, 1 elsewhere; and where they take it from (H, W, 3), as `receivers` gives."""
    depth = np.where(table, table_depth(camera), 1.0)
    places = np.zeros((*table.shape, 3), np.float32)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    places[table] = np.concatenate([points[table][:, :2] / light.step_m, np.ones((int(table.sum()), 1))], -1)
    if wall is not None and light.wall is not None and light.wall.lit:
        # Where the camera looks away from it there is none.
        rays = camera.rays(pixel_centres(camera.height, camera.width))[wall]
        ahead = rays[:, 0] > 1e-3
        far = camera.centre + rays * (light.wall.x_m / np.where(ahead, rays[:, 0], 1.0))[:, None]
        places[wall] = np.concatenate([far[:, [2, 1]] / light.step_m, -ahead[:, None].astype(float)], -1)
    return kept(Caster(rest, entities, light).shade(rest), places).astype(np.float32), places


def without_shadows(
    photo: Rgb, table: Mask, wall: Mask, hidden: Mask, camera: Camera, rest: F32, entities: Sequence[Entity],
    light: Light, levels: tuple[PlaneLevel, PlaneLevel | None], *, options: LiftedOptions = LiftedOptions(),
) -> Lit:  # fmt: skip
    """The photo's table and wall, of which pixels (H, W) are seen, as they would be without shadows: with a brightness
    of `levels`, of which they are nowhere more than those say."""
    share, places = kept_at(table, camera, rest, entities, light, wall=wall)
    pixels, deep = _lifted(photo, table, hidden, share, places, levels[0], options)
    if levels[1] is not None:
        deep |= _shadow_on_wall(photo, wall, share, places, levels[1], options)
    return Lit(light, pixels, share, deep)


def _even(plane: Mask, places: F32, level: PlaneLevel) -> F32:
    """A plane's brightness without things (H, W, 3)."""
    import cv2

    at = np.where(plane[..., None], places[..., :2] - level.first, -10).astype(np.float32)
    return np.asarray(
        cv2.remap(level.colors, at[..., 1], at[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _shadow_on_wall(photo: Rgb, wall: Mask, share: F32, places: F32, level: PlaneLevel, o: LiftedOptions) -> Mask:
    """Where (H, W) the wall is in the things' shadow: where it is cast, and what of darkness hangs together with
    that."""
    import cv2

    cast = wall & (share.min(-1) < 1 - o.wall_shadow)
    ratio = photo.mean(-1) / np.maximum(_even(wall, places, level).mean(-1), 1)
    ratio = cv2.GaussianBlur(ratio, (0, 0), o.left_blur_px)
    dark = touching(wall & ((ratio < 1 - o.wall_shadow) | cast), cast)
    wide = np.ones((2 * o.wall_margin_px + 1,) * 2, np.uint8)
    return np.asarray(wall & (cv2.dilate(dark.astype(np.uint8), wide) > 0))


def _lifted(
    photo: Rgb, plane: Mask, hidden: Mask, share: F32, places: F32, level: PlaneLevel, o: LiftedOptions
) -> tuple[Rgb, Mask]:
    """One plane's shadows off; and where (H, W) they are so deep that nothing is told of it."""
    import cv2

    shaded = plane & (np.abs(share - 1).max(-1) > o.least_change)
    even = _even(plane, places, level)
    bright = np.where(shaded[..., None], np.minimum(photo / share, np.maximum(even * level.most, photo)), photo)
    pixels = bright.round().clip(0, 255).astype(np.uint8)
    grey = np.where(plane, bright.mean(-1) / np.maximum(even.mean(-1), 1), 0).astype(np.float32)
    soft, weight = (cv2.GaussianBlur(a, (0, 0), o.left_blur_px) for a in (grey, plane.astype(np.float32)))
    left = shaded & (soft < o.left_share * weight)
    left = touching(ndimage.binary_opening(left), hidden)  # what does not reach the things is the plane's pattern
    left = ndimage.binary_dilation(left, iterations=2)
    return pixels, plane & ((share.min(-1) < o.deep) | left)
