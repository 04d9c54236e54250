"""Which light the table and the wall behind it are in: the lamp's direction and softness, what of it things can keep
off, from their shadows in one photo.

Brightness of a plane is taken to be a quadratic in place times what the things leave of lamp and room (`Caster`); for
each of many lamps the rest is linear. What the photo shows of the table beyond that, smoothly, is kept with the thing
that it belongs to: contact shadows, reflections, lamps that were not thought of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, Camera
from pw_core.light.cast import Caster
from pw_core.light.occlusion import Shade
from pw_core.reconstruct.background.lifted import Backdrop, LiftedOptions, Lit, PlaneLevel, without_shadows
from pw_core.reconstruct.background.light_grid import (
    GridOptions,
    PlaneFit,
    PlaneSeen,
    averaged,
    fit_plane,
    on_cells,
    spread,
    table_seen,
    wall_seen,
)
from pw_core.reconstruct.background.table import TableOptions
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Light, LitWall


@dataclass(frozen=True, kw_only=True)
class LightOptions:
    """The estimate of light; sizes are shares of the things' own, levels 0 to 255."""

    grid: GridOptions = GridOptions()
    """What of the planes is looked at, and the fit to it."""
    lifted: LiftedOptions = LiftedOptions()
    """How shadows are taken off."""
    cells: int = 36
    """Of the light's grid along the things' horizontal extent."""
    search_cells: int = 30
    """The same while the lamp is looked for."""
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
    most_colored: float = 5.0
    """Largest over smallest of a lamp's shares by channel: no lamp is so coloured beside a room's light, but what
    stands beside a thing is."""
    least_explained: float = 0.05
    """Of what differs from an evenly lit table, that shadows must explain, and so much more for each unit of cost that
    they leave: else the table's pattern, or things on it, were taken for them."""
    shadow_share: float = 0.04
    """What is darker by less than this is not in shadow."""
    wall_sizes: float = 2.5
    """So near [sizes] to the things a wall's shadows tell of the lamp."""
    most_pattern_levels: float = 5.0
    """By which the half of the wall's cells differs from an even wall: one with more pattern tells nothing."""
    least_wall_shadow: float = 40.0
    """Cells' worth of a shadow on the wall that the photo would show: if it does not, none falls there."""
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
    most_level: float = 1.05
    """Of the brighter colours of the lit table: nowhere is its brightness taken to be more."""
    bright_quantile: float = 0.9
    """Of the lit table's colours over their mean: no brighter is what shadows are taken off."""
    least_kept: float = 0.08
    """Share that is kept in the deepest observed shadow."""


@dataclass(frozen=True)
class _Planes:
    """What the photo shows of the table, and of the wall where it is near and plain enough."""

    table: PlaneSeen
    wall: PlaneSeen | None


@dataclass(frozen=True)
class _Fit:
    light: Light
    cost: float
    table: PlaneFit
    wall: PlaneFit | None


def estimate_light(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], *,
    backdrop: Backdrop | None = None, options: LightOptions = LightOptions(),
    table_options: TableOptions = TableOptions(),
) -> Lit | None:  # fmt: skip
    """The light that the photo (H, W, 3) was taken in; None where too little of the table is seen, or no shadow.

    hidden (H, W): what things cover, a little more than their masks; table (H, W): pixels of the table, all others are
    the backdrop's; rest: particles [m] (J, 3); backdrop: where that stands, None where no shadow is to fall on it.
    """
    o = options
    size = float(max(np.ptp(rest[e.particles][:, :2], axis=0).max() for e in entities))
    coarse, fine = size / o.search_cells, size / o.cells

    def seen(step: float) -> _Planes:
        plane = table_seen(
            photo, hidden, table, camera, rest, size, step, options=o.grid, table_options=table_options
        )  # fmt: skip
        if backdrop is None or backdrop.x_m - rest[:, 0].max() > o.wall_sizes * size:
            return _Planes(plane, None)
        wall = wall_seen(
            photo, hidden, ~table, backdrop.x_m, camera, rest, size, step, options=o.grid, table_options=table_options
        )  # fmt: skip
        nothing = np.zeros(wall.known.shape, np.float32)
        enough = wall.known.sum() >= o.least_cells
        if not enough or fit_plane(wall, nothing, nothing, lit=False, options=o.grid).typical > o.most_pattern_levels:
            return _Planes(plane, None)
        return _Planes(plane, wall)

    rough = seen(coarse)
    if rough.table.known.sum() < o.least_cells:
        return None
    none, dark = np.zeros(3), np.zeros((len(entities), 1, 1, 3), np.float32)
    behind = None if backdrop is None else LitWall.unlit(backdrop.x_m, entities=len(entities))
    start = Light(np.array([0.0, 0, 1]), 0.2, none, none, coarse, np.zeros(2, np.int64), dark, behind)
    best = _search(rough, rest, entities, start, o)
    planes = seen(fine)
    light = replace(best.light, step_m=fine, first=planes.table.first.astype(np.int64))
    best = _fit(planes, rest, entities, light, o)
    if best.light.key.max() < o.least_share and best.light.ambient.max() < o.least_share:
        return None
    key = best.light.key
    if key.max() > o.most_colored * max(key.min(), o.least_share):
        return None
    even = _fit(planes, rest, entities, best.light, o, lit=False)
    if best.cost > (1 - o.least_explained * (1 + best.cost)) * even.cost:
        return None
    if backdrop is not None:
        best = replace(best, light=_with_wall(best, even, planes, rest, entities, backdrop, o))
    levels = _levels(planes, rest, entities, best, o)
    observed = _observed(planes.table, rest, entities, best.light, levels[0], o)
    light = replace(best.light, observed=observed)
    if light.wall is not None and planes.wall is not None:
        unseen = np.zeros((len(entities), *planes.wall.known.shape, 3), np.float32)
        light = replace(light, wall=replace(light.wall, first=planes.wall.first.astype(np.int64), observed=unseen))
    return without_shadows(
        photo, table & ~hidden, ~table & ~hidden, hidden, camera, rest, entities, light, levels, options=o.lifted
    )


