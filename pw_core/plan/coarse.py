"""A scene at a coarser resolution: fewer and larger particles, a coarser grid, longer substeps. For screening."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.gaussians import F32, I64
from pw_core.scene import Entity, Particles, PhysicsState, Scene, State


class Coarsening:
    """Particles of a scene's deformables in groups, each of which becomes one particle; rigid entities stay.

    Args:
        factor: how many times coarser the grid gets. A group is what lies in one cube of so many particle sizes at
            rest, so there are about factor cubed fewer particles.

    scene: the coarse one. It is to be simulated and measured, not drawn: its Gaussians are those of the fine scene.
    """

    def __init__(self, scene: Scene, *, factor: float = 2.0) -> None:
        self._fine = scene
        group = np.zeros(len(scene.rest), np.int64)
        entities: list[Entity] = []
        count = 0
        for e in scene.entities:
            own, n = e.particles, e.particles.stop - e.particles.start
            if e.kind == "deformable":
                cell = np.floor(scene.rest[own] / (factor * e.particle_size_m)).astype(np.int64)
                _, inverse = np.unique(cell, axis=0, return_inverse=True)
                inverse = inverse.reshape(-1)
                n = int(inverse.max()) + 1
            else:
                inverse = np.arange(n)
            group[own] = count + inverse
            size = (e.volume_m3 / n) ** (1 / 3) if e.kind == "deformable" else e.particle_size_m
            entities.append(replace(e, particles=slice(count, count + n), particle_size_m=size))
            count += n
        self._group: I64 = group
        self._count = count
        ids = np.concatenate([np.full(e.particles.stop - e.particles.start, e.id, np.int32) for e in entities])
        settings = scene.config.simulation.model_copy(update={
            "grid_density": scene.config.simulation.grid_density / factor, "substep_s": 0.0, "substeps": 0,
        })  # fmt: skip
        self.scene = replace(
            scene, config=scene.config.model_copy(update={"simulation": settings}), entities=tuple(entities),
            particles=self.physics(scene.initial_physics()).particles, entity_ids=ids,
        )  # fmt: skip

    def physics(self, physics: PhysicsState) -> PhysicsState:
        """Each group's mean; a group is active where one of its particles is."""
        arrays = {k: self._mean(v) for k, v in physics.particles.arrays().items() if k != "active"}
        active = np.zeros(self._count, bool)
        np.logical_or.at(active, self._group, physics.particles.active)
        return PhysicsState(Particles(**arrays, active=active), physics.bodies)

    def state(self, state: State) -> State:
        """The same for a state."""
        return replace(state, physics=self.physics(state.physics), appearance=None, views={})

    def _mean(self, values: F32) -> F32:
        flat = values.reshape(len(values), -1).astype(np.float64)
        sums = np.stack([np.bincount(self._group, column, self._count) for column in flat.T], 1)
        mean = sums / np.bincount(self._group, minlength=self._count)[:, None]
        return mean.reshape(self._count, *values.shape[1:]).astype(np.float32)
