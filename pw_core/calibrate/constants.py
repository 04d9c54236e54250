"""The constants that can be fitted: what they are called, what they are now, and in which units they are stepped.

Correcting the state alone repeats the same wrong physics in the next round. Names: `<entity>.youngs_modulus_pa`,
`<entity>.viscosity_pa_s`, `<entity>.yield_stress_pa`, `floor_friction`, `wind_x`, `wind_y`, `wind_z` [m/s²];
`Simulation.set_constants` takes them by these names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pw_core.scene import Scene

Estimated = Literal["stiffness", "viscosity", "yield_stress", "friction", "wind"]
_FIELDS = {
    "stiffness": ("youngs_modulus_pa", ("elastic", "plastic", "snow")),
    "viscosity": ("viscosity_pa_s", ("liquid",)),
    "yield_stress": ("yield_stress_pa", ("plastic",)),
}


@dataclass(frozen=True, kw_only=True)
class ConstantsOptions:
    """Units and bounds of what is fitted."""

    headroom: float = 2.0
    """How many times stiffer or more viscous than configured an estimate may be; shortens the simulator's substep."""
    wind_unit_m_s2: float = 2.0
    """Wind is fitted in units of so many m/s², positive constants in their logarithm."""
    smallest_value: float = 1e-3
    """A positive constant that is 0 has no logarithm: it is stepped from this value, in its own unit."""


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


def unit_of(name: str, *, options: ConstantsOptions = ConstantsOptions()) -> float:
    """What one step of the fitted variable is: in m/s² for wind, 1 (a factor e) for positive constants."""
    return options.wind_unit_m_s2 if name.startswith("wind_") else 1.0


def stepped(
    scene: Scene, parameters: dict[str, float], steps: dict[str, float], *,
    options: ConstantsOptions = ConstantsOptions(),
) -> dict[str, float]:  # fmt: skip
    """`parameters`, with each constant of `steps` moved by so many of its units."""
    out = dict(parameters)
    for name, step in steps.items():
        value = value_of(scene, parameters, name)
        if name.startswith("wind_"):
            out[name] = float(value + options.wind_unit_m_s2 * step)
        else:
            out[name] = float(max(value, options.smallest_value) * math.exp(step))
    return out
