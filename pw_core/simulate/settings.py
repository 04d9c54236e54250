"""Metric settings of the simulator: grid, substep, step and domain from a scene's sizes and materials."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pw_core.config import Material
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F64
from pw_core.limits import LIMITS
from pw_core.scene import Scene
from pw_core.simulate.materials import SNOW_STIFFEST, lame

STEP_S = 2e-3
PARTICLE_SUBSTEPS_PER_S = {"genesis": 1e6, "fast": 9e6}  # measured on one CPU core, whatever the domain
WALL_CELLS = 4  # the solver's wall stands 3 cells inside its bounds, and what leans on it stays a little short of it
FLOOR_M = 0.0  # the table's plane in the world
DEFAULT_SIZE_M = 0.01  # where nothing deforms


@dataclass(frozen=True)
class SimulationSettings:
    """What the simulator runs with.

    cell_m is the grid's spacing, substep_limit_s the longest stable substep and limited_by the entity that sets it;
    lower and upper [m] (3,) bound the domain, the walls stand three cells inside. floor_m [m] is the table's
    height. wall_s_per_s is the expected wall time of one simulated second on one CPU core.
    """

    particle_size_m: float
    grid_density: float
    cell_m: float
    substep_limit_s: float
    limited_by: str
    substeps: int
    step_s: float
    lower: F64
    upper: F64
    particles: int
    wall_s_per_s: float
    floor_m: float = FLOOR_M

    @property
    def substep_s(self) -> float:
        """Length of a substep [s]."""
        return self.step_s / self.substeps

    @property
    def smallest_radius_m(self) -> float:
        """An action's radius must be no smaller: two cells."""
        return 2 * self.cell_m

    @property
    def inside(self) -> tuple[F64, F64]:
        """Lower and upper corner [m] (3,) of where particles may be: the walls stand some cells inside the domain."""
        return self.lower + WALL_CELLS * self.cell_m, self.upper - WALL_CELLS * self.cell_m

    def report(self) -> str:
        """The settings as text, a line each."""
        size = self.upper - self.lower
        return "\n".join(
            [
                f"particles: {self.particles}, {self.particle_size_m * 1e3:.2f} mm",
                f"grid: {self.cell_m * 1e3:.2f} mm cells, domain {size[0]:.3f} x {size[1]:.3f} x {size[2]:.3f} m",
                f"substep: {self.substep_s * 1e3:.4f} ms of at most {self.substep_limit_s * 1e3:.4f} ms, "
                f"by {self.limited_by}; {self.substeps} in a step of {self.step_s * 1e3:.2f} ms",
                f"expected: about {self.wall_s_per_s:.0f} s for a simulated second on one core",
            ]
        )


def substep_limit(material: Material, cell_m: float) -> float:
    """The longest stable substep [s] of a material on a grid of that cell [m].

    Elastic waves: `0.3 dx / sqrt((lambda + 2 mu) / rho)` (CFL condition of explicit MPM; a liquid has no mu), and for a
    viscous liquid the explicit diffusion limit `0.1 rho dx^2 / viscosity`.
    """
    rho = material.density_kg_m3
    lam, mu = lame(material)
    if material.model == "snow":
        lam, mu = SNOW_STIFFEST * lam, SNOW_STIFFEST * mu
    limit = 0.3 * cell_m / math.sqrt((lam + 2 * mu) / rho)
    if material.model == "liquid" and material.viscosity_pa_s > 0:
        limit = min(limit, 0.1 * rho * cell_m**2 / material.viscosity_pa_s)
    return limit


