"""Soft contact and cast shadows on the table, z = 0, and on the wall behind it, from the particles as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, F64, I64
from pw_core.light.observed import lay
from pw_core.light.occlusion import Occlusion, OcclusionOptions, Shade, fade, kept_share
from pw_core.light.wall import WallCaster, WallCastOptions
from pw_core.scene import Entity, Light


@dataclass(frozen=True, kw_only=True)
class CastOptions:
    """How shadows are cast; cells are those of the light."""

    occlusion: OcclusionOptions = OcclusionOptions()
    """How light is kept off the table."""
    wall: WallCastOptions = WallCastOptions()
    """And off the wall."""
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


class Caster:
    """Casts the shadows of entities whose particles were at `rest` [m] (J, 3); keeps what does not change."""

    def __init__(
        self, rest: F32, entities: Sequence[Entity], light: Light, *, options: CastOptions = CastOptions()
    ) -> None:
        self.light, self.options, self.rest, self.entities = light, options, rest, entities
        size = np.empty(len(rest), np.float32)
        for e in entities:
            size[e.particles] = e.particle_size_m
        self._table = Occlusion(
            rest, size, direction=light.direction, softness=light.softness, step_m=light.step_m,
            options=options.occlusion,
        )  # fmt: skip
        self.wall = None
        if light.wall is not None:
            self.wall = WallCaster(rest, size, entities, light, light.wall, options=options.wall)
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
        first, shape = self._table.map(positions)
        return first, *self._table.blocked(positions, first, shape)

    def shade(self, positions: F32) -> Shade:
        """The brightness of table and wall with the particles at `positions` [m] (J, 3): the latest again while they
        rest."""
        latest = self._latest
        if latest is None or not np.array_equal(latest[0], positions):
            latest = positions.copy(), self._shade(positions)
            self._latest = latest
        return latest[1]

    def _shade(self, positions: F32) -> Shade:
        o, light = self.options.occlusion, self.light
        first, shape = self._table.map(positions)
        kept = np.ones((*shape, 3), np.float32)
        if light.casts:
            by_lamp, by_room = bool(light.key.any()), bool(light.ambient.any())
            lamp, room = self._table.blocked(positions, first, shape, by_lamp=by_lamp, by_room=by_room)
            kept = kept_share(lamp, room, light.key, light.ambient, o.least)
        for e, observed, outline in zip(self.entities, self._observed, self._outlines):
            self._lay(kept, first, e, observed, outline, positions)
        fade(kept, o.border_cells)
        return Shade(first, kept, None if self.wall is None else self.wall.shade(positions))

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
        # Where a cell of the map was at rest: x0 = a + turn^T (x - b), in cells of the observed.
        step = self.light.step_m
        base = (a[:2] + turn.T @ (first * step - b[:2])) / step - self.light.first
        lay(kept, shown, base, turn, weight)


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
