"""What a `Simulation` asks of the engine under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, PhysicsState, Scene
from pw_core.simulate.actions import Active

COUPLING_CELLS = 0.5
"""How far a rigid surface reaches on the grid (e-folding length, in cells). Under a pressed rolling pin the dough's
surface then lies within a quarter of a cell of the pin's; with less it creeps in, with more it keeps away."""
HELD_ARMATURE = 1e5
"""What a hand adds to the mass [kg] and the inertia [kg m²] of the body that it holds."""


class Diverged(Exception):
    """Something is at no finite position, or so far away that the engine cannot go on."""


class BodyHandle(Protocol):
    """A rigid body in an engine."""

    def read(self) -> Body:
        """Pose and twist now, in the world's frame."""
        ...

    def write(self, body: Body) -> None:
        """Put pose and twist in place, so that a twist that was read is written back to the bit."""
        ...

    def hold(self, held: bool) -> None:
        """Whether it is as heavy as a mountain, so that what it presses cannot push it back."""
        ...

    def take_coupling(self) -> tuple[F64, F64]:
        """Force [N] and torque [N m] about its centre that deformables gave it in the last substep; then none."""
        ...


class Engine(Protocol):
    """Particles of the deformable entities, one after another, and rigid bodies by name."""

    @property
    def bodies(self) -> Mapping[str, BodyHandle]:
        """Rigid entities by name."""
        ...

    def read_particles(self) -> dict[str, NDArray[Any]]:
        """Their arrays under the names of `Particles`, as copies."""
        ...

    def write_particles(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put their whole state in place, exactly."""
        ...

    def write_materials(self, rows: F64) -> None:
        """Rows of `materials.parameters`, one a deformable entity, from the next substep on."""
        ...

    def hold(self, positions: F32) -> None:
        """Nodes that deformables' particles at these positions [m] (n, 3) reach stay at rest from now on, no others."""
        ...

    def write_friction(self, body: str, friction: float) -> None:
        """Coulomb's coefficient between deformables and that body; empty: the table."""
        ...

    def write_slots(self, active: list[Active]) -> None:
        """The accelerations in force, at most `actions.SLOTS`."""
        ...

    def step(self) -> None:
        """One step of `settings.substeps` substeps.

        Raises:
            Diverged: it cannot go on; the state is that of where it stopped.
        """
        ...


class Runner(Protocol):
    """What a `Simulation` drives: all of a scene's physics, step by step on the CPU, many steps at a time on a GPU."""

    @property
    def steps_at_a_time(self) -> int:
        """How many steps one call of `advance` may take."""
        ...

    def write_materials(self, scene: Scene) -> None:
        """Put the materials of the scene's deformable entities in force, from the next substep on."""
        ...

    def write_friction(self, body: str, friction: float) -> None:
        """Coulomb's coefficient between deformables and that body; empty: of everything against the table."""
        ...

    def reset(self, physics: PhysicsState) -> None:
        """Put the whole state in place, exactly; time begins anew."""
        ...

    def set_actions(self, actions: Sequence[Action], *, wind: F64) -> None:
        """What happens from now on, times counted from the last reset; wind [m/s²] (3,): steady, on everything."""
        ...

    def set_wind(self, wind: F64) -> None:
        """Another steady wind [m/s²] (3,) from now on; the actions stay."""
        ...

    def advance(self, steps: int) -> None:
        """Take that many steps; a GPU may still be at work on them afterwards.

        Raises:
            Diverged: it cannot go on. RolloutError (INVALID_ACTION): a push begins where there is nothing.
        """
        ...

    def wait(self) -> None:
        """Until all steps are taken; raises what `advance` does."""
        ...

    def positions(self) -> F32:
        """Of all particles [m] (J, 3)."""
        ...

    def read(self) -> PhysicsState:
        """The whole physical state, as copies."""
        ...
