"""What a running refinement has reached, for who wants to look at it meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pw_core.scene import AppearanceParameters, Body, PhysicsState

if TYPE_CHECKING:
    from pw_core.refine.refinement import Refinement


class Instant(NamedTuple):
    """One frame of the trajectory as corrected so far: enough to draw it, and its time [s]."""

    physics: PhysicsState
    appearance: AppearanceParameters
    time_s: float


def instant(work: Refinement, *, frame: int = -1) -> Instant:
    """A frame (default: the last) as it would be if the refinement ended now.

    The background keeps the appearance that the refinement started from: shadows are baked in at the end.
    """
    polish = work._polish
    motion = work.motion if polish is None else polish.motion_now()
    appearance = work.appearance
    if polish is not None:
        appearance = replace(polish.appearance_now(), background_sh=appearance.background_sh)
    t = frame % len(work.trajectory)
    bodies = {}
    for name in motion.shifts:
        row = motion.body(name, t)
        bodies[name] = Body(row[0:3], row[3:7], row[7:10], row[10:13])
    particles = replace(work.end.physics.particles, positions=motion.positions(work.model, t))
    return Instant(PhysicsState(particles, bodies), appearance, float(work.trajectory.times[t]))
