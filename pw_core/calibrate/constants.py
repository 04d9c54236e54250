"""Physical constants from a corrected motion: a few scalars, fitted so that the simulator makes that motion itself.

Correcting the state alone repeats the same wrong physics in the next round. Names: `<entity>.youngs_modulus_pa`,
`<entity>.viscosity_pa_s`, `<entity>.yield_stress_pa`, `floor_friction`, `wind_x`, `wind_y`, `wind_z` [m/s²].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pw_core.rollout import Frame, record
from pw_core.scene import PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

Estimated = Literal["stiffness", "viscosity", "yield_stress", "friction", "wind"]
HEADROOM = 2.0
"""How many times stiffer or more viscous than configured an estimate may be; shortens the simulator's substep."""
_FIELDS = {
    "stiffness": ("youngs_modulus_pa", ("elastic", "plastic", "snow")),
    "viscosity": ("viscosity_pa_s", ("liquid",)),
    "yield_stress": ("yield_stress_pa", ("plastic",)),
}
WIND_UNIT = 2.0
"""Wind is fitted in units of so many m/s², positive constants in their logarithm."""


def names_of(scene: Scene, estimate: Sequence[Estimated]) -> list[str]:
    """The constants behind the words of a config, for this scene's entities."""
    out = []
    for word in estimate:
        if word == "wind":
            out += ["wind_x", "wind_y"]
        elif word == "friction":
            out.append("floor_friction")
        else:
            key, models = _FIELDS[word]
            out += [f"{e.name}.{key}" for e in scene.entities if e.material.model in models]
    return out


def value_of(scene: Scene, parameters: dict[str, float], name: str) -> float:
    """Its present value: estimated before, or the config's."""
    if name in parameters:
        return parameters[name]
    if name.startswith("wind_"):
        return 0.0
    if name == "floor_friction":
        return scene.config.simulation.floor_friction
    entity, _, key = name.rpartition(".")
    return float(getattr(scene.config.entity(entity).material, key))


def apply(simulation: Simulation, scene: Scene, parameters: dict[str, float]) -> None:
    """Give a built simulation these constants, and the config's for all that is not among them."""
    materials = {}
    for e in scene.entities:
        if e.kind != "deformable":
            continue
        own = {k.rpartition(".")[2]: v for k, v in parameters.items() if k.rpartition(".")[0] == e.name}
        materials[e.name] = scene.config.entity(e.name).material.model_copy(update=own)
    simulation.set_materials(materials)
    simulation.set_floor_friction(value_of(scene, parameters, "floor_friction"))
    simulation.set_wind(
        (
            parameters.get("wind_x", 0.0),
            parameters.get("wind_y", 0.0),
            parameters.get("wind_z", 0.0),
        )
    )


def simulate(
    simulation: Simulation, scene: Scene, start: State, trajectory: Trajectory, parameters: dict[str, float]
) -> tuple[Trajectory, PhysicsState]:
    """The trajectory's actions from its start once more, under these constants; and the last whole state."""
    apply(simulation, scene, parameters)
    simulation.reset(start.physics)
    simulation.set_actions(trajectory.actions)
    frames = []
    for k, t in enumerate(trajectory.times):
        simulation.advance_to(float(t))
        simulation.check()
        frames.append(Frame(k, float(t), k / max(len(trajectory) - 1, 1), simulation.read()))
    again, end = record(start, frames, tuple(trajectory.actions), (trajectory.id, trajectory.end))
    return again, end.physics


def unit_of(name: str) -> float:
    """What one step of the fitted variable is: in m/s² for wind, 1 (a factor e) for positive constants."""
    return WIND_UNIT if name.startswith("wind_") else 1.0


def stepped(scene: Scene, parameters: dict[str, float], steps: dict[str, float]) -> dict[str, float]:
    """`parameters`, with each constant of `steps` moved by so many of its units."""
    out = dict(parameters)
    for name, step in steps.items():
        value = value_of(scene, parameters, name)
        wind = name.startswith("wind_")
        out[name] = float(value + WIND_UNIT * step) if wind else float(max(value, 1e-3) * math.exp(step))
    return out
