"""What a photo shows of the table round its things that neither the table as filled nor the shadows on it explain: it
goes with the things, as their shadows do, and not with the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, I64, Camera
from pw_core.reconstruct.background.lifted import Lit, kept_at
from pw_core.reconstruct.background.light import LightOptions
from pw_core.reconstruct.background.light_grid import foot_grid
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
    grain: float = 0.1
    """Logarithm: where only what darkens counts, a table drawn darker than the photo by less than this has its own
    grain, and keeps the shade. Of more it is the cells' blur."""
    most_colored: float = 0.5
    """By how much of its logarithm a shade may differ from that in one channel: what darkens one colour alone is the
    table's own pattern."""


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
    low, (rows, columns) = foot_grid(rest, size, step, options=options.grid)
    light = Light(
        np.array([0.0, 0, 1]), 0.2, np.zeros(3), np.zeros(3), step, low.astype(np.int64),
        np.zeros((len(entities), rows, columns, 3), np.float32),
    )  # fmt: skip
    return Lit(light, photo, np.ones(photo.shape, np.float32), table & deep)


def with_residual(
    lit: Lit, photo: Rgb, filled: Rgb, where: Mask, table: Mask, camera: Camera, rest: F32,
    entities: Sequence[Entity], *, wall: Mask | None = None, darker: bool = False,
    options: ResidualOptions = ResidualOptions(),
) -> Lit:  # fmt: skip
    """The light with what the photo (H, W, 3) shows `where` (H, W) of the table over what is drawn of it: `filled`
    (H, W, 3) under the shadows. A cell's goes to the entity that is nearest to it. table and wall (H, W): where shadows
    fall; with `darker` alone what darkens.

    A Van Cittert iteration (1931): cells are coarse against the steep rim of a contact shadow, so what they miss is
    measured against the picture as it is then, and added. With `darker`, too, steps go back up to an unshaded table:
    else what the blur darkens beside a deep shadow stays as a dark halo (2 dB of a cup on its saucer).
    """
    share, places = kept_at(table, camera, rest, entities, lit.light, wall=wall)
    for _ in range(options.rounds):
        more = np.log((photo + options.floor_levels) / (filled * share + options.floor_levels))
        if darker:
            back = np.minimum(more - options.grain, -np.log(np.clip(share, np.exp(-options.most), 1)))
            more = np.where(more > 0, np.maximum(back, 0), more)
        more = np.clip(more, -options.most, options.most) * where[..., None]
        light, surface = lit.light, places[..., 2]
        observed = _on_cells(
            light, light.first, light.observed, more, surface > 0, places, rest[:, :2], entities, options
        )  # fmt: skip
        light = replace(light, observed=_shade_alone(observed, options.most_colored) if darker else observed)
        behind = light.wall
        if wall is not None and behind is not None and behind.lit:
            light = replace(light, wall=replace(behind, observed=_on_cells(
                light, behind.first, behind.observed, more, surface < 0, places, rest[:, [2, 1]], entities, options
            )))  # fmt: skip
        share, places = kept_at(table, camera, rest, entities, light, wall=wall)
        lit = replace(lit, light=light, kept=share)
    return lit


def _shade_alone(observed: F32, colored: float) -> F32:
    """Of logarithms (E, R, C, 3) what darkens, with so little colour."""
    dark = np.minimum(observed, 0)
    mean = dark.mean(-1, keepdims=True)
    return np.asarray(np.clip(dark, (1 + colored) * mean, (1 - colored) * mean), np.float32)


def _on_cells(
    light: Light, first: I64, observed: F32, more: F32, plane: Mask, places: F32, things: F32,
    entities: Sequence[Entity], options: ResidualOptions,
) -> F32:  # fmt: skip
    """What was observed of a plane (E, R, C, 3), on cells the first of which is given, and logarithms (H, W, 3) of its
    pixels (H, W) more, which fall on cells as `places` (H, W, 3) says; things [m] (J, 2): particles in its frame."""
    rows, columns = observed.shape[1:3]
    v, u = np.nonzero(plane)
    if len(v) == 0 or rows < 2 or not more.any():
        return observed
    at = np.round(places[v, u, :2]).astype(int) - first
    inside = ((at >= 0) & (at < (rows, columns))).all(axis=1)
    at, v, u = at[inside], v[inside], u[inside]
    weight, sums = np.zeros((rows, columns), np.float32), np.zeros((rows, columns, 3), np.float32)
    np.add.at(weight, tuple(at.T), 1)
    np.add.at(sums, tuple(at.T), more[v, u])
    mean = sums / np.maximum(weight, 1)[..., None]
    have = (weight > 0).astype(np.float32)
    soft = cv2.GaussianBlur(have, (0, 0), options.smoothing_cells)
    mean = cv2.GaussianBlur(mean, (0, 0), options.smoothing_cells) / np.maximum(soft, 1e-6)[..., None]
    known = soft > options.least_weight
    away, near = ndimage.distance_transform_edt(~known, return_indices=True)
    mean = mean[tuple(near)] * np.exp(-away / options.fade_cells)[..., None]
    owner = _nearest(things, entities, first, light.step_m, (rows, columns))
    own = np.stack([np.where((owner == i)[..., None], mean, 0) for i in range(len(entities))])
    return np.asarray(observed + own, np.float32)


def _nearest(things: F32, entities: Sequence[Entity], first: I64, step: float, shape: tuple[int, int]) -> I64:
    """Which entity's particles [m] (J, 2), in the plane's frame, are nearest to each cell (R, C)."""
    apart = []
    for e in entities:
        cells = np.round(things[e.particles] / step).astype(int) - first
        free = np.ones(shape, bool)
        free[cells[:, 0].clip(0, shape[0] - 1), cells[:, 1].clip(0, shape[1] - 1)] = False
        apart.append(ndimage.distance_transform_edt(free))
    return np.asarray(np.argmin(apart, axis=0))
