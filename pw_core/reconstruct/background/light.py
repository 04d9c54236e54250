"""Which light the table is in: the lamp's direction and softness, what of it things can keep off, from their shadows in
one photo.

Brightness of the table is taken to be a quadratic in place times what the things leave of lamp and room (`Caster`);
for each of many lamps the rest is linear. What the photo shows beyond that, smoothly, is kept with the thing that it
belongs to: contact shadows, reflections, lamps that were not thought of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Camera
from pw_core.light.cast import Caster, Shade
from pw_core.light.overlay import kept
from pw_core.reconstruct.background.table import TableOptions, odd_cells, touching
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class LightOptions:
    """The estimate of light; sizes are shares of the things' own, levels 0 to 255."""

    cells: int = 36
    """Of the light's grid along the things' horizontal extent."""
    search_cells: int = 30
    """The same while the lamp is looked for."""
    reach: float = 1.6
    """How far round the things the table is looked at."""
    azimuths: int = 16
    """Directions that are tried round the compass."""
    elevations_deg: tuple[float, ...] = (25.0, 40.0, 55.0, 70.0)
    """And above the horizon."""
    least_elevation_deg: float = 18.0
    """A lower lamp's long shadows are as good as the table's own shades."""
    softnesses: tuple[float, ...] = (0.08, 0.3)
    """Tangents of the lamp's half angle that are tried: a bulb, a window."""
    refinements: int = 3
    """Rounds of halved steps round the best."""
    least_cells: int = 200
    """Of the table: fewer tell nothing."""
    least_share: float = 0.04
    """Of the brightness: a lamp or room that gives less is left out."""
    least_explained: float = 0.05
    """Of what differs from an evenly lit table, that shadows must explain, and so much more for each unit of cost that
    they leave: else the table's pattern, or things on it, were taken for them."""
    most_share: float = 0.92
    """Of the brightness that lamp and room give together at the most."""
    outlier_levels: float = 6.0
    """Residuals beyond which a cell counts less (Cauchy)."""
    nearness: float = 0.9
    """Cells so far from the things [sizes] count e times less."""
    bend_cost: float = 0.3
    """Of the quadratic's second order, against as many cells: shadows are not to be taken for it."""
    shadow_share: float = 0.04
    """What is darker by less than this is not in shadow."""
    light_scale: float = 0.5
    """Standard deviation [sizes] over which the unshadowed table's brightness is averaged."""
    detail: float = 0.07
    """Standard deviation [sizes] of what is finer than a shadow: the table's own pattern."""
    zone: float = 0.22
    """How far [sizes] from feet and cast shadow the photo's own shadow may reach."""
    most_gain: float = 1.6
    """By how much a reflection may brighten the table."""
    reflection: float = 0.15
    """Brighter by less than this [logarithm] is not by a reflection."""
    floor_levels: float = 8.0
    """Added to colours before their ratios are taken: in dark channels those are noise."""
    most_level: float = 1.05
    """Of the brighter colours of the lit table: nowhere is its brightness taken to be more."""
    bright_quantile: float = 0.9
    """Of the lit table's colours over their mean: no brighter is what shadows are taken off."""
    deep: float = 0.55
    """Share of the brightness under which a shadow is so deep that the table in it is filled from elsewhere."""
    left_share: float = 0.9
    """Of the unshadowed table's brightness: what is still darker than this with the shadow taken off is filled, too."""
    left_blur_px: float = 2.0
    """Standard deviation of the blur over which it is darker."""
    least_kept: float = 0.08
    """Share that is kept in the deepest observed shadow."""


@dataclass(frozen=True)
class _Seen:
    """The table on the light's cells: colours (R, C, 3), which are known, points [m] (R, C, 3), and how far each cell
    is from the things [sizes]."""

    first: F64
    colors: F32
    known: Mask
    points: F64
    away: F32


@dataclass(frozen=True)
class _Fit:
    light: Light
    cost: float
    base: F32
    """Brightness (R, C, 3) without the things."""


