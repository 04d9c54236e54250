"""What actions do in one step: slots of the force field for those on everything, impulses for those on one entity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action, Gravity, Poke, Push, Tool, Wind
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import Scene
from pw_core.simulate.settings import SimulationSettings

SLOTS = 32
FALLOFFS = {"none": 0, "linear": 1, "gaussian": 2}


@dataclass
class Active:
    """An action in force during a step: acceleration [m/s²] (3,) averaged over it, its region and whom it hits."""

    acceleration: F64
    center: F64
    radius: float  # 0: everywhere
    falloff: int
    entity: str  # empty: all


def check_actions(actions: Sequence[Action], scene: Scene, settings: SimulationSettings) -> None:
    """That every action can be done in this scene.

    Raises:
        RolloutError: UNKNOWN_ENTITY; or INVALID_ACTION for a radius under two grid cells, a tool that is not rigid, or
            more actions at a time than there are slots.
    """
    names = [e.name for e in scene.entities]
    for i, action in enumerate(actions):
        label = f"action {i} ('{action.name or action.type}')"
        if action.entity and action.entity not in names:
            raise RolloutError(
                f"{label}: there is no entity '{action.entity}'; this scene has {names}", code=ErrorCode.UNKNOWN_ENTITY
            )
        radius = getattr(action, "radius", 0.0)
        if (radius > 0 or isinstance(action, (Push, Poke))) and radius < settings.smallest_radius_m:
            raise RolloutError(
                f"{label}: radius {radius:g} m is under two grid cells: give {settings.smallest_radius_m:.4g} m or more"
                + (", or 0 for everywhere" if isinstance(action, Wind) else ""),
                code=ErrorCode.INVALID_ACTION,
            )
        if isinstance(action, Tool) and scene.entity(action.entity).kind == "deformable":
            rigid = [e.name for e in scene.entities if e.kind != "deformable"]
            raise RolloutError(
                f"{label}: a tool moves a rigid entity and '{action.entity}' is deformable; rigid are {rigid}",
                code=ErrorCode.INVALID_ACTION,
            )
    fields = [a for a in actions if not isinstance(a, Tool)]
    crowd = max((sum(b.start <= a.start < b.end for b in fields) for a in fields), default=0)
    if crowd > SLOTS - 1:
        raise RolloutError(
            f"{crowd} actions at the same time, at most {SLOTS - 1} can be: spread them out",
            code=ErrorCode.INVALID_ACTION,
        )


def weights(positions: NDArray[np.floating], center: F64, radius: float, falloff: int) -> F64:
    """How much of an action each position [m] (J, 3) feels, (J,) in 0 ... 1; the force field's kernel does the same."""
    if radius <= 0:
        return np.ones(len(positions))
    r = np.linalg.norm(positions - center, axis=1) / radius
    if falloff == 1:
        return np.asarray(np.clip(1 - r, 0, 1), np.float64)
    if falloff == 2:
        return np.where(r < 1, np.exp(-4.5 * r * r), 0.0)
    return np.where(r < 1, 1.0, 0.0)


def mean_profile(action: Action, t: float, dt: float) -> float:
    """An action's time course averaged over [t, t + dt]: 1 while it lasts; a poke's half sine peaks at 1.

    Averaging makes the impulse exact wherever steps fall.
    """
    a, b = max(t, action.start), min(t + dt, action.end)
    if b <= a:
        return 0.0
    if isinstance(action, Poke):
        w = math.pi / action.duration
        return (math.cos(w * (a - action.start)) - math.cos(w * (b - action.start))) / (w * dt)
    return 1.0 if (a, b) == (t, t + dt) else (b - a) / dt


class Schedule:
    """The actions of one rollout; says for each step what is in force. A push's mass is taken when it starts."""

    def __init__(
        self, actions: Sequence[Action], scene: Scene, *, gravity: float, masses: F64, entity_ids: NDArray[np.int32],
        wind: F64 | None = None,
    ) -> None:  # fmt: skip
        self.actions = [a for a in actions if not isinstance(a, Tool)]
        self.tools = [a for a in actions if isinstance(a, Tool)]
        self._scene, self._gravity = scene, np.array([0.0, 0.0, -gravity])
        self._masses, self._ids = masses, entity_ids
        self.wind = np.zeros(3) if wind is None else wind
        self._mass_inside: dict[int, float] = {}

    def starts_force(self, t: float, dt: float) -> bool:
        """Whether a push or poke begins in this step, so that `active` needs current positions."""
        return any(
            isinstance(a, (Push, Poke)) and i not in self._mass_inside and mean_profile(a, t, dt) > 0
            for i, a in enumerate(self.actions)
        )

    def active(self, t: float, dt: float, positions: F32 | None) -> list[Active]:
        """What is in force during [t, t + dt]; the first entry is gravity and steady wind on all.

        Raises:
            RolloutError (INVALID_ACTION): a push begins where there is nothing to push.
        """
        whole = self._gravity + self.wind
        found: list[Active] = []
        for i, action in enumerate(self.actions):
            part = mean_profile(action, t, dt)
            if part == 0.0:
                continue
            direction = np.array(action.unit)
            if isinstance(action, Gravity):
                change = part * (direction * action.magnitude - self._gravity)
                if action.entity:
                    found.append(Active(change, np.zeros(3), 0.0, 0, action.entity))
                else:
                    whole += change
                continue
            assert not isinstance(action, Tool)
            size = action.magnitude
            center, falloff = np.array(action.center), FALLOFFS[action.falloff]
            if isinstance(action, (Push, Poke)):
                size /= self._inside(i, action, positions, center, falloff)
            found.append(Active(direction * size * part, center, action.radius, falloff, action.entity))
        return [Active(whole, np.zeros(3), 0.0, 0, ""), *found]

    def _inside(self, i: int, action: Push | Poke, positions: F32 | None, center: F64, falloff: int) -> float:
        """Mass [kg] the force is shared by, weighted by the falloff so that the whole force is as asked."""
        if i not in self._mass_inside:
            assert positions is not None
            w = weights(positions, center, action.radius, falloff) * self._masses
            if action.entity:
                w = w[self._ids == self._scene.entity(action.entity).id]
            mass = float(w.sum())
            if mass <= 0:
                raise RolloutError(
                    f"action '{action.name or action.type}' begins at {action.start:g} s with nothing within "
                    f"{action.radius:g} m of {list(action.center)}: move its center or widen its radius",
                    code=ErrorCode.INVALID_ACTION,
                )
            self._mass_inside[i] = mass
        return self._mass_inside[i]
