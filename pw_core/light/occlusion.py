"""What particles keep off a plane of the lamp's and of the room's light.

Particles are sorted into layers by height. A layer at height h keeps the lamp's light off where it is projected to
along the light, blurred by h times the lamp's half angle; and the room's off as a parallel plate does: a plate's area
element at height h, r aside, takes h² / (π (r² + h²)²) of what a cell of the plane sees of an even sky (the form factor
of parallel elements), here two Gaussians. Of the layers of a body that stands the most opaque counts: for a convex one
that is exact for the sky, whose lower layers lie within the highest one's cone.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, I64
from pw_core.kernels.options import KERNEL


@dataclass(frozen=True, kw_only=True)
class OcclusionOptions:
    """How light is kept off; cells are those of the plane's grid."""

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


@dataclass(frozen=True)
class Shade:
    """The share (R, C, 3) of its display colours that the table keeps; cells as in `Light`. wall: the same of the wall,
    whose rows go up (z) and columns to the left (y); None where no shadow reaches it."""

    first: I64
    kept: F32
    wall: Shade | None = None
    _changed: dict[float, NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def changed(self, least: float) -> NDArray[np.bool_]:
        """Cells (R, C) that keep more or less of their brightness by over `least`, or the next one along rows, columns
        or both does: where what lies between the middles of cells changes. Found once for all pictures."""
        found = self._changed.get(least)
        if found is None:
            found = np.empty(self.kept.shape[:2], np.bool_)
            _find_changed(self.kept, np.float32(least), found)
            self._changed[least] = found
        return found


class Occlusion:
    """Of a plane with cells of step_m [m], by particles that were at `rest` [m] (J, 3) in its frame: two directions
    along it, whose grid's rows and columns they are, and the height above it.

    size_m (J,): of particles; direction (3,): towards the lamp, above the plane; softness: tangent of the lamp's half
    angle; sky_m: higher things keep ever less of the room's light off, and none from twice that.
    """

    def __init__(
        self, rest: F32, size_m: F32, *, direction: F64, softness: float, step_m: float, sky_m: float = np.inf,
        options: OcclusionOptions,
    ) -> None:  # fmt: skip
        self.options, self.step_m, self.sky_m, self.softness = options, step_m, sky_m, softness
        self.slope = (direction[:2] / direction[2]).astype(np.float32)
        self._coarse = options.coarse
        if max(self.map(rest)[1]) > options.most_coarse * options.coarse:
            self._coarse *= 2
        self._size = (size_m / (self._coarse * step_m)).astype(np.float32)
        top = max(float(rest[:, 2].max()), step_m)
        self._edges = (top * (np.arange(1, options.layers) / options.layers) ** options.layer_power).astype(np.float32)

    def map(self, positions: F32, *, floor_m: float = -np.inf) -> tuple[I64, tuple[int, int]]:
        """The first cell and the number of cells (R, C) that hold the things and their shadows, from rows at floor_m
        on."""
        o, step = self.options, self.step_m
        z = np.maximum(positions[:, 2], 0)
        nearest, top = (float(h) for h in _ends(z, o.strays))
        soft = o.lamp_reach * self.softness * top
        low, high = _ends(positions[:, :2] - z[:, None] * self.slope, o.strays)
        low, high = low - soft, high + soft
        if nearest < 2 * self.sky_m:
            below, above = _ends(positions[:, :2], o.strays)
            wide = o.sky_reach * min(top, 2 * self.sky_m)
            low, high = np.minimum(below - wide, low), np.maximum(above + wide, high)
        low[0] = max(low[0], floor_m)
        low, high = low / np.float32(step), np.maximum(low, high) / np.float32(step)
        middle, half = (low + high) / 2, np.minimum((high - low) / 2, o.most_cells / 2) + o.border_cells
        coarse = self._coarse
        first = coarse * np.floor((middle - half) / coarse).astype(np.int64)
        rows, columns = (coarse * (1 + int(n) // coarse) for n in np.ceil(middle + half).astype(np.int64) - first)
        return first, (rows, columns)

    def blocked(
        self, positions: F32, first: I64, shape: tuple[int, int], *, by_lamp: bool = True, by_room: bool = True
    ) -> tuple[F32, F32]:
        """The shares (R, C) of lamp's and room's light that particles at `positions` [m] (J, 3) keep off a map's cells;
        zero for the one that is not asked for, which is most of the work where the room gives nothing."""
        import cv2

        o = self.options
        coarse = self._coarse
        small = (shape[0] // coarse, shape[1] // coarse)
        layers = np.zeros((2, o.layers, *small), np.float32)
        found = np.zeros((2, o.layers, 4), np.int64)
        heights = np.zeros((o.layers, 3), np.float32)
        step = np.float32(coarse * self.step_m)
        corner = first / coarse + (coarse - 1) / (2 * coarse)  # the middle of the first coarse cell
        _splat(np.ascontiguousarray(positions), self._size, self.slope, self._edges, corner.astype(np.float32), step,
               layers, heights, found)  # fmt: skip
        lamp, room = np.zeros(small, np.float32), np.zeros(small, np.float32)
        for k in range(o.layers):
            count, height, size = (float(x) for x in heights[k])
            if count == 0:
                continue
            h, disc = height / count / step, o.disc * size / count
            if by_lamp:
                self._throw(lamp, layers[0, k], found[0, k], disc, h, ((float(self.softness), 1.0),))
            near = min(2 - h * step / self.sky_m, 1.0) if by_room and self.sky_m > 0 else 0.0
            if near > 0:
                self._throw(room, layers[1, k], found[1, k], disc, h, tuple((s, near * w) for s, w in o.plate))
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



def kept_share(lamp: F32, room: F32, key: F64, ambient: F64, least: float) -> F32:
    """The share (R, C, 3) of its brightness that a plane keeps, at `least` so much: from the shares (R, C) of lamp and
    room that are kept off, and what each gives (3,)."""
    kept = np.empty((*lamp.shape, 3), np.float32)
    _keep(lamp, room, key.astype(np.float32), ambient.astype(np.float32), np.float32(least), kept)
    return kept


def fade(kept: F32, border: int) -> None:
    """To 1 over a map's (R, C, 3) `border` [cells]."""
    _fade(kept, border)


def _ends(a: F32, strays: float) -> tuple[F32, F32]:
    """The least and the greatest of each column of a (J, ...), but for that share of J at either end."""
    cut = int(strays * len(a))
    sorted_at_ends = np.partition(a, (cut, len(a) - 1 - cut), axis=0)
    return sorted_at_ends[cut], sorted_at_ends[-1 - cut]


def _blurred(a: F32, sigma: float, o: OcclusionOptions) -> F32:
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
            dark, dim = lamp[r, c], room[r, c]
            if dark == 0 and dim == 0:
                kept[r, c, 0] = kept[r, c, 1] = kept[r, c, 2] = np.float32(1)
                continue
            for i in range(3):
                kept[r, c, i] = max(np.float32(1) - dark * key[i] - dim * ambient[i], least)


@njit(**KERNEL)
def _find_changed(kept, least, found):
    """found (R, C): as `Shade.changed` of kept (R, C, 3)."""
    rows, columns = found.shape
    above, here = np.zeros(columns + 1, np.bool_), np.zeros(columns + 1, np.bool_)
    for r in range(rows + 1):
        here[:] = False
        if r < rows:
            row = kept[r]
            for c in range(columns):
                most = max(abs(row[c, 0] - np.float32(1)), abs(row[c, 1] - np.float32(1)))
                here[c] = max(most, abs(row[c, 2] - np.float32(1))) > least
        if r > 0:
            for c in range(columns):
                found[r - 1, c] = above[c] | above[c + 1] | here[c] | here[c + 1]
        above, here = here, above


@njit(**KERNEL)
def _fade(kept, border):
    """To 1 over the map's `border` [cells]."""
    rows, columns = kept.shape[:2]
    for r in range(rows):
        c = 0
        while c < columns:
            near = min(min(r, rows - 1 - r), min(c, columns - 1 - c))
            if near > border:  # on to the border at the other end
                c = columns - 1 - border
                continue
            edge = (near - 0.5) / border
            if edge < 1:
                for i in range(3):
                    kept[r, c, i] = 1 + np.float32(max(edge, 0.0)) * (kept[r, c, i] - 1)
            c += 1


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