def _with_wall(
    best: _Fit, even: _Fit, planes: _Planes, rest: F32, entities: Sequence[Entity], backdrop: Backdrop, o: LightOptions
) -> Light:
    """The light with what the wall is lit by: as fitted, where that explains what the photo shows of it; nothing, where
    the photo should show a shadow there and does not, or cannot be asked; else, as the things stand too far away for
    one, as a wall is that faces them in the table's light."""
    wall, light = best.light.wall, best.light
    assert wall is not None
    nothing = replace(light, wall=replace(wall, key=np.zeros(3), ambient=np.zeros(3)))
    if planes.wall is not None and best.wall is not None and even.wall is not None:
        told = max(best.wall.key.max(), best.wall.ambient.max()) >= o.least_share
        if told and best.wall.cost <= (1 - o.least_explained * (1 + best.wall.cost)) * even.wall.cost:
            return light
        lamp, room = _on_wall(Caster(rest, entities, light), planes.wall, rest)
        if (lamp + room)[planes.wall.known].sum() > o.least_wall_shadow:
            return nothing
    if not backdrop.told:
        return nothing
    # Lambert's cosines at wall and table; the room is taken to be as bright at both.
    slope = max(-light.direction[0], 0.0) / light.direction[2]
    key = slope * light.key / (slope * light.key + 1 - light.key)
    ambient = light.ambient * (1 - key) / (1 - light.key)
    lit = replace(light, wall=replace(wall, key=key, ambient=ambient))
    if planes.wall is not None:
        return lit
    # Of a wall with a pattern, or far away, it was not asked what the photo shows: its own shadow there stays painted.
    cast = Caster(rest, entities, lit).shade(rest).wall
    return nothing if cast is not None and cast.kept.min() < 1 - o.shadow_share else lit


