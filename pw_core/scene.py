"""The scene and its states: plain data that every part shares. Writing and reading them is pw_core/store.py's job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.config import Kind, Material, SceneConfig
from pw_core.gaussians import F32, F64, I64, Binding, Camera, Gaussians, neighbours


@dataclass(frozen=True)
class Mesh:
    """A closed surface: vertices [m] (V, 3), faces (F, 3)."""

    vertices: F64
    faces: I64


@dataclass(frozen=True)
class Entity:
    """One thing that moves. `particles` and `gaussians` are its slices of the scene's arrays.

    Rigid entities have particles too (their Gaussians hang on them), but the simulator moves them by their pose. `mesh`
    is in world coordinates at rest; `origin` [m] (3,) is the body's frame at rest (its centroid), axes as the world's.
    """

    name: str
    id: int
    kind: Kind
    material: Material
    mesh: Mesh
    origin: F64
    volume_m3: float
    particle_size_m: float
    particles: slice
    gaussians: slice

    @property
    def mass_kg(self) -> float:
        """Volume times density."""
        return self.volume_m3 * self.material.density_kg_m3


@dataclass(frozen=True)
class Particles:
    """The whole state of J particles: positions [m] (J, 3), velocities [m/s] (J, 3), affine velocity C [1/s] (J, 3, 3),
    elastic deformation F (J, 3, 3), plastic volume ratio Jp (J,), active (J,)."""

    positions: F32
    velocities: F32
    C: F32
    F: F32
    Jp: F32
    active: NDArray[np.bool_]

    @classmethod
    def at_rest(cls, positions: F32) -> Particles:
        """Undeformed, not moving."""
        n = len(positions)
        eye = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
        zero = np.zeros((n, 3), np.float32)
        return cls(positions.astype(np.float32), zero, np.zeros((n, 3, 3), np.float32), eye,
                   np.ones(n, np.float32), np.ones(n, bool))  # fmt: skip

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {
            "positions": self.positions, "velocities": self.velocities, "C": self.C, "F": self.F, "Jp": self.Jp,
            "active": self.active,
        }  # fmt: skip


@dataclass(frozen=True)
class Body:
    """A rigid entity's pose and twist: position [m] (3,) of its frame's origin, orientation wxyz (4,), linear [m/s] and
    angular [rad/s] velocity (3,), all in the world."""

    position: F64
    orientation: F64
    linear: F64
    angular: F64

    @classmethod
    def at_rest(cls, position: F64) -> Body:
        """Not moving, axes along the world's."""
        return cls(np.asarray(position, np.float64), np.array([1.0, 0, 0, 0]), np.zeros(3), np.zeros(3))


@dataclass(frozen=True)
class PhysicsState:
    """All that a simulator must be given to go on: particles of every entity, and each rigid entity's body by name."""

    particles: Particles
    bodies: dict[str, Body] = field(default_factory=dict)


@dataclass(frozen=True)
class AppearanceParameters:
    """The part of the appearance that refinement corrects; geometry at rest stays the scene's.

    raw (N, 3): offsets of the foreground's Gaussians from their particles, as in `Binding`; opacities [logit] (N,) and
    sh (N, K, 3) of the foreground; background_sh (M, K, 3).
    """

    raw: F32
    opacities: F32
    sh: F32
    background_sh: F32

    def arrays(self) -> dict[str, F32]:
        """The arrays by name."""
        return {
            "raw": self.raw, "opacities": self.opacities, "sh": self.sh, "background_sh": self.background_sh,
        }  # fmt: skip

    def bind(self, scene: Scene) -> Binding:
        """The scene's binding with this appearance's offsets."""
        return replace(scene.binding, raw=self.raw)


@dataclass(frozen=True)
class State:
    """An immutable snapshot in the tree. time_s is simulated time since the reconstruction.

    appearance: as refined so far, None while it is the reconstruction's. parameters: physical constants that
    refinement estimated, by names as in `pw_core.calibrate.constants`. figures: what was measured when a refinement
    made the state. views: the last refined frame of each camera, uint8 (H, W, 3). A rollout hands appearance and
    parameters on.
    """

    id: str
    parent: str
    time_s: float
    physics: PhysicsState
    trajectory_id: str = ""
    created: float = 0.0
    label: str = ""
    appearance: AppearanceParameters | None = None
    parameters: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    views: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def outline(self) -> State:
        """It without its arrays: what a tree tells of a state. Its physics must not be asked for."""
        return replace(self, physics=cast(PhysicsState, None), appearance=None, views={})

    @property
    def is_outline(self) -> bool:
        """Whether its arrays were left out."""
        return cast(Any, self.physics) is None


