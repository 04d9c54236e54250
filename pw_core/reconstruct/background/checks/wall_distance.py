"""Whether the wall stands where the scene file has it: things' shadows on it tell, with those on the table, how far it
is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pw_core.config import TableConfig
from pw_core.gaussians import F32, F64, Camera
from pw_core.light.cast import Caster
from pw_core.reconstruct.background.light_grid import (
    GridOptions,
    PlaneSeen,
    fit_plane,
    on_cells,
    table_seen,
    wall_seen,
)
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity, Light, LitWall


@dataclass(frozen=True, kw_only=True)
class WallDistanceOptions:
    """Which distances are tried, and when they contradict the scene file; sizes are the things' own."""

    grid: GridOptions = GridOptions()
    """What of the planes is looked at, and the fit to it."""
    cells: int = 30
    """Of the light's grid along the things' horizontal extent."""
    behind: tuple[float, ...] = (0.0, 0.15, 0.35, 0.7, 1.1, 1.6)
    """Distances [sizes] beyond the table's edge that are tried beside the scene file's."""
    reach: float = 2.5
    """So near [sizes] to the things a wall's shadows tell."""
    azimuths_deg: tuple[float, ...] = (-18.0, -12.0, -6.0, 0.0, 6.0, 12.0, 18.0)
    """Of the lamp, about what was found with the scene file's wall: on a wall alone a nearer one is a lamp more from
    the side, and the table's shadows decide."""
    elevations_deg: tuple[float, ...] = (-8.0, 0.0, 8.0)
    """Likewise."""
    least_cells: int = 200
    """Of the wall: fewer tell nothing."""
    most_pattern_levels: float = 5.0
    """By which the half of the wall's cells differs from an even wall: one with more pattern tells nothing."""
    least_explained: float = 0.4
    """Of what differs from evenly lit planes, and of the wall's alone, that shadows must explain."""
    least_cost: float = 0.1
    """Of the wall taken to be evenly lit, that shadows must take away: less are a few levels here and there."""
    most_key: float = 0.9
    """Share of the wall's brightness that a lamp may give: more is a shadow that another thing cast."""
    as_good_ratio: float = 0.85
    """Of the best's share: where the scene file's distance explains as much, it may be right."""


@dataclass(frozen=True)
class _Explained:
    """Shares that shadows explain of what differs from evenly lit planes: of both, and of the wall's; the lamp's share
    of the wall's brightness."""

    both: float
    wall: float
    key: float


def wall_distance_doubts(
    photo: Rgb, hidden: Mask, table: Mask, camera: Camera, rest: F32, entities: Sequence[Entity], light: Light,
    given: TableConfig, *, options: WallDistanceOptions = WallDistanceOptions(),
) -> list[str]:  # fmt: skip
    """A contradiction between `given.backdrop_m` and the shadows that the photo (H, W, 3) shows on the wall, with what
    would fit.

    hidden (H, W): what things cover; table (H, W): pixels of the table, all others are the wall's; rest: particles [m]
    (J, 3); light: as it was found with the wall where the scene file has it.
    """
    o = options
    size = float(max(np.ptp(rest[e.particles][:, :2], axis=0).max() for e in entities))
    farthest = float(rest[:, 0].max()) + o.reach * size
    if not light.casts or given.edge_m > farthest:
        return []
    step = size / o.cells
    ground = table_seen(photo, hidden, table, camera, rest, size, step, options=o.grid)
    found: dict[float, _Explained] = {}
    for behind in sorted({given.backdrop_m, *(b * size for b in o.behind)}):
        x = given.edge_m + behind
        if not rest[:, 0].max() < x <= farthest:
            continue
        wall = wall_seen(photo, hidden, ~table, x, camera, rest, size, step, options=o.grid)
        if wall.known.sum() >= o.least_cells:
            found[behind] = _explained(ground, wall, x, rest, entities, light, step, o)
    if not found:
        return []
    best = max(found, key=lambda b: found[b].both)
    top, own = found[best], found.get(given.backdrop_m)
    if min(top.both, top.wall) < o.least_explained or top.key > o.most_key:
        return []
    if own is not None and own.both >= o.as_good_ratio * top.both:
        return []
    why = "no shadow of the things would be seen on it" if own is None else "its shadows would fall elsewhere"
    return [
        f"the things' shadows on the wall fit one {best:.2g} m beyond the table's end, and by the scene file "
        f"(table.backdrop_m {given.backdrop_m:g}) {why}: table.backdrop_m {best:.2g} would fit"
    ]


def _explained(
    ground: PlaneSeen, wall: PlaneSeen, x_m: float, rest: F32, entities: Sequence[Entity], light: Light, step: float,
    o: WallDistanceOptions,
) -> _Explained:  # fmt: skip
    """With the wall at x_m [m], by the lamp near the given one that explains most."""
    planes = (ground, wall)
    nothing = [np.zeros(p.known.shape, np.float32) for p in planes]
    even = [fit_plane(p, n, n, lit=False, options=o.grid) for p, n in zip(planes, nothing)]
    if even[1].typical > o.most_pattern_levels:
        return _Explained(0.0, 0.0, 0.0)
    cells = [e.cells for e in even]
    unlit, dark = LitWall.unlit(x_m, entities=len(entities)), np.zeros((len(entities), 1, 1, 3), np.float32)
    start = replace(light, step_m=step, first=np.zeros(2, np.int64), observed=dark, wall=unlit)
    best = _Explained(0.0, 0.0, 0.0)
    for direction in _directions(light.direction, o):
        caster = Caster(rest, entities, replace(start, direction=direction))
        on_wall = None if caster.wall is None else caster.wall.blocked(rest)
        if on_wall is None:
            continue
        fits = []
        for plane, (first, lamp, room) in zip(planes, (caster.blocked(rest), on_wall)):
            kept_off = on_cells(plane, first, np.stack([lamp, room, lamp], -1))
            fits.append(fit_plane(plane, kept_off[..., 0], kept_off[..., 1], lit=True, options=o.grid))
        left, whole = (np.dot([f.cost for f in each], cells) for each in (fits, even))
        both = 1 - float(left / max(whole, 1e-9))
        if both > best.both:
            less = even[1].cost - fits[1].cost
            best = _Explained(both, less / even[1].cost if less > o.least_cost else 0.0, float(fits[1].key.mean()))
    return best


def _directions(about: F64, o: WallDistanceOptions) -> list[F64]:
    azimuth, elevation = np.arctan2(about[1], about[0]), np.arcsin(np.clip(about[2], -1, 1))
    out = []
    for a in azimuth + np.radians(o.azimuths_deg):
        for e in np.clip(elevation + np.radians(o.elevations_deg), np.radians(5), np.radians(88)):
            out.append(np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]))
    return out
