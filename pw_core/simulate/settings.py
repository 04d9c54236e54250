"""Metric settings: grid, substep and domain from particle size, stiffness and where things are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F64
from pw_core.scene import Scene

STEP_S = 2e-3
"""How long a step is [s] if the config does not say: actions change once a step, frames fall on steps."""
COURANT = 0.3
GENESIS_SUBSTEP_PER_CELL = 0.02
"""Genesis suggests at most 0.02 s of substep a metre of grid cell; its explicit MPM is not stable far beyond."""
PARTICLE_SUBSTEPS_PER_S = 1e6
"""What Genesis does on one CPU core, measured; for the estimate of the wall time only."""
WALL_CELLS = 4


@dataclass(frozen=True)
class SimulationSettings:
    """What the simulator runs with. lower and upper [m] bound the domain, walls included."""

    particle_size_m: float
    grid_density: float
    substep_s: float
    substeps: int
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    particles: int
    limiting_entity: str

    @property
    def cell_m(self) -> float:
        """Width of a grid cell [m]."""
        return 1 / self.grid_density

    @property
    def step_s(self) -> float:
        """Length of a step [s]."""
        return self.substep_s * self.substeps

    @property
    def inside(self) -> tuple[F64, F64]:
        """Lower and upper corner [m] of where particles may be: the walls stand 3 cells inside the domain."""
        wall = 3 * self.cell_m
        return np.array(self.lower) + wall, np.array(self.upper) - wall

    def wall_time_s(self, duration_s: float) -> float:
        """Expected time on one CPU core [s] for that much physics, without compiling."""
        return duration_s / self.substep_s * self.particles / PARTICLE_SUBSTEPS_PER_S

    def report(self) -> str:
        """One line for people."""
        size = " x ".join(f"{b - a:.2f}" for a, b in zip(self.lower, self.upper))
        return (
            f"{self.particles} particles of {self.particle_size_m * 1e3:.1f} mm, cells of {self.cell_m * 1e3:.1f} mm, "
            f"domain {size} m, substep {self.substep_s * 1e3:.3f} ms ({self.limiting_entity}), "
            f"{self.substeps} in a step of {self.step_s * 1e3:.2f} ms, "
            f"about {self.wall_time_s(1.0):.0f} s of one CPU core a second of physics"
        )


def lame(material: Material) -> tuple[float, float]:
    """Lamé's lambda and mu [Pa]."""
    e, nu = material.youngs_modulus_pa, material.poisson_ratio
    return e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))


def substep_limit(material: Material, cell_m: float) -> float:
    """The longest stable substep [s]: a pressure wave crosses 0.3 cells, within Genesis's own limit."""
    lam, mu = lame(material)
    wave = math.sqrt((lam + (0 if material.model == "liquid" else 2 * mu)) / material.density_kg_m3)
    limit = min(COURANT * cell_m / wave, GENESIS_SUBSTEP_PER_CELL * cell_m)
    if material.model == "liquid" and material.viscosity_pa_s > 0:
        # Explicit diffusion of momentum: dx² / (6 nu) in three dimensions.
        limit = min(limit, cell_m**2 * material.density_kg_m3 / (6 * material.viscosity_pa_s))
    return limit


def choose_settings(scene: Scene) -> SimulationSettings:
    """Settings for a scene: the config's where it gives them, else chosen from sizes and materials.

    Raises:
        RolloutError (UNSTABLE): the config's substep is over the limit; the message names the entity and the limit.
    """
    config = scene.config.simulation
    soft = [e for e in scene.entities if e.kind == "deformable"]
    size = min(e.particle_size_m for e in soft or scene.entities)
    density = config.grid_density or 1 / (2 * size)
    cell = 1 / density
    limits = {e.name: substep_limit(e.material, cell) for e in soft} or {"rigid bodies": 5e-4}
    name = min(limits, key=lambda k: limits[k])
    limit = limits[name]
    if config.substep_s > limit * (1 + 1e-9):
        raise RolloutError(
            f"simulation.substep_s = {config.substep_s:g} s is unstable for '{name}': use at most {limit:.3g} s, or a "
            "softer material, or a coarser grid",
            code=ErrorCode.UNSTABLE,
        )
    substeps = config.substeps or max(1, math.ceil(STEP_S / (config.substep_s or limit) - 1e-9))
    substep = config.substep_s or (limit if config.substeps else STEP_S / substeps)
    low, high = scene.rest.min(0) - config.margin_m, scene.rest.max(0) + config.margin_m
    wall = WALL_CELLS * cell
    low[2] = -cell  # below the table there is no room to fall into
    lower = tuple(float(v) for v in low - wall)
    upper = tuple(float(v) for v in high + wall)
    particles = sum(e.particles.stop - e.particles.start for e in soft)
    return SimulationSettings(size, density, substep, substeps, lower, upper, particles, name)  # type: ignore[arg-type]