@dataclass(frozen=True)
class Trajectory:
    """A rollout: times [s] (T,) from its start, positions [m] and velocities [m/s] (T, J, 3), bodies by entity name
    (T, 13): position, orientation wxyz, linear and angular velocity."""

    id: str
    start: str
    end: str
    times: F64
    positions: F32
    velocities: F32
    bodies: dict[str, F64]
    actions: tuple[Action, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class LitWall:
    """The wall behind the table, which faces the things: where it stands, x_m [m], and as in `Light` the shares (3,) of
    its brightness that lamp and room give, and what was observed of the shadows (E, R, C, 3), on cells of the light's
    size whose rows go up (z) and columns to the left (y)."""

    x_m: float
    key: F64
    ambient: F64
    first: I64
    observed: F32

    @classmethod
    def unlit(cls, x_m: float, *, entities: int) -> LitWall:
        """One that nothing falls on."""
        none = np.zeros(3)
        return cls(x_m, none, none, np.zeros(2, np.int64), np.zeros((entities, 1, 1, 3), np.float32))

    @property
    def lit(self) -> bool:
        """Whether things keep any of it off."""
        return bool(np.any(self.key) or np.any(self.ambient))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, by name."""
        return {
            "x_m": np.array(self.x_m), "key": self.key, "ambient": self.ambient, "first": self.first,
            "observed": self.observed,
        }  # fmt: skip

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> LitWall:
        """From what `arrays` gave."""
        return cls(**{**arrays, "x_m": arrays["x_m"].item()})


@dataclass(frozen=True)
class Light:
    """How bright the table is beside the things on it, as shares of its display colours by channel.

    direction (3,): unit, towards the lamp; softness: tangent of the lamp's half angle; key and ambient (3,): the shares
    that the lamp and the room give and that things can keep off. observed (E, R, C, 3): logarithm of what the photo
    shows over what is cast from the particles at rest, an entity each, on cells of step_m [m]; cell (r, c) is centred
    on ((first[0] + r) * step_m, (first[1] + c) * step_m) in x and y. wall: None where nothing falls on one.
    """

    direction: F64
    softness: float
    key: F64
    ambient: F64
    step_m: float
    first: I64
    observed: F32
    wall: LitWall | None = None

    @property
    def casts(self) -> bool:
        """Whether things keep any of it off."""
        return bool(np.any(self.key) or np.any(self.ambient))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, by name."""
        out = {
            "direction": self.direction, "softness": np.array(self.softness), "key": self.key, "ambient": self.ambient,
            "step_m": np.array(self.step_m), "first": self.first, "observed": self.observed,
        }  # fmt: skip
        wall = {} if self.wall is None else self.wall.arrays()
        return out | {f"wall_{name}": a for name, a in wall.items()}

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> Light:
        """From what `arrays` gave."""
        wall = {k.removeprefix("wall_"): v for k, v in arrays.items() if k.startswith("wall_")}
        own = {k: v for k, v in arrays.items() if not k.startswith("wall_")}
        plain = {k: own[k].item() for k in ("softness", "step_m")}
        # Scenes that were stored without one have the shadows on their wall painted on it.
        return cls(**{**own, **plain}, wall=LitWall.of(wall) if wall else None)


@dataclass(frozen=True)
class Scene:
    """What a photo became: entities, Gaussians (bound foreground, static background), particles at rest, cameras.

    rest [m] (J, 3) and covariances of the foreground are those at binding; `foreground` is ordered by entity. light:
    None where shadows are part of the background.
    """

    id: str
    config: SceneConfig
    entities: tuple[Entity, ...]
    particles: Particles
    entity_ids: NDArray[np.int32]
    foreground: Gaussians
    binding: Binding
    background: Gaussians
    cameras: tuple[Camera, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    light: Light | None = None

    def entity(self, name: str) -> Entity:
        """The entity of that name; KeyError if there is none."""
        for e in self.entities:
            if e.name == name:
                return e
        raise KeyError(name)

    @property
    def rest(self) -> F32:
        """Particle positions at binding [m], shape (J, 3)."""
        return self.particles.positions

    def neighbours(self) -> I64:
        """Twelve neighbours of each particle at rest, shape (J, 12)."""
        return neighbours(self.rest, self.entity_ids)

    def initial_physics(self) -> PhysicsState:
        """At rest, as reconstructed."""
        bodies = {e.name: Body.at_rest(e.origin) for e in self.entities if e.kind != "deformable"}
        return PhysicsState(self.particles, bodies)

    def initial_appearance(self) -> AppearanceParameters:
        """As reconstructed."""
        return AppearanceParameters(self.binding.raw, self.foreground.opacities, self.foreground.sh, self.background.sh)

    def with_id(self, scene_id: str) -> Scene:
        """The same scene under another id."""
        return replace(self, id=scene_id)
