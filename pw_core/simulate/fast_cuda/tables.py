"""What the kernels read: constants, units and actions of many worlds as plain arrays. No GPU is needed to make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action, Gravity, Poke, Push, Tool
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import Scene
from pw_core.simulate.actions import FALLOFFS
from pw_core.simulate.materials import COLUMNS, parameters, volume_share
from pw_core.simulate.settings import SimulationSettings

MODELS = {"elastic": 0, "plastic": 1, "snow": 2, "liquid": 3}  # laws.cu: Model
MODEL, MASS, ROW_SIZE = 0, 5, 8  # laws.cu: Row
UNITS_SIZE = 4  # transfer.cu: Units
ACTION_SIZE = 16  # step.cu: Action
SLOTS = 32  # block.cu: MOST_SLOTS
STEADY, HALF_SINE = 1, 2
ALL = -1
WALL_PADDING = 3  # cells between the domain's bounds and its walls, as in Genesis
FOREVER = 1e30


@dataclass(frozen=True, kw_only=True)
class UnitOptions:
    """How finely nodes count mass and momentum: 32-bit integers hold 2^31 units."""

    mass_bits: int = 22
    """The heaviest particle has up to 2^this units; a node holds at least 512 of it."""
    speed_cells: float = 16.0
    """The most momentum that a node holds: the heaviest particle's at this many cells a substep. A packed node holds
    eight particles, and explicit MPM is unstable long before a particle moves by one cell."""


@dataclass(frozen=True)
class Domain:
    """The grid: cell [m], substep [s], substeps in a step, the lowest node counted from the world's origin, how many
    nodes (3,), and between which positions [m] the walls let particles be; volume [m³] of a particle."""

    cell_m: float
    substep_s: float
    substeps: int
    lowest: tuple[int, int, int]
    nodes: tuple[int, int, int]
    low_wall: tuple[float, float, float]
    high_wall: tuple[float, float, float]
    volume_m3: float

    @property
    def step_s(self) -> float:
        """Length of a step [s]."""
        return self.substep_s * self.substeps

    @classmethod
    def of(cls, settings: SimulationSettings) -> Domain:
        """The grid that Genesis would make from these settings."""
        lower = np.round(settings.grid_density * settings.lower).astype(int)
        upper = np.round(settings.grid_density * settings.upper).astype(int)
        room = WALL_PADDING * settings.cell_m
        return cls(
            settings.cell_m, settings.substep_s, settings.substeps, _three(lower), _three(upper - lower + 1),
            _three(settings.lower + room), _three(settings.upper - room), settings.particle_size_m**3,
        )  # fmt: skip


def _three(values: NDArray[np.generic]) -> tuple[int, int, int]:
    a, b, c = values.tolist()
    return a, b, c


def constants(scene: Scene, settings: SimulationSettings) -> F32:
    """Rows of the deformable entities' constants (E, ROW_SIZE): model, those of `materials.parameters`, a particle's
    mass [kg]."""
    size = settings.particle_size_m
    soft = [e for e in scene.entities if e.kind == "deformable"]
    rows = np.zeros((len(soft), ROW_SIZE), np.float32)
    for row, entity in zip(rows, soft, strict=True):
        row[MODEL] = MODELS[entity.material.model]
        row[1 : 1 + COLUMNS] = parameters(entity, particle_size_m=size, substep_s=settings.substep_s)
        row[MASS] = entity.material.density_kg_m3 * volume_share(entity, size) * size**3
    return rows


def particle_entities(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which of the scene's particles deform (J,), and the row of their constants (J,)."""
    soft = [e for e in scene.entities if e.kind == "deformable"]
    index = [np.arange(e.particles.start, e.particles.stop) for e in soft]
    rows = [np.full(len(i), n, np.int32) for n, i in enumerate(index)]
    return np.concatenate(index or [np.zeros(0, np.int64)]), np.concatenate(rows or [np.zeros(0, np.int32)])


def units(rows: F32, friction: float | F32, domain: Domain, options: UnitOptions = UnitOptions()) -> tuple[F32, F32]:
    """Mass units a kg, momentum units a kg m/s and the floor's friction, (W, UNITS_SIZE); and the constants with masses
    that are whole numbers of units, which moves them by 1e-7: in a mass that rounding changes on the way to the grid, a
    body would lose or gain that share of its momentum each substep.

    They follow from a world's own constants (W, E, ROW_SIZE) alone, so that a world gives the same bits in any batch.
    """
    rows = np.array(rows, np.float32)
    heaviest = rows[..., MASS].max(1).astype(np.float64)
    out = np.zeros((len(rows), UNITS_SIZE), np.float32)
    fastest = options.speed_cells * domain.cell_m / domain.substep_s
    # Powers of two: multiplying by them is exact.
    out[:, 0] = 2.0 ** np.floor(options.mass_bits - np.log2(heaviest))
    out[:, 1] = 2.0 ** np.floor(31 - np.log2(fastest * heaviest))
    out[:, 2] = friction
    rows[..., MASS] = np.rint(rows[..., MASS] * out[:, :1]) / out[:, :1]
    return out, rows


def schedule(
    actions: Sequence[Action], scene: Scene, *, gravity: float, wind: F64 | None = None, length: int = 0
) -> F64:
    """One world's actions as the kernels read them (A, ACTION_SIZE); the first row is gravity and steady wind on all.

    The columns: acceleration [m/s²] or force [N] (3,), centre [m] (3,), radius [m] (0: everywhere), falloff, start
    and end [s] from the rollout's start, kind (0: none), the entity it acts on (-1: all; first those that deform, then
    the rigid ones), whether the mass inside shares it, and that mass [kg], which the first step of a push writes.
    Tools have a table of their own, see `bodies.tool_rows`.

    Args:
        length: of the table, filled up with rows that do nothing; 0: as long as need be.

    Raises:
        RolloutError (INVALID_ACTION): more actions than slots.
    """
    names = [e.name for e in sorted(scene.entities, key=lambda e: e.kind != "deformable")]
    whole = np.array([0.0, 0.0, -gravity])
    base = np.zeros(ACTION_SIZE)
    base[:3] = whole if wind is None else whole + wind
    base[8:12] = -1.0, FOREVER, STEADY, ALL
    rows = [base]
    for action in actions:
        if isinstance(action, Tool):
            continue
        row = np.zeros(ACTION_SIZE)
        row[:3] = np.array(action.unit) * action.magnitude
        if isinstance(action, Gravity):
            row[:3] -= whole
        else:
            row[3:8] = *action.center, action.radius, FALLOFFS[action.falloff]
        row[8:12] = action.start, action.end, STEADY, names.index(action.entity) if action.entity else ALL
        if isinstance(action, Poke):
            row[10] = HALF_SINE
        row[12] = isinstance(action, (Push, Poke))
        rows.append(row)
    length = length or len(rows)
    if len(rows) > min(length, SLOTS):
        raise RolloutError(
            f"{len(actions)} actions, and a table of {length} rows holds at most {min(length, SLOTS) - 1}",
            code=ErrorCode.INVALID_ACTION,
        )
    return np.concatenate([rows, np.zeros((length - len(rows), ACTION_SIZE))])