def _search(planes: _Planes, rest: F32, entities: Sequence[Entity], start: Light, o: LightOptions) -> _Fit:
    """The lamp that explains table and wall best: a coarse search, then halved steps."""
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
            fit = _fit(planes, rest, entities, replace(start, direction=direction, softness=softness), o)
            if best is None or fit.cost < best.cost:
                best, at = fit, (azimuth, elevation, softness)
        a, e, s = at
        tried = [(a + i * turn, e + j * lift, s) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        tried += [(a, e, float(np.clip(s * f, 0.02, 0.8))) for f in (1 - soft / 2, 1 + soft)]
        turn, lift, soft = turn / 2, lift / 2, soft / 2
    assert best is not None
    return best


def _fit(
    planes: _Planes, rest: F32, entities: Sequence[Entity], light: Light, o: LightOptions, *, lit: bool = True
) -> _Fit:
    """With that lamp, or with none: shares of lamp and room, and the planes' brightness without the things."""
    caster = Caster(rest, entities, light)
    first, lamp, room = caster.blocked(rest)
    blocked = on_cells(planes.table, first, np.stack([lamp, room, lamp], -1))
    table = fit_plane(planes.table, blocked[..., 0], blocked[..., 1], lit=lit, options=o.grid)
    light = replace(light, key=table.key, ambient=table.ambient)
    if planes.wall is None or light.wall is None:
        return _Fit(light, table.cost, table, None)
    wall = fit_plane(planes.wall, *_on_wall(caster, planes.wall, rest), lit=lit, options=o.grid)
    cost = (table.cost * table.cells + wall.cost * wall.cells) / (table.cells + wall.cells)
    return _Fit(replace(light, wall=replace(light.wall, key=wall.key, ambient=wall.ambient)), cost, table, wall)


def _on_wall(caster: Caster, seen: PlaneSeen, rest: F32) -> tuple[F32, F32]:
    """The shares (R, C) of lamp and room that things keep off the wall's cells."""
    found = None if caster.wall is None else caster.wall.blocked(rest)
    if found is None:
        return np.zeros(seen.known.shape, np.float32), np.zeros(seen.known.shape, np.float32)
    first, lamp, room = found
    blocked = on_cells(seen, first, np.stack([lamp, room, lamp], -1))
    return blocked[..., 0], blocked[..., 1]


def _levels(
    planes: _Planes, rest: F32, entities: Sequence[Entity], fit: _Fit, o: LightOptions
) -> tuple[PlaneLevel, PlaneLevel | None]:
    """How bright table and wall are without things."""
    shade = Caster(rest, entities, fit.light).shade(rest)
    table = _level(planes.table, fit.table.base, on_cells(planes.table, shade.first, np.log(shade.kept)), o)
    if planes.wall is None or fit.wall is None or fit.light.wall is None or not fit.light.wall.lit:
        return table, None
    cast = np.zeros((*planes.wall.known.shape, 3), np.float32)
    if shade.wall is not None:
        cast = on_cells(planes.wall, shade.wall.first, np.log(shade.wall.kept))
    # The wall's cells begin at the table, not at the things: all of it is as far from their feet.
    return table, _level(replace(planes.wall, away=np.ones_like(planes.wall.away)), fit.wall.base, cast, o)


def _level(seen: PlaneSeen, base: F32, cast: F32, o: LightOptions) -> PlaneLevel:
    """With its pattern averaged; cast: the shadows' logarithm (R, C, 3)."""
    lit = seen.known & (np.expm1(cast).min(-1) > -o.shadow_share) & (seen.away > o.zone / 2)
    floor = o.lifted.floor_levels
    ratio = np.log((seen.colors + floor) / (base + floor)) - cast
    level = base * np.exp(averaged(ratio, lit, o.light_scale * o.cells))
    if not lit.any():
        return PlaneLevel(seen.first, level, np.ones(3, np.float32))
    # A quadratic knows no bounds where nothing lit is seen.
    level = np.minimum(level, o.most_level * np.quantile(seen.colors[lit], 0.95, axis=0)).astype(np.float32)
    above = seen.colors[lit] / level[lit]
    most = np.maximum(np.quantile(above, o.bright_quantile, axis=0), 1.0).astype(np.float32)
    return PlaneLevel(seen.first, level, most)


def _observed(
    seen: PlaneSeen, rest: F32, entities: Sequence[Entity], light: Light, plane: PlaneLevel, o: LightOptions
) -> F32:  # fmt: skip
    """Logarithm (E, R, C, 3) of what the photo shows of the shadows over what is cast: each entity's."""
    caster = Caster(rest, entities, light)
    shade = caster.shade(rest)
    cast = on_cells(seen, shade.first, np.log(shade.kept))
    dark = np.expm1(cast).min(-1) < -o.shadow_share
    floor, most = o.lifted.floor_levels, plane.most
    colors, level = seen.colors + floor, plane.colors + floor
    more = averaged(np.log(colors / level) - cast, seen.known, o.detail * o.cells)
    # Where that would leave the table brighter than it is elsewhere, the shadow is not so deep.
    too_bright = np.clip(np.log(colors / (level * most)) - cast - more, 0, np.maximum(-cast - more, 0))
    more += averaged(too_bright, seen.known, o.detail * o.cells / 2)
    reach = np.minimum(ndimage.distance_transform_edt(~dark) / o.cells, seen.away)
    # Nor does the photo tell of what is far from all that it shows, but for what is under the things.
    unseen = np.where(seen.away > 0, ndimage.distance_transform_edt(~seen.known) / o.cells, 0)
    inside = np.clip(1.5 - np.maximum(reach, unseen) / o.zone, 0, 1)[..., None]
    total = np.clip(cast + spread(more, seen.known) * inside, np.log(o.least_kept), np.log(o.most_gain)) - cast
    # Brighter than without the thing is a reflection, if by much and before the thing; else the table's own.
    gain = np.where(_before(seen, rest, entities)[..., None], np.maximum(cast + total - o.reflection, 0), 0)
    gain *= np.clip(1 - unseen / (o.zone / 4), 0, 1)[..., None]
    total = np.where(cast + total > 0, gain - cast, total)
    total = np.where(inside > 0, total, 0)
    # What is nearest to an entity's own shadow is its.
    apart = []
    for e in entities:
        own = _own(caster, rest, e)
        mine = on_cells(seen, own.first, np.log(own.kept))[..., 0] < -o.shadow_share / 2
        apart.append(ndimage.distance_transform_edt(~mine) if mine.any() else np.full(mine.shape, np.inf))
    nearest = np.argmin(apart, axis=0)
    return np.stack([np.where((nearest == i)[..., None], total, 0) for i in range(len(entities))]).astype(np.float32)


def _before(seen: PlaneSeen, rest: F32, entities: Sequence[Entity]) -> Mask:
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
