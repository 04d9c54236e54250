"""A trajectory once more, under other constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pw_core.rollout import Frame, record
from pw_core.scene import PhysicsState, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


def replay(
    simulation: Simulation, start: State, trajectory: Trajectory, constants: dict[str, float]
) -> tuple[Trajectory, PhysicsState]:
    """The trajectory's actions from its start, at its times, under these constants; and the last whole state.

    Raises:
        RolloutError: the simulator does not get through with them.
    """
    simulation.set_constants(constants)
    simulation.reset(start.physics)
    simulation.set_actions(trajectory.actions)
    frames = []
    for k, t in enumerate(trajectory.times):
        simulation.advance_to(float(t))
        simulation.check()
        frames.append(Frame(k, float(t), k / max(len(trajectory) - 1, 1), simulation.read()))
    again, end = record(start, frames, tuple(trajectory.actions), (trajectory.id, trajectory.end))
    return again, end.physics
