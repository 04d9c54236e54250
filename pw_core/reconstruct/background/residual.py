"""What a photo shows of the table round its things that neither the table as filled nor the shadows on it explain: it
goes with the things, as their shadows do, and not with the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, I64, Camera
from pw_core.reconstruct.background.light import LightOptions, Lit, foot_grid, kept_at
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class ResidualOptions:
    """How it is put on the light's cells."""

    floor_levels: float = 8.0
    """Added to colours before their ratios are taken: in dark channels those are noise."""
    smoothing_cells: float = 0.8
    """Standard deviation of the blur over the cells that pixels fall on."""
    least_weight: float = 0.05
    """Of a cell's blurred pixels, against those of a full one: fewer tell nothing."""
    fade_cells: float = 3.0
    """Over which it goes on into cells that nothing is known of, to 1 / e: under the things."""
    rounds: int = 4
    """How often what the cells' blur has left is put on them again: without, shadows that are cast too dark at a foot
    stay as a halo (4 dB of a cup's ring)."""
    most: float = 1.2
    """Logarithm: what is brighter or darker by more is no light."""


def without_table(photo: Rgb, entities: Sequence[Entity]) -> Lit:
    """What no light falls on a table of: there is none."""
    light = Light(
        np.array([0.0, 0, 1]), 0.2, np.zeros(3), np.zeros(3), 1.0, np.zeros(2, np.int64),
        np.zeros((len(entities), 1, 1, 3), np.float32),
    )  # fmt: skip
    return Lit(light, photo, np.ones(photo.shape, np.float32), np.zeros(photo.shape[:2], bool))


def unlit(
    photo: Rgb, table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], deep: Mask, *,
    options: LightOptions = LightOptions(),
) -> Lit:  # fmt: skip
    """A light that casts nothing, where none was told, for what the photo shows at the things' feet to go with them;
    the photo says nothing of the table where it is `deep` (H, W)."""
    size = float(max(np.ptp(rest[e.particles][:, :2], axis=0).max() for e in entities))
    step = size / options.cells
    low, (rows, columns) = foot_grid(rest, size, step, options)
    light = Light(
        np.array([0.0, 0, 1]), 0.2, np.zeros(3), np.zeros(3), step, low.astype(np.int64),
        np.zeros((len(entities), rows, columns, 3), np.float32),
    )  # fmt: skip
    return Lit(light, photo, np.ones(photo.shape, np.float32), table & deep)


def with_residual(
    lit: Lit, photo: Rgb, filled: Rgb, where: Mask, table: Mask, camera: Camera, rest: F32,
    entities: Sequence[Entity], *, darker: bool = False, options: ResidualOptions = ResidualOptions(),
) -> Lit:  # fmt: skip
    """The light with what the photo (H, W, 3) shows `where` (H, W) of the table over what is drawn of it: `filled`
    (H, W, 3) under the shadows. A cell's goes to the entity that is nearest to it. table (H, W): where shadows
    fall; with `darker` alone what darkens.

    A Van Cittert iteration (1931): cells are coarse against the steep rim of a contact shadow, so what they miss is
    measured against the picture as it is then, and added.
    """
    for _ in range(options.rounds):
        lit = _nearer(lit, photo, filled, where, table, camera, rest, entities, darker, options)
    return lit


def _nearer(
    lit: Lit, photo: Rgb, filled: Rgb, where: Mask, table: Mask, camera: Camera, rest: F32,
    entities: Sequence[Entity], darker: bool, options: ResidualOptions,
) -> Lit:  # fmt: skip
    """One round of it."""
    light, floor = lit.light, options.floor_levels
    v, u = np.nonzero((table | where) & np.isfinite(table_depth(camera)))
    rows, columns = light.observed.shape[1:3]
    if not where.any() or len(v) == 0 or rows < 2:
        return lit
    depth = table_depth(camera)[v, u]
    points = camera.unproject(np.stack([u, v], 1).astype(np.float64) + 0.5, depth)[:, :2]
    at = np.round(points / light.step_m).astype(int) - light.first
    inside = ((at >= 0) & (at < (rows, columns))).all(axis=1)
    at, v, u = at[inside], v[inside], u[inside]
    drawn = filled[v, u] * lit.kept[v, u]
    more = np.clip(np.log((photo[v, u] + floor) / (drawn + floor)), -options.most, options.most)
    if darker:
        more = np.minimum(more, 0)
    more[~where[v, u]] = 0
    weight, sums = np.zeros((rows, columns), np.float32), np.zeros((rows, columns, 3), np.float32)
    np.add.at(weight, tuple(at.T), 1)
    np.add.at(sums, tuple(at.T), more)
    mean = sums / np.maximum(weight, 1)[..., None]
    have = (weight > 0).astype(np.float32)
    soft = cv2.GaussianBlur(have, (0, 0), options.smoothing_cells)
    mean = cv2.GaussianBlur(mean, (0, 0), options.smoothing_cells) / np.maximum(soft, 1e-6)[..., None]
    known = soft > options.least_weight
    away, near = ndimage.distance_transform_edt(~known, return_indices=True)
    mean = mean[tuple(near)] * np.exp(-away / options.fade_cells)[..., None]
    owner = _nearest(rest, entities, light.first, light.step_m, (rows, columns))
    own = np.stack([np.where((owner == i)[..., None], mean, 0) for i in range(len(entities))])
    light = replace(light, observed=(light.observed + own).astype(np.float32))
    return replace(lit, light=light, kept=kept_at(table, camera, rest, entities, light)[0])


def _nearest(rest: F32, entities: Sequence[Entity], first: I64, step: float, shape: tuple[int, int]) -> I64:
    """Which entity's particles, seen from above, are nearest to each cell (R, C)."""
    apart = []
    for e in entities:
        cells = np.round(rest[e.particles][:, :2] / step).astype(int) - first
        free = np.ones(shape, bool)
        free[cells[:, 0].clip(0, shape[0] - 1), cells[:, 1].clip(0, shape[1] - 1)] = False
        apart.append(ndimage.distance_transform_edt(free))
    return np.asarray(np.argmin(apart, axis=0))