@dataclass(frozen=True)
class Lit:
    """A light; the photo without the shadows that it casts (H, W, 3), the share of it (H, W, 3) that they keep, and
    where (H, W) they are so deep that nothing is told of the table in them."""

    light: Light
    pixels: Rgb
    kept: F32
    deep: Mask


def estimate_light(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], *,
    options: LightOptions = LightOptions(), table_options: TableOptions = TableOptions(),
) -> Lit | None:  # fmt: skip
    """The light that the photo (H, W, 3) was taken in; None where too little of the table is seen, or no shadow.

    hidden (H, W): what things cover, a little more than their masks; table (H, W): pixels of the table; rest: particles
    [m] (J, 3).
    """
    size = float(max(np.ptp(rest[e.particles][:, :2], axis=0).max() for e in entities))
    coarse, fine = size / options.search_cells, size / options.cells
    rough = _seen(photo, hidden, table, camera, rest, size, coarse, options, table_options)
    if rough.known.sum() < options.least_cells:
        return None
    nothing = np.zeros((len(entities), 1, 1, 3), np.float32)
    start = Light(np.array([0.0, 0, 1]), 0.2, np.zeros(3), np.zeros(3), coarse, np.zeros(2, np.int64), nothing)
    best = _search(rough, rest, entities, start, options)
    seen = _seen(photo, hidden, table, camera, rest, size, fine, options, table_options)
    best = _fit(seen, rest, entities, replace(best.light, step_m=fine, first=seen.first.astype(np.int64)), options)
    if best.light.key.max() < options.least_share and best.light.ambient.max() < options.least_share:
        return None
    even = _fit(seen, rest, entities, best.light, options, lit=False)
    if best.cost > (1 - options.least_explained * (1 + best.cost)) * even.cost:
        return None
    level, most = _level(seen, rest, entities, best, options)
    light = replace(best.light, observed=_observed(seen, rest, entities, best.light, level, most, options))
    return _without_shadows(photo, table & ~hidden, hidden, camera, rest, entities, light, seen, level, most, options)


