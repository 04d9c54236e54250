"""One instant of a candidate, as the terms of an objective see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pw_core.actions import Action
from pw_core.appearance import placed_positions
from pw_core.errors import ErrorCode, PlanError
from pw_core.gaussians import F32
from pw_core.scene import PhysicsState, Scene


@dataclass(frozen=True)
class Moment:
    """time_s [s] from the candidate's start; positions [m] (J, 3) of all particles, those of rigid entities where their
    bodies are; velocities [m/s] (J, 3); everything physical."""

    time_s: float
    positions: F32
    velocities: F32
    physics: PhysicsState

    @classmethod
    def of(cls, scene: Scene, physics: PhysicsState, *, time_s: float = 0.0) -> Moment:
        """That state at that time."""
        return cls(time_s, placed_positions(scene, physics), physics.particles.velocities, physics)


Measure = Callable[[Moment], float]
"""How far an instant is from what a term wants, in the term's unit; 0 is perfect."""


@dataclass(frozen=True)
class Setting:
    """What a term may prepare itself with: the scene, the state that all candidates start from, and the actions of one
    candidate."""

    scene: Scene
    start: Moment
    actions: tuple[Action, ...] = field(default=())

    def particles(self, entity: str, *, term: str) -> slice:
        """The entity's slice of the particles.

        Raises:
            PlanError (UNKNOWN_ENTITY): the scene has none of that name.
        """
        names = [e.name for e in self.scene.entities]
        if entity not in names:
            raise PlanError(f"{term}: entity '{entity}' is none of {', '.join(names)}", code=ErrorCode.UNKNOWN_ENTITY)
        return self.scene.entity(entity).particles
