"""Physical constants by name, checked against a scene and the settings that its simulation was built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F64
from pw_core.scene import Entity, Scene
from pw_core.simulate.settings import SimulationSettings, substep_limit


@dataclass(frozen=True)
class Constants:
    """Materials of the deformable entities by name, Coulomb's coefficient of the table, steady wind [m/s²] (3,)."""

    materials: dict[str, Material]
    friction: float
    wind: F64


def resolve(constants: Mapping[str, float], scene: Scene) -> Constants:
    """These constants, and the config's for all that is not among them.

    Args:
        constants: by name: `<entity>.<field of Material>` of a deformable entity, `floor_friction`, `wind_x`,
            `wind_y`, `wind_z` [m/s²].

    Raises:
        RolloutError (INVALID_ACTION): a friction below 0, a wind that is not finite.
    """
    config = scene.config
    friction = constants.get("floor_friction", config.simulation.floor_friction)
    check_friction(friction)
    wind = check_wind((constants.get("wind_x", 0.0), constants.get("wind_y", 0.0), constants.get("wind_z", 0.0)))
    materials = {}
    for e in scene.entities:
        if e.kind == "deformable":
            own = {k.rpartition(".")[2]: v for k, v in constants.items() if k.rpartition(".")[0] == e.name}
            materials[e.name] = config.entity(e.name).material.model_copy(update=own)
    return Constants(materials, friction, wind)


def check_materials(materials: Mapping[str, Material], scene: Scene, settings: SimulationSettings) -> None:
    """That entities can have these in a simulation that was built with those settings.

    Raises:
        RolloutError: UNKNOWN_ENTITY; INVALID_ACTION for another model or density, or a deformable's friction, which
            need a new build; UNSTABLE for a material too stiff or viscous for the substep that was built.
    """
    names = [e.name for e in scene.entities]
    for name, material in materials.items():
        if name not in names:
            raise RolloutError(
                f"material of '{name}': there is no such entity; this scene has {names}",
                code=ErrorCode.UNKNOWN_ENTITY,
            )
        _check_material(scene.entity(name), material, settings)


def _check_material(entity: Entity, new: Material, settings: SimulationSettings) -> None:
    old = entity.material
    fixed = ["model", "density_kg_m3"] + (["friction"] if entity.kind == "deformable" else [])
    changed = [f for f in fixed if getattr(old, f) != getattr(new, f)]
    if changed:
        raise RolloutError(
            f"material of '{entity.name}': {', '.join(changed)} cannot change in a built simulation: build another "
            "from a scene that has it",
            code=ErrorCode.INVALID_ACTION,
        )
    if entity.kind != "deformable":
        return
    limit = substep_limit(new, settings.cell_m)
    if settings.substep_s > limit:
        raise RolloutError(
            f"material of '{entity.name}' needs substeps of {limit:.3g} s and this simulation was built with "
            f"{settings.substep_s:.3g} s: build it with more headroom, or take a softer material",
            code=ErrorCode.UNSTABLE,
        )


def check_friction(friction: float) -> None:
    """RolloutError (INVALID_ACTION) below 0."""
    if not friction >= 0:
        raise RolloutError(f"floor friction must be 0 or more, got {friction}", code=ErrorCode.INVALID_ACTION)


def check_wind(acceleration: tuple[float, float, float]) -> F64:
    """The wind [m/s²] (3,); RolloutError (INVALID_ACTION) unless it is three finite numbers."""
    wind = np.array(acceleration, np.float64)
    if wind.shape != (3,) or not np.isfinite(wind).all():
        raise RolloutError(
            f"wind must be three finite numbers [m/s²], got {acceleration}", code=ErrorCode.INVALID_ACTION
        )
    return wind