def kept_at(table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], light: Light) -> tuple[F32, F64]:
    """The share (H, W, 3) of its brightness that the table, pixels (H, W), keeps under the shadows of things at rest, 1
    elsewhere; and the table's points [m] (H, W, 3)."""
    depth = np.where(table, table_depth(camera), 1.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    places = np.concatenate([points[..., :2] / light.step_m, table[..., None]], -1).astype(np.float32)
    return kept(Caster(rest, entities, light).shade(rest), places).astype(np.float32), points


def _without_shadows(
    photo: Rgb, table: Mask, hidden: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], light: Light,
    seen: _Seen, level: F32, most: F32, o: LightOptions,
) -> Lit:  # fmt: skip
    """The photo's table as it would be without shadows: with a brightness of `level` (R, C, 3), of which it is nowhere
    more than `most` (3,)."""
    import cv2

    share, points = kept_at(table, camera, rest, entities, light)
    shaded = table & (np.abs(share - 1).max(-1) > o.shadow_share / 4)
    at = np.where(table[..., None], points[..., :2] / light.step_m - light.first, -10).astype(np.float32)
    even = cv2.remap(level, at[..., 1], at[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    bright = np.where(shaded[..., None], np.minimum(photo / share, np.maximum(even * most, photo)), photo)
    pixels = bright.round().clip(0, 255).astype(np.uint8)
    grey = np.where(table, bright.mean(-1) / np.maximum(even.mean(-1), 1), 0).astype(np.float32)
    soft, weight = (cv2.GaussianBlur(a, (0, 0), o.left_blur_px) for a in (grey, table.astype(np.float32)))
    left = shaded & (soft < o.left_share * weight)
    left = touching(ndimage.binary_opening(left), hidden)  # what does not reach the things is the table's pattern
    left = ndimage.binary_dilation(left, iterations=2)
    return Lit(light, pixels, share, table & ((share.min(-1) < o.deep) | left))


def _foot(rest: F32) -> F32:
    """x and y [m] (n, 2) of the lower particles."""
    return rest[rest[:, 2] < 0.35 * rest[:, 2].max() + 1e-6][:, :2] if len(rest) else rest[:, :2]


def foot_grid(rest: F32, size: float, step: float, o: LightOptions) -> tuple[F64, tuple[int, int]]:
    """The first cell, and rows and columns, of a grid round the things' feet."""
    foot = _foot(rest)
    low = np.floor((foot.min(0) - o.reach * size) / step)
    rows, columns = (np.ceil((foot.max(0) + o.reach * size) / step) - low).astype(int) + 1
    return low, (int(rows), int(columns))


def _seen(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, size: float, step: float, o: LightOptions,
    table_options: TableOptions,
) -> _Seen:  # fmt: skip
    import cv2

    low, (rows, columns) = foot_grid(rest, size, step, o)
    foot = _foot(rest)
    i, j = np.mgrid[0:rows, 0:columns]
    points = np.concatenate([(np.stack([i, j], -1) + low) * step, np.zeros((rows, columns, 1))], -1)
    uv, depth = camera.project(points)
    inside = camera.contains(uv, depth)
    # A cell is wider than a pixel and flatter: pixels of the table alone are averaged over its width.
    pixel_m = float(np.median(depth[inside])) / camera.K[0, 0] if inside.any() else step
    wide = max(0.5 * step / pixel_m, 1e-3)
    free = (table & ~hidden).astype(np.float32)
    share, sums = (
        cv2.GaussianBlur(a, (0, 0), sigmaX=wide, sigmaY=max(0.2 * wide, 1e-3)) for a in (free, photo * free[..., None])
    )
    picture = sums / np.maximum(share, 1e-3)[..., None]
    at = np.where(inside[..., None], uv - 0.5, -10).astype(np.float32)
    colors = np.asarray(
        cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    known = inside & (cv2.remap(free, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0) > 0.6)
    covered = inside & (cv2.remap(hidden.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR) > 0)
    odd = odd_cells(colors, known, table_options)
    known &= ~(odd & ~touching(odd, covered))
    near = np.zeros((rows, columns), bool)
    cells = np.floor(foot / step - low + 0.5).astype(int)
    near[cells[:, 0].clip(0, rows - 1), cells[:, 1].clip(0, columns - 1)] = True
    away = np.asarray(ndimage.distance_transform_edt(~near) * step / size, np.float32)
    return _Seen(low, colors, known, points, away)


def _search(seen: _Seen, rest: F32, entities: Sequence[Entity], start: Light, o: LightOptions) -> _Fit:
    """The lamp that explains the table best: a coarse search, then halved steps."""
    best: _Fit | None = None
    tried = [
        (azimuth, np.radians(elevation), softness)
        for azimuth in np.arange(o.azimuths) * 2 * np.pi / o.azimuths
        for elevation in o.elevations_deg
        for softness in o.softnesses
    ]
    at = tried[0]
    turn, lift, soft = np.pi / o.azimuths, np.radians(8), 0.5
    for _ in range(o.refinements + 1):
        for azimuth, elevation, softness in tried:
            elevation = float(np.clip(elevation, np.radians(o.least_elevation_deg), np.radians(88)))
            flat = np.cos(elevation)
            direction = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
            fit = _fit(seen, rest, entities, replace(start, direction=direction, softness=softness), o)
            if best is None or fit.cost < best.cost:
                best, at = fit, (azimuth, elevation, softness)
        a, e, s = at
        tried = [(a + i * turn, e + j * lift, s) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        tried += [(a, e, float(np.clip(s * f, 0.02, 0.8))) for f in (1 - soft / 2, 1 + soft)]
        turn, lift, soft = turn / 2, lift / 2, soft / 2
    assert best is not None
    return best


def _fit(
    seen: _Seen, rest: F32, entities: Sequence[Entity], light: Light, o: LightOptions, *, lit: bool = True
) -> _Fit:  # fmt: skip
    """With that lamp, or with none: shares of lamp and room, and the table's brightness without the things."""
    first, lamp, room = Caster(rest, entities, light).blocked(rest)
    blocked = _on(seen, first, np.stack([lamp, room, lamp], -1))
    known = seen.known
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in seen.known.shape)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(v), v, u, v * v, u * u, v * u, -blocked[..., 0], -blocked[..., 1]], -1)
    x, y = terms[known].astype(np.float64), seen.colors[known].astype(np.float64)
    nearness = np.exp(-seen.away[known] / o.nearness)
    ridge = np.diag([0, 0, 0, *3 * [o.bend_cost * nearness.sum() / 50], 1e-6, 1e-6])
    weight, use = nearness, np.arange(8) < (8 if lit else 6)
    for _ in range(4):
        weighed = (x * weight[:, None])[:, use]
        solved = np.linalg.solve(weighed.T @ x[:, use] + ridge[np.ix_(use, use)], weighed.T @ y)
        found = np.zeros((8, 3))
        found[use] = solved
        bad = found[6:].mean(1) < 0
        if lit and bad.any():  # no lamp takes light away
            use[6:] &= ~bad
            found[6:][bad] = 0
        gap = np.abs(y - x @ found).mean(1)
        weight = nearness / (1 + (gap / o.outlier_levels) ** 2)
    cost = float((nearness * np.log1p((gap / o.outlier_levels) ** 2)).sum() / nearness.sum())
    base = (terms[..., :6] @ found[:6]).astype(np.float32)
    foot = seen.away == 0
    mean = np.maximum(base[foot].mean(0), 1.0)
    key, ambient = (np.clip(found[i] / mean, 0, o.most_share) for i in (6, 7))
    shrink = np.minimum(1, o.most_share / np.maximum(key + ambient, 1e-6))
    return _Fit(replace(light, key=key * shrink, ambient=ambient * shrink), cost, np.maximum(base, 1))


def _on(seen: _Seen, first: np.ndarray, values: F32) -> F32:
    """A map's values (R, C, 3), whose first cell is given, on the cells of `seen`; 0 beside it."""
    out = np.zeros((*seen.known.shape, 3), np.float32)
    shift = (first - seen.first).astype(int)
    to = [slice(max(s, 0), max(min(s + n, m), 0)) for s, n, m in zip(shift, values.shape, out.shape)]
    of = [slice(t.start - s, t.stop - s) for t, s in zip(to, shift)]
    if all(t.stop > t.start for t in to):
        out[tuple(to)] = values[tuple(of)]
    return out


def _level(seen: _Seen, rest: F32, entities: Sequence[Entity], fit: _Fit, o: LightOptions) -> tuple[F32, F32]:
    """How bright the table is without things (R, C, 3), its pattern averaged; and by how much the pattern exceeds that
    (3,), nearly everywhere."""
    shade = Caster(rest, entities, fit.light).shade(rest)
    cast = _on(seen, shade.first, np.log(shade.kept))
    lit = seen.known & (np.expm1(cast).min(-1) > -o.shadow_share) & (seen.away > o.zone / 2)
    ratio = np.log((seen.colors + o.floor_levels) / (fit.base + o.floor_levels)) - cast
    level = fit.base * np.exp(_averaged(ratio, lit, o.light_scale * o.cells))
    if not lit.any():
        return level, np.ones(3, np.float32)
    # A quadratic knows no bounds where nothing lit is seen.
    level = np.minimum(level, o.most_level * np.quantile(seen.colors[lit], 0.95, axis=0)).astype(np.float32)
    above = seen.colors[lit] / level[lit]
    return level, np.maximum(np.quantile(above, o.bright_quantile, axis=0), 1.0).astype(np.float32)


def _observed(
    seen: _Seen, rest: F32, entities: Sequence[Entity], light: Light, level: F32, most: F32, o: LightOptions
) -> F32:  # fmt: skip
    """Logarithm (E, R, C, 3) of what the photo shows of the shadows over what is cast: each entity's."""
    caster = Caster(rest, entities, light)
    shade = caster.shade(rest)
    cast = _on(seen, shade.first, np.log(shade.kept))
    dark = np.expm1(cast).min(-1) < -o.shadow_share
    colors, level = seen.colors + o.floor_levels, level + o.floor_levels
    more = _averaged(np.log(colors / level) - cast, seen.known, o.detail * o.cells)
    # Where that would leave the table brighter than it is elsewhere, the shadow is not so deep.
    too_bright = np.clip(np.log(colors / (level * most)) - cast - more, 0, np.maximum(-cast - more, 0))
    more += _averaged(too_bright, seen.known, o.detail * o.cells / 2)
    reach = np.minimum(ndimage.distance_transform_edt(~dark) / o.cells, seen.away)
    # Nor does the photo tell of what is far from all that it shows, but for what is under the things.
    unseen = np.where(seen.away > 0, ndimage.distance_transform_edt(~seen.known) / o.cells, 0)
    inside = np.clip(1.5 - np.maximum(reach, unseen) / o.zone, 0, 1)[..., None]
    total = np.clip(cast + _spread(more, seen.known) * inside, np.log(o.least_kept), np.log(o.most_gain)) - cast
    # Brighter than without the thing is a reflection, if by much and before the thing; else the table's own.
    gain = np.where(_before(seen, rest, entities)[..., None], np.maximum(cast + total - o.reflection, 0), 0)
    gain *= np.clip(1 - unseen / (o.zone / 4), 0, 1)[..., None]
    total = np.where(cast + total > 0, gain - cast, total)
    total = np.where(inside > 0, total, 0)
    # What is nearest to an entity's own shadow is its.
    apart = []
    for e in entities:
        own = _own(caster, rest, e)
        mine = _on(seen, own.first, np.log(own.kept))[..., 0] < -o.shadow_share / 2
        apart.append(ndimage.distance_transform_edt(~mine) if mine.any() else np.full(mine.shape, np.inf))
    nearest = np.argmin(apart, axis=0)
    return np.stack([np.where((nearest == i)[..., None], total, 0) for i in range(len(entities))]).astype(np.float32)


def _before(seen: _Seen, rest: F32, entities: Sequence[Entity]) -> Mask:
    """Cells (R, C) between the camera, which stands at the world's origin, and the middle of a thing's foot."""
    out = np.zeros(seen.known.shape, bool)
    reach = np.maximum(np.linalg.norm(seen.points[..., :2], axis=-1), 1e-6)
    for e in entities:
        middle = rest[e.particles][:, :2].mean(0)
        half = np.ptp(rest[e.particles][:, :2], axis=0).max() / 2
        far = max(float(np.linalg.norm(middle)), 1e-6)
        along = seen.points[..., :2] @ middle / far
        aside = np.sqrt(np.maximum(reach**2 - along**2, 0))
        out |= (along < far) & (aside < half)
    return out


def _own(caster: Caster, rest: F32, e: Entity) -> Shade:
    """The shade of one entity by itself."""
    moved = replace(e, particles=slice(0, e.particles.stop - e.particles.start))
    light = replace(caster.light, observed=caster.light.observed[:1])
    return Caster(rest[e.particles], [moved], light).shade(rest[e.particles])


def _averaged(values: F32, where: Mask, sigma: float) -> F32:
    """Values (R, C, 3) blurred over the cells `where` (R, C) they are known."""
    import cv2

    weight = where.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    sums = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    out = sums / np.maximum(total, 1e-4)[..., None]
    return np.asarray(np.where((total > 1e-4)[..., None], out, 0), np.float32)


def _spread(values: F32, known: Mask) -> F32:
    """Values (R, C, 3) with what is unknown filled smoothly from what is known, the further off the smoother."""
    out, have = values.copy(), known.copy()
    sigma = 1.5
    while not have.all() and have.any() and sigma < 4 * max(known.shape):
        near = ndimage.binary_dilation(have, iterations=max(1, int(1.5 * sigma))) & ~have
        out[near] = _averaged(values, known, sigma)[near] if sigma < 3 else _averaged(out, have, sigma)[near]
        have |= near
        sigma *= 1.6
    soft = np.stack([ndimage.gaussian_filter(out[..., i], 1.5) for i in range(3)], -1)
    return np.where(ndimage.binary_erosion(known, iterations=2)[..., None], out, soft)
