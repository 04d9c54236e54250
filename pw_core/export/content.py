"""What is exported: a state or a trajectory as frames of Gaussians, particles and poses, that formats draw on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.appearance import EntityPose, entity_poses, particle_colors, placed_positions, total_deformations
from pw_core.gaussians import F32, F64, SH_C0, Gaussians
from pw_core.rollout import physics_at
from pw_core.scene import AppearanceParameters, Entity, PhysicsState, Scene, State, Trajectory


@dataclass(frozen=True, kw_only=True)
class ContentOptions:
    """How meshes follow particles."""

    mesh_particles: int = 4
    """Of an entity, that a vertex of its mesh blends: fewer make steps where particles part, more round off."""


@dataclass(frozen=True)
class Frame:
    """One instant. time_s: from the trajectory's start. positions [m] (J, 3): particles, those of rigid entities where
    their bodies are; Gaussians and meshes lie where they are drawn, on the table. things: the entities' Gaussians;
    background: the rest, the same object while nothing changes it.
    """

    time_s: float
    physics: PhysicsState
    positions: F32
    things: Gaussians
    background: Gaussians
    poses: list[EntityPose]
    meshes: dict[str, F32]

    @property
    def all(self) -> Gaussians:
        """Things, then background."""
        return Gaussians.concatenate([self.things, self.background])


class Content:
    """A scene and one or more instants of it.

    Args:
        times: [s] (T,) from the start.
        physics: of each of them; called when its frame is asked for.
        appearance: as refined; None: as reconstructed.
        trajectory: that this is, where it is one.
        origin_s: stamp of t = 0 in formats that hold dates [s since 1970].
    """

    def __init__(
        self,
        scene: Scene,
        times: Sequence[float] | F64,
        physics: Callable[[int], PhysicsState],
        *,
        appearance: AppearanceParameters | None = None,
        trajectory: Trajectory | None = None,
        origin_s: float = 0.0,
        options: ContentOptions = ContentOptions(),
    ) -> None:
        from pw_core.skinning import Resting

        self.scene, self.trajectory, self.origin_s, self.options = scene, trajectory, origin_s, options
        self.times: F64 = np.asarray(times, np.float64)
        self._physics = physics
        looks = scene.initial_appearance() if appearance is None else appearance
        self._binding = looks.bind(scene)
        self.looks = looks
        self.progress: Callable[[float], None] = lambda done: None
        """Told before each frame how many of all are done, from 0 to 1; what it raises ends the frames."""
        self._near = scene.neighbours()
        self._resting = Resting(scene)
        self._covariances = scene.foreground.covariances()
        self._still = replace(scene.background, sh=looks.background_sh)

    @classmethod
    def of_state(cls, scene: Scene, state: State) -> Content:
        """A single instant."""
        return cls(scene, [0.0], lambda _: state.physics, appearance=state.appearance, origin_s=state.created)

    @classmethod
    def of_trajectory(
        cls,
        scene: Scene,
        trajectory: Trajectory,
        *,
        appearance: AppearanceParameters | None = None,
        origin_s: float = 0.0,
    ) -> Content:
        """All its frames."""
        times = trajectory.times
        return cls(scene, times, lambda k: physics_at(scene, trajectory, float(times[k])), appearance=appearance,
                   trajectory=trajectory, origin_s=origin_s)  # fmt: skip

    def __len__(self) -> int:
        return len(self.times)

    def frames(self) -> Iterator[Frame]:
        """One after the other: only one is in memory."""
        background, shaded = self._still, self._shading()
        for k, t in enumerate(self.times):
            self.progress(k / len(self))
            physics = self._physics(k)
            now = placed_positions(self.scene, physics)
            A = total_deformations(self.scene, now, physics, self._near)
            drawn = now.copy()
            things = gaussians_of(*self._follow(drawn, A), self.looks.opacities, self.looks.sh)
            if shaded is not None:
                background = shaded(drawn)
            meshes = {e.name: self._mesh(e, drawn, A) for e in self.scene.entities}
            yield Frame(float(t), physics, now, things, background, entity_poses(self.scene, physics), meshes)

    def follow(self, physics: PhysicsState) -> tuple[F32, F32]:
        """Means [m] (N, 3) and covariances [m²] (N, 3, 3) of the things' Gaussians in another state."""
        now = placed_positions(self.scene, physics)
        return self._follow(now, total_deformations(self.scene, now, physics, self._near))

    def _follow(self, now: F32, A: F32) -> tuple[F32, F32]:
        """Of particles at `now` [m] (J, 3), which are put where they are drawn."""
        from pw_core.skinning import follow

        means, covariances = follow(self._binding, self.scene.rest, now, A, self._covariances)
        self._resting.lower(means, now)
        return means, covariances

    @cached_property
    def particle_colors(self) -> NDArray[np.uint8]:
        """RGB of each particle (J, 3)."""
        return particle_colors(self.scene)

    def _shading(self) -> Callable[[F32], Gaussians] | None:
        """What gives the background the shadows of particles at [m] (J, 3); None where they are painted on it."""
        light = self.scene.light
        if light is None:
            return None
        from pw_core.light.cast import Caster
        from pw_core.light.overlay import kept, receivers

        caster = Caster(self.scene.rest, self.scene.entities, light)
        places = receivers(self._still.means, light)

        def shaded(now: F32) -> Gaussians:
            share = kept(caster.shade(now), places)
            sh = self._still.sh * share[:, None]
            sh[:, 0] += (share - 1) * (0.5 / SH_C0)  # colour is 0.5 + SH_C0 * sh
            return replace(self._still, sh=sh)

        return shaded

    def _mesh(self, entity: Entity, now: F32, A: F32) -> F32:
        """Where the vertices of an entity's mesh are [m] (V, 3): blends of what the nearest particles say."""
        index, weights = self._mesh_binding[entity.name]
        vertices = entity.mesh.vertices.astype(np.float32)
        away = vertices[:, None] - self.scene.rest[index]
        moved = now[index] + np.einsum("vbij,vbj->vbi", A[index], away)
        return np.asarray((moved * weights[..., None]).sum(1), np.float32)

    @cached_property
    def _mesh_binding(self) -> dict[str, tuple[NDArray[np.int64], F32]]:
        from scipy.spatial import cKDTree

        out = {}
        for e in self.scene.entities:
            count = min(self.options.mesh_particles, e.particles.stop - e.particles.start)
            far, index = cKDTree(self.scene.rest[e.particles]).query(e.mesh.vertices, k=count)
            far, index = np.reshape(far, (-1, count)), np.reshape(index, (-1, count))
            weights = 1 / (far + 1e-3 * e.particle_size_m)
            out[e.name] = index + e.particles.start, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        return out


def gaussians_of(means: F32, covariances: F32, opacities: F32, sh: F32) -> Gaussians:
    """Gaussians of covariances [m²] (N, 3, 3): their axes as rotations and scales, the longest last."""
    from scipy.spatial.transform import Rotation

    squared, axes = np.linalg.eigh(covariances)
    axes[..., 0] *= np.sign(np.linalg.det(axes))[:, None]
    quats = Rotation.from_matrix(axes).as_quat()[:, [3, 0, 1, 2]].astype(np.float32)
    floor = np.finfo(np.float32).tiny
    scales = 0.5 * np.log(np.maximum(squared, floor))
    return Gaussians(means, quats, scales.astype(np.float32), opacities, sh)


def opacities_of(gaussians: Gaussians) -> F32:
    """From 0 to 1 (N,)."""
    from scipy.special import expit

    return np.asarray(expit(gaussians.opacities), np.float32)


def attributes(content: Content) -> dict[str, Any]:
    """What a file may say of where it comes from."""
    made = {"scene": content.scene.id, "generator": "perpetual-wonder", "unit": "metre", "up": "z"}
    if content.trajectory is not None:
        made["trajectory"] = content.trajectory.id
    return made
