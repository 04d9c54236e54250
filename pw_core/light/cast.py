"""Soft contact and cast shadows on the plane z = 0, from the particles as they are.

Particles are sorted into layers by height. A layer at height h keeps the lamp's light off where it is projected to
along the light, blurred by h times the lamp's half angle; and the room's off as a parallel plate does: a plate's area
element at height h, r aside, takes h² / (π (r² + h²)²) of what a horizontal cell sees of an even sky (the form factor
of parallel elements), here two Gaussians. Of the layers of a body that stands the most opaque counts: for a convex one
that is exact for the sky, whose lower layers lie within the highest one's cone.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from pw_core.gaussians import F32, F64, I64
from pw_core.kernels.options import KERNEL
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class CastOptions:
    """How shadows are cast; cells are those of the light."""

    layers: int = 5
    """Of particles, by height: milliseconds."""
    layer_power: float = 1.6
    """Layers are thinner near the table, where shadows are sharp: edges at the top's height times (i / layers) to
    this."""
    coverage: float = 2.5
    """A full sheet of particles keeps 1 - exp(-this) of the light off."""
    disc: float = 0.4
    """Standard deviation of a particle's disc, in particle sizes."""
    plate: tuple[tuple[float, float], ...] = ((0.55, 0.55), (1.5, 0.45))
    """Standard deviations [heights] and weights of the Gaussians that stand for a plate's form factor."""
    sky_reach: float = 1.7
    """Heights beyond which what is left of that does not count."""
    lamp_reach: float = 2.5
    """Standard deviations beyond which a penumbra does not."""
    most_cells: int = 432
    """Of the map, along each side: what is further away goes without a shadow."""
    coarse: int = 2
    """Cells along the side of one that shadows are cast on; what was observed is kept on all."""
    most_coarse: int = 150
    """Of those along a side of the map at rest: of more, twice as coarse ones are cast on. A tall thing has a large
    map, and most of its shadow is soft."""
    strays: float = 0.01
    """Share of the particles at each end that the map need not hold: a crumb far away would draw it off things."""
    border_cells: int = 5
    """At the map's border, over which it fades."""
    least: float = 0.06
    """Share of its brightness that the table keeps in the deepest shadow."""
    coarse_sigma: float = 5.0
    """Blurs wider than this [cells] are made on fewer cells."""
    least_sigma: float = 0.45
    """Blurs narrower than this [cells] are not made: particles are laid on two cells each way."""
    lift_ratio: float = 0.25
    """Of an entity's height: lifted by so much, what the photo showed at its foot counts e times less."""
    change_ratio: float = 0.3
    """Of its size: the same for how far its particles have moved from where a rigid body's were [root mean square]."""
    foot_ratio: float = 0.15
    """Of its size: so far round it, seen from above, what the photo showed turns with it, as contact shadows do. Lamp
    and camera do not turn: what they showed further away stays turned as it was."""
    least_turn: float = 0.03
    """Sine of a turn that makes any difference."""
    outline_directions: int = 48
    """In which an entity's outline, seen from above, is measured: by it is told whether a turn changes it."""
    round_change: float = 0.04
    """Mean change of the outline's support function by a turn, over its mean, up to which nothing of what the photo
    showed turns: particles are a lattice, and a ball's outline has as much."""
    turned_change: float = 0.1
    """From which what is near turns in full: a square's, turned by 30 degrees, is 0.14."""
    lookups: int = 800
    """Particles of an entity by which its motion is told."""


@dataclass(frozen=True)
class Shade:
    """The share (R, C, 3) of its display colours that the table keeps; cells as in `Light`."""

    first: I64
    kept: F32


