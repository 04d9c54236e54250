"""Shadows on the wall behind the table: those on a plane, in the wall's frame.

Rows of its cells go up (z), columns to the left (y); the height above it is how far a particle stands before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, I64
from pw_core.light.observed import lay
from pw_core.light.occlusion import Occlusion, OcclusionOptions, Shade, fade, kept_share
from pw_core.scene import Entity, Light, LitWall


@dataclass(frozen=True, kw_only=True)
class WallCastOptions:
    """How shadows are cast on it."""

    occlusion: OcclusionOptions = OcclusionOptions(layers=3)
    """How light is kept off: from where things stand, most of it is soft."""
    sky_sizes: float = 1.0
    """What is further before it than this [sizes of the things] keeps ever less of the room's light off it."""
    below_sizes: float = 0.1
    """So far [sizes] below the table it is shaded: further down the table hides it."""
    near_ratio: float = 0.5
    """Of an entity's size: nearer to the wall or further from it by so much, what the photo showed counts e times
    less."""
    change_ratio: float = 0.3
    """The same for how far its particles have moved from where a sliding body's were [root mean square]."""
    lookups: int = 800
    """Particles of an entity by which its motion is told."""
    least_weight: float = 0.01
    """With which what the photo showed still counts."""
    least_slope: float = 0.1
    """Of the light's way towards the wall, over its whole way: a lamp that grazes it casts no shadow that is told."""


class WallCaster:
    """Casts on the wall what entities, whose particles of size_m [m] (J,) were at `rest` [m] (J, 3), keep off it."""

    def __init__(
        self, rest: F32, size_m: F32, entities: Sequence[Entity], light: Light, wall: LitWall, *,
        options: WallCastOptions = WallCastOptions(),
    ) -> None:  # fmt: skip
        self.light, self.wall, self.options = light, wall, options
        thing = float(np.ptp(rest, axis=0).max())
        self._floor = -options.below_sizes * thing
        # While it is not known what lights it both are asked for.
        self._sky = options.sky_sizes * thing if wall.ambient.any() or not wall.lit else 0.0
        x, y, z = light.direction
        self._before = -x > options.least_slope  # a lamp behind the wall throws nothing on it
        toward = np.array([z, y, -x]) if self._before else np.array([0.0, 0.0, 1.0])
        self._rest = self._in_frame(rest)
        self._observed = [(e.particles, np.exp(o)) for e, o in zip(entities, wall.observed) if o.any()]
        self._plane = Occlusion(
            self._rest, size_m, direction=toward, softness=light.softness, step_m=light.step_m,
            sky_m=self._sky, options=options.occlusion,
        )  # fmt: skip

    def _in_frame(self, positions: F32) -> F32:
        return np.stack([positions[:, 2], positions[:, 1], self.wall.x_m - positions[:, 0]], -1).astype(np.float32)

    def blocked(self, positions: F32) -> tuple[I64, F32, F32] | None:
        """The first cell, and the shares (R, C) of the lamp's and of the room's light that particles at `positions` [m]
        (J, 3) keep off; None where no shadow reaches it."""
        return self._blocked(self._in_frame(positions))

    def _blocked(self, there: F32) -> tuple[I64, F32, F32] | None:
        """The same of positions in the wall's frame."""
        up, away = there[:, 0], np.maximum(there[:, 2], 0)
        soft = self.options.occlusion.lamp_reach * self.light.softness
        thrown = self._before and bool((up + away * (soft - self._plane.slope[0]) > 0).any())
        if not thrown and away.min() > 2 * self._sky:
            return None
        first, shape = self._plane.map(there, floor_m=self._floor)
        lamp, room = self._plane.blocked(there, first, shape)
        return first, lamp if self._before else np.zeros_like(lamp), room

    def shade(self, positions: F32) -> Shade | None:
        """Its brightness with the particles at `positions` [m] (J, 3)."""
        if not self.wall.lit:
            return None
        there = self._in_frame(positions)
        found = self._blocked(there)
        if found is None:
            return None
        first, lamp, room = found
        o = self.options.occlusion
        kept = kept_share(lamp, room, self.wall.key, self.wall.ambient, o.least)
        for particles, share in self._observed:
            self._lay(kept, first, share, self._rest[particles], there[particles])
        fade(kept, o.border_cells)
        return Shade(first, kept)

    def _lay(self, kept: F32, first: I64, share: F32, rest: F32, now: F32) -> None:
        """Multiply by what the photo showed of an entity's shadow (R, C, 3) where the lamp throws it now, as far as the
        entity stands as it stood."""
        o = self.options
        every = max(1, len(rest) // o.lookups)
        rest, now = rest[::every].astype(np.float64), now[::every].astype(np.float64)
        shift = now.mean(0) - rest.mean(0)
        size = float(np.sqrt(((rest - rest.mean(0)) ** 2).sum(1).mean())) + 1e-9
        change = np.sqrt(((now - rest - shift) ** 2).sum(1).mean()) / (o.change_ratio * size)
        weight = float(np.exp(-(change**2) - (shift[2] / (o.near_ratio * size)) ** 2))
        if weight < o.least_weight:
            return
        thrown = (shift[:2] - shift[2] * self._plane.slope) / self.light.step_m
        lay(kept, share, first - thrown - self.wall.first, np.eye(2), weight)