def choose_settings(scene: Scene, *, headroom: float = 1.0) -> SimulationSettings:
    """Settings of a scene: what its config leaves at 0 is chosen, what it gives is checked.

    The substep is short enough for materials `headroom` times as stiff and viscous as the scene's.

    Raises:
        RolloutError: UNSTABLE: the config's substep is above the limit; the message names entity and limit.
            INVALID_CONFIG: more substeps or cells than a machine is meant for.
    """
    config = scene.config.simulation
    soft = [e for e in scene.entities if e.kind == "deformable"]
    size = min((e.particle_size_m for e in soft), default=DEFAULT_SIZE_M)
    density = config.grid_density or 1 / (2 * size)
    cell = 1 / density
    # The simulator's own rule knows no stiffness, only the grid; it is kept as an upper bound.
    limits = [(0.02 * cell, "the grid")] + [
        (substep_limit(_stiffer(e.material, headroom), cell), f"entity '{e.name}'") for e in soft
    ]
    limit, by = min(limits)
    if soft and config.substep_s:
        hard, culprit = min(limits[1:])
        if config.substep_s > hard:
            raise RolloutError(
                f"substep_s {config.substep_s:g} s is unstable for {culprit} on {cell * 1e3:.2f} mm cells: set "
                f"simulation.substep_s to {hard:.3g} or less (0 chooses it), or make the entity softer",
                code=ErrorCode.UNSTABLE,
            )
    # A whole number of steps between frames, so that every frame falls on a step.
    interval = scene.config.frame_interval_s
    wanted = config.substep_s or limit
    if config.substeps:
        step = interval / max(1, math.ceil(interval / (config.substeps * wanted) - 1e-9))
    else:
        step = interval / max(1, math.ceil(interval / STEP_S - 1e-9))
    substeps = max(1, math.ceil(step / wanted - 1e-9))
    if substeps > LIMITS.substeps:
        raise RolloutError(
            f"{substeps} substeps of {wanted:.3g} s in a step, at most {LIMITS.substeps} can be: {by} needs "
            f"{limit:.3g} s or less; make it softer or less viscous, or set a longer simulation.substep_s",
            code=ErrorCode.INVALID_CONFIG,
        )
    lower, upper = _domain(scene, cell, config.margin_m)
    cells = float(np.prod((upper - lower) / cell))
    if not cells <= LIMITS.grid_cells:
        raise RolloutError(
            f"the grid would have {cells:.3g} cells of {cell:.3g} m, at most {LIMITS.grid_cells:.3g} can be: lower "
            "simulation.margin_m or simulation.grid_density, or give fewer, larger particles",
            code=ErrorCode.INVALID_CONFIG,
        )
    particles = sum(e.particles.stop - e.particles.start for e in soft)
    wall = max(particles, 500) / (PARTICLE_SUBSTEPS_PER_S[config.engine] * step / substeps)
    return SimulationSettings(
        particle_size_m=size, grid_density=density, cell_m=cell, substep_limit_s=limit, limited_by=by,
        substeps=substeps, step_s=step, lower=lower, upper=upper, particles=particles, wall_s_per_s=wall,
    )  # fmt: skip


def _stiffer(material: Material, factor: float) -> Material:
    return material.model_copy(
        update={
            "youngs_modulus_pa": factor * material.youngs_modulus_pa,
            "viscosity_pa_s": factor * material.viscosity_pa_s,
        }
    )


def _domain(scene: Scene, cell: float, margin: float) -> tuple[F64, F64]:
    """Bounds [m] round all entities with room at the sides and above; below, the wall lies under the table, or as far
    away as at the sides where there is none."""
    corners = [scene.rest.min(0), scene.rest.max(0)] if len(scene.rest) else []
    for e in scene.entities:
        if len(e.mesh.vertices):
            corners += [e.mesh.vertices.min(0), e.mesh.vertices.max(0)]
    points = np.array(corners, np.float64).reshape(-1, 3)
    room = margin + WALL_CELLS * cell
    lower, upper = points.min(0) - room, points.max(0) + room
    if scene.config.has_table:
        lower[2] = min(0.0, points[:, 2].min()) - (WALL_CELLS + 3) * cell
    return np.floor(lower / cell) * cell, np.ceil(upper / cell) * cell
