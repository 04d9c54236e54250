"""Actions as accelerations of particles and wrenches on bodies, evaluated between steps, so that nothing recompiles.

Genesis's force fields act at grid nodes and know no entities. Here every action is a velocity impulse of each particle
(or body) it reaches, once a step: one entity can be singled out, forces add up exactly, and any sequence of actions
runs on kernels that are already there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action, Gravity, Poke, Push, Tool, Wind
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import Entity, Scene

F64 = NDArray[np.float64]


def falloff(action: Wind | Push | Poke, points: F64) -> F64:
    """The strength of an action at `points` [m] (n, 3), between 0 and 1, shape (n,)."""
    if action.radius == 0:
        return np.ones(len(points))
    r = np.linalg.norm(points - np.array(action.center), axis=1) / action.radius
    inside = (r <= 1).astype(np.float64)
    if action.falloff == "linear":
        return inside * (1 - r)
    if action.falloff == "gaussian":
        return np.exp(-2 * r * r)
    return inside


def validate(actions: Sequence[Action], scene: Scene, *, cell_m: float) -> None:
    """Refuse what cannot be simulated.

    Raises:
        RolloutError: UNKNOWN_ENTITY; INVALID_ACTION for a radius under two grid cells, or a tool that is not rigid.
    """
    entities = {e.name: e for e in scene.entities}
    for action in actions:
        label = f"action '{action.name or action.type}'"
        if action.entity and action.entity not in entities:
            raise RolloutError(
                f"{label}: entity '{action.entity}' is none of {', '.join(entities)}", code=ErrorCode.UNKNOWN_ENTITY
            )
        if isinstance(action, Tool) and entities[action.entity].kind == "deformable":
            raise RolloutError(
                f"{label}: '{action.entity}' is {entities[action.entity].material.model}, and only rigid entities can "
                "be moved along poses",
                code=ErrorCode.INVALID_ACTION,
            )
        if isinstance(action, (Wind, Push, Poke)) and 0 < action.radius < 2 * cell_m:
            raise RolloutError(
                f"{label}: radius {action.radius:g} m is under two grid cells ({2 * cell_m:.3g} m): too small",
                code=ErrorCode.INVALID_ACTION,
            )


@dataclass
class Forces:
    """The actions of one rollout. Times are those of steps: an action acts on steps that begin while it lasts."""

    actions: tuple[Action, ...]
    gravity_m_s2: float
    _mass_inside: dict[int, float] = field(default_factory=dict)

    def gravity(self, t: float, entity: Entity | None = None) -> F64:
        """Acceleration of gravity [m/s²] (3,) at `t`; the last gravity action that lasts replaces the scene's."""
        out = np.array([0.0, 0.0, -self.gravity_m_s2])
        for action in self.actions:
            if isinstance(action, Gravity) and active(action, t):
                if action.entity and (entity is None or entity.name != action.entity):
                    continue
                out = action.magnitude * np.array(action.unit)
        return out

    def accelerations(
        self, t: float, entity: Entity, points: F64, masses: F64, total_inside: dict[int, float]
    ) -> F64 | None:
        """Acceleration [m/s²] (n, 3) of an entity's points beyond gravity; None where no action reaches it.

        `total_inside` holds, per action, the mass [kg] inside at its start, over all entities it may act on.
        """
        out: F64 | None = None
        for i, action in enumerate(self.actions):
            if not isinstance(action, (Wind, Push, Poke)) or not active(action, t):
                continue
            if action.entity and action.entity != entity.name:
                continue
            weight = falloff(action, points)
            if not weight.any():
                continue
            strength = action.magnitude
            if isinstance(action, Poke):
                strength *= math.sin(math.pi * (t - action.start) / action.duration)
            if not isinstance(action, Wind):
                mass = total_inside.get(i, 0.0)
                if mass <= 0:
                    continue
                strength /= mass
            term = strength * weight[:, None] * np.array(action.unit)
            out = term if out is None else out + term
        return out

    def starting(self, t: float) -> list[tuple[int, Push | Poke]]:
        """Pushes and pokes that act now and whose mass has not been weighed yet."""
        return [
            (i, a)
            for i, a in enumerate(self.actions)
            if isinstance(a, (Push, Poke)) and active(a, t) and i not in self._mass_inside
        ]

    def weigh(self, index: int, mass: float) -> None:
        """Remember the (falloff-weighted) mass [kg] that an action reaches at its start."""
        self._mass_inside[index] = mass

    @property
    def mass_inside(self) -> dict[int, float]:
        """Mass [kg] by action index."""
        return self._mass_inside

    def tool(self, t: float, entity: Entity) -> Tool | None:
        """The tool action that holds a rigid entity now, if any."""
        for action in self.actions:
            if isinstance(action, Tool) and action.entity == entity.name and active(action, t):
                return action
        return None


def active(action: Action, t: float) -> bool:
    """Whether an action lasts at `t` [s]; the tolerance keeps sums of steps from losing the first one."""
    return action.start - 1e-9 <= t < action.end - 1e-9


def tool_pose(action: Tool, t: float, start_position: F64, start_orientation: F64) -> tuple[F64, F64]:
    """Position [m] (3,) and orientation wxyz (4,) of a held entity at `t` [s]: straight and slerped between poses."""
    from scipy.spatial.transform import Rotation, Slerp

    times = np.array(action.times)
    positions = np.array([p.position for p in action.poses])
    turns = Rotation.from_quat(np.array([p.orientation for p in action.poses])[:, [1, 2, 3, 0]])
    if action.relative:
        positions = positions + start_position
        turns = turns * Rotation.from_quat(start_orientation[[1, 2, 3, 0]])
    elif times[0] > 0:
        times = np.concatenate([[0.0], times])
        positions = np.vstack([start_position, positions])
        turns = Rotation.concatenate([Rotation.from_quat(start_orientation[[1, 2, 3, 0]]), turns])
    s = float(np.clip(t - action.start, times[0], times[-1]))
    position = np.array([np.interp(s, times, positions[:, k]) for k in range(3)])
    turn = turns[0] if len(times) == 1 else Slerp(times, turns)(s)
    return position, turn.as_quat()[[3, 0, 1, 2]]