class Caster:
    """Casts the shadows of entities whose particles were at `rest` [m] (J, 3); keeps what does not change."""

    def __init__(
        self, rest: F32, entities: Sequence[Entity], light: Light, *, options: CastOptions = CastOptions()
    ) -> None:
        self.light, self.options, self.rest, self.entities = light, options, rest, entities
        self._slope = (light.direction[:2] / light.direction[2]).astype(np.float32)
        self._coarse = options.coarse
        if max(self._map(rest)[1]) > options.most_coarse * options.coarse:
            self._coarse *= 2
        self._size: F32 = np.empty(len(rest), np.float32)
        for e in entities:
            self._size[e.particles] = e.particle_size_m / (self._coarse * light.step_m)
        top = max(float(rest[:, 2].max()), light.step_m)
        self._edges = (top * (np.arange(1, options.layers) / options.layers) ** options.layer_power).astype(np.float32)
        self._observed = [self._parts(e, o) for e, o in zip(entities, light.observed)]
        self._latest: tuple[F32, Shade] | None = None
        self._outlines = [_outline(rest[e.particles], options.outline_directions) for e in entities]

    def _parts(self, e: Entity, observed: F32) -> tuple[F32, F32, F32]:
        """What was observed of an entity (R, C, 3), as shares: all of it, what turns with it, and what does not."""
        from scipy import ndimage

        own, rows, columns = self.rest[e.particles], *observed.shape[:2]
        cells = np.rint(own[:, :2] / self.light.step_m - self.light.first).astype(int)
        apart = np.ones((rows, columns), bool)
        apart[cells[:, 0].clip(0, rows - 1), cells[:, 1].clip(0, columns - 1)] = False
        reach = self.options.foot_ratio * float(np.ptp(own[:, :2], axis=0).max()) / self.light.step_m
        away = ndimage.distance_transform_edt(apart)
        near = np.clip(1.5 - away / max(reach, 1.0), 0, 1)[..., None].astype(np.float32)
        return np.exp(observed), np.exp(near * observed), np.exp((1 - near) * observed)

    def blocked(self, positions: F32) -> tuple[I64, F32, F32]:
        """The first cell, and the shares (R, C) of the lamp's and of the room's light that particles at `positions` [m]
        (J, 3) keep off."""
        first, shape = self._map(positions)
        lamp, room = self._blocked(positions, first, shape)
        return first, lamp, room

    def shade(self, positions: F32) -> Shade:
        """The table's brightness with the particles at `positions` [m] (J, 3): the latest one again while they rest."""
        latest = self._latest
        if latest is None or not np.array_equal(latest[0], positions):
            latest = positions.copy(), self._shade(positions)
            self._latest = latest
        return latest[1]

    def _shade(self, positions: F32) -> Shade:
        first, shape = self._map(positions)
        kept = np.ones((*shape, 3), np.float32)
        o, light = self.options, self.light
        if light.casts:
            lamp, room = self._blocked(positions, first, shape)
            _keep(lamp, room, light.key, light.ambient, np.float32(o.least), kept)
        for e, observed, outline in zip(self.entities, self._observed, self._outlines):
            self._lay(kept, first, e, observed, outline, positions)
        _fade(kept, o.border_cells)
        return Shade(first, kept)

    def _map(self, positions: F32) -> tuple[I64, tuple[int, int]]:
        """The first cell and the number of cells (R, C) that hold the things and their shadows."""
        o, step = self.options, self.light.step_m
        z = np.maximum(positions[:, 2], 0)
        low, high = _ends(positions[:, :2], o.strays)
        dark, bright = _ends(positions[:, :2] - z[:, None] * self._slope, o.strays)
        top = float(_ends(z, o.strays)[1])
        wide, soft = o.sky_reach * top, o.lamp_reach * self.light.softness * top
        low = np.minimum(low - wide, dark - soft) / step
        high = np.maximum(high + wide, bright + soft) / step
        middle, half = (low + high) / 2, np.minimum((high - low) / 2, o.most_cells / 2) + o.border_cells
        coarse = self._coarse
        first = coarse * np.floor((middle - half) / coarse).astype(np.int64)
        rows, columns = (coarse * (1 + int(n) // coarse) for n in np.ceil(middle + half).astype(np.int64) - first)
        return first, (rows, columns)

    def _blocked(self, positions: F32, first: I64, shape: tuple[int, int]) -> tuple[F32, F32]:
        import cv2

        o = self.options
        coarse = self._coarse
        small = (shape[0] // coarse, shape[1] // coarse)
        layers = np.zeros((2, o.layers, *small), np.float32)
        found = np.zeros((2, o.layers, 4), np.int64)
        heights = np.zeros((o.layers, 3), np.float32)
        step = np.float32(coarse * self.light.step_m)
        corner = first / coarse + (coarse - 1) / (2 * coarse)  # the middle of the first coarse cell
        _splat(np.ascontiguousarray(positions), self._size, self._slope, self._edges, corner.astype(np.float32), step,
               layers, heights, found)  # fmt: skip
        lamp, room = np.zeros(small, np.float32), np.zeros(small, np.float32)
        for k in range(o.layers):
            count, height, size = (float(x) for x in heights[k])
            if count == 0:
                continue
            h, disc = height / count / step, o.disc * size / count
            self._throw(lamp, layers[0, k], found[0, k], disc, h, ((float(self.light.softness), 1.0),))
            self._throw(room, layers[1, k], found[1, k], disc, h, o.plate)
        wide = (shape[1], shape[0])
        return np.asarray(cv2.resize(lamp, wide), np.float32), np.asarray(cv2.resize(room, wide), np.float32)

    def _throw(
        self, into: F32, layer: F32, box: I64, disc: float, height: float, widths: tuple[tuple[float, float], ...]
    ) -> None:
        """Raise `into` (R, C) to what a layer keeps off, whose particles fell into a box (first row and column, last
        ones); disc and height in cells."""
        o = self.options
        if box[2] <= box[0]:
            return
        pad = int(np.ceil(3 * (disc + max(s for s, _ in widths) * height))) + 1
        rows = slice(max(int(box[0]) - pad, 0), min(int(box[2]) + pad + 1, into.shape[0]))
        columns = slice(max(int(box[1]) - pad, 0), min(int(box[3]) + pad + 1, into.shape[1]))
        cover = 1 - np.exp(-o.coverage * _blurred(layer[rows, columns], disc, o))
        parts = [np.float32(w) * _blurred(cover, s * height, o) for s, w in widths]
        np.maximum(into[rows, columns], sum(parts[1:], parts[0]), out=into[rows, columns])

    def _lay(
        self, kept: F32, first: I64, e: Entity, observed: tuple[F32, F32, F32], outline: F64, positions: F32
    ) -> None:  # fmt: skip
        """Multiply by what the photo showed of an entity's shadow where it is now, as far as it stands as it stood."""
        o = self.options
        every = max(1, (e.particles.stop - e.particles.start) // o.lookups)
        rest = self.rest[e.particles][::every].astype(np.float64)
        now = positions[e.particles][::every].astype(np.float64)
        a, b = rest.mean(0), now.mean(0)
        p, q = rest - a, now - b
        size = float(np.sqrt((p**2).sum(1).mean())) + 1e-9
        c, s = (p[:, :2] * q[:, :2]).sum(), (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()
        length = float(np.hypot(c, s))
        c, s = (c / length, s / length) if length > 0 else (1.0, 0.0)
        turn = np.array([[c, -s], [s, c]])
        change = np.sqrt(((p[:, :2] @ turn.T - q[:, :2]) ** 2).sum(1).mean() + ((p - q)[:, 2] ** 2).mean())
        lift = abs(float(now[:, 2].min() - rest[:, 2].min())) / (o.lift_ratio * max(float(np.ptp(rest[:, 2])), 1e-9))
        weight = float(np.exp(-lift - (change / (o.change_ratio * size)) ** 2))
        if weight < 0.01:
            return
        whole, turning, staying = observed
        if abs(s) < o.least_turn < c:
            self._put(kept, first, whole, a, b, turn, weight)
            return
        change = _turned_by(outline, float(np.arctan2(s, c)))
        share = float(np.clip((change - o.round_change) / (o.turned_change - o.round_change), 0, 1))
        if share == 0:
            self._put(kept, first, whole, a, b, np.eye(2), weight)
            return
        self._put(kept, first, turning, a, b, turn, weight * share)
        if share < 1:
            self._put(kept, first, turning, a, b, np.eye(2), weight * (1 - share))
        self._put(kept, first, staying, a, b, np.eye(2), weight)

    def _put(self, kept: F32, first: I64, shown: F32, a: F64, b: F64, turn: F64, weight: float) -> None:
        """Multiply by shares (R, C, 3) that were shown about a [m] (3,), turned (2, 2) and moved to b [m] (3,), to the
        power `weight`."""
        import cv2

        # Where a cell of the map was at rest: x0 = a + turn^T (x - b), in cells of the observed; (column, row) for cv2.
        step = self.light.step_m
        base = (a[:2] + turn.T @ (first * step - b[:2])) / step - self.light.first
        c, s = turn[0, 0], turn[1, 0]
        matrix = np.array([[c, -s, base[1]], [s, c, base[0]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        here = cv2.warpAffine(shown, matrix, (kept.shape[1], kept.shape[0]), flags=flags, borderValue=(1, 1, 1))
        kept *= here if weight > 0.999 else here ** np.float32(weight)


def _outline(positions: F32, directions: int) -> F64:
    """The support function [m] of particles' (J, 3) convex outline about their mean, seen from above, by direction:
    (directions,)."""
    angles = np.arange(directions) * 2 * np.pi / directions
    arm = positions[:, :2] - positions[:, :2].mean(0)
    return np.asarray((arm @ np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)).max(0), np.float64)


def _turned_by(outline: F64, angle: float) -> float:
    """The mean change of an outline's support function by a turn [rad], over its mean."""
    n = len(outline)
    turned = np.interp(np.arange(n) - angle * n / (2 * np.pi), np.arange(n), outline, period=n)
    return float(np.abs(turned - outline).mean() / max(float(outline.mean()), 1e-9))


def _ends(a: F32, strays: float) -> tuple[F32, F32]:
    """The least and the greatest of each column of a (J, ...), but for that share of J at either end."""
    cut = int(strays * len(a))
    sorted_at_ends = np.partition(a, (cut, len(a) - 1 - cut), axis=0)
    return sorted_at_ends[cut], sorted_at_ends[-1 - cut]


def _blurred(a: F32, sigma: float, o: CastOptions) -> F32:
    """Gaussian blur [cells]; a wide one is made on fewer cells."""
    import cv2

    if sigma < o.least_sigma:
        return a
    rows, columns = a.shape
    shrink = int(2 ** max(0, np.ceil(np.log2(sigma / o.coarse_sigma))))
    shrink = min(shrink, max(1, min(rows, columns) // 6))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(a, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)
    small = cv2.resize(a, (-(-columns // shrink), -(-rows // shrink)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


@njit(**KERNEL)
def _keep(lamp, room, key, ambient, least, kept):
    """kept (R, C, 3) from the shares (R, C) of lamp and room that are kept off, and what each gives (3,)."""
    for r in range(kept.shape[0]):
        for c in range(kept.shape[1]):
            for i in range(3):
                share = 1 - lamp[r, c] * key[i] - room[r, c] * ambient[i]
                kept[r, c, i] = max(np.float32(share), least)


@njit(**KERNEL)
def _fade(kept, border):
    """To 1 over the map's `border` [cells]."""
    rows, columns = kept.shape[:2]
    for r in range(rows):
        for c in range(columns):
            edge = (min(min(r, rows - 1 - r), min(c, columns - 1 - c)) - 0.5) / border
            if edge < 1:
                for i in range(3):
                    kept[r, c, i] = 1 + np.float32(max(edge, 0.0)) * (kept[r, c, i] - 1)


@njit(**KERNEL)
def _splat(positions, size, slope, edges, first, step, layers, heights, found):
    """Add each particle's area, in cells, to its layer: layers[0] where the lamp throws it, layers[1] below it; to
    heights: how many, the sum of their heights [m] and of their sizes [cells]; found: first row and column, last ones
    of what was added."""
    rows, columns = layers.shape[2], layers.shape[3]
    found[:, :, 0], found[:, :, 1] = rows, columns
    for j in range(len(positions)):
        z = max(positions[j, 2], np.float32(0))
        k = 0
        while k < len(edges) and z > edges[k]:
            k += 1
        area = size[j] * size[j]
        heights[k, 0] += 1
        heights[k, 1] += z
        heights[k, 2] += size[j]
        for way in range(2):
            x, y = positions[j, 0], positions[j, 1]
            if way == 0:
                x -= z * slope[0]
                y -= z * slope[1]
            r, c = x / step - first[0], y / step - first[1]
            r0, c0 = int(np.floor(r)), int(np.floor(c))
            if r0 < 0 or c0 < 0 or r0 >= rows - 1 or c0 >= columns - 1:
                continue
            box = found[way, k]
            box[0], box[1] = min(box[0], r0), min(box[1], c0)
            box[2], box[3] = max(box[2], r0 + 1), max(box[3], c0 + 1)
            fr, fc = np.float32(r - r0), np.float32(c - c0)
            layers[way, k, r0, c0] += area * (1 - fr) * (1 - fc)
            layers[way, k, r0, c0 + 1] += area * (1 - fr) * fc
            layers[way, k, r0 + 1, c0] += area * fr * (1 - fc)
            layers[way, k, r0 + 1, c0 + 1] += area * fr * fc
