"""Entities with their particles and bound Gaussians to a scene, whichever way they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pw_core.config import SceneConfig
from pw_core.gaussians import F64, Binding, Gaussians
from pw_core.reconstruct.binding.bind import Bound
from pw_core.scene import Entity, Mesh, Particles, Scene


@dataclass(frozen=True, kw_only=True)
class AssemblyOptions:
    """How many particles an entity gets."""

    rigid_particles: int = 800
    """Of a rigid entity: they carry its Gaussians alone, the simulator moves it by its pose."""
    least_particles: int = 100
    """Of a deformable one, however small it is beside the others."""


@dataclass(frozen=True)
class Body:
    """A closed mesh, its volume [m³], its centre of mass [m] (3,), and how many particles are to fill it."""

    mesh: Mesh
    volume_m3: float
    centre: F64
    count: int


def measure(
    config: SceneConfig, meshes: Sequence[Mesh], *, options: AssemblyOptions = AssemblyOptions()
) -> list[Body]:  # fmt: skip
    """The entities' bodies, in the configuration's order: deformables share its number of particles by volume, so that
    all are of one size."""
    import trimesh

    solids = [trimesh.Trimesh(m.vertices, m.faces) for m in meshes]
    volumes = [float(s.volume) for s in solids]
    soft = sum(v for v, e in zip(volumes, config.entities) if e.kind == "deformable")
    counts = [
        max(options.least_particles, round(config.simulation.particles * v / soft)) if e.kind == "deformable"
        else options.rigid_particles
        for v, e in zip(volumes, config.entities)
    ]  # fmt: skip
    return [Body(m, v, np.asarray(s.center_mass), n) for m, v, s, n in zip(meshes, volumes, solids, counts)]


def assemble(config: SceneConfig, bodies: Sequence[Body], bound: Sequence[Bound], background: Gaussians) -> Scene:
    """A scene of what was made of each of the configuration's entities, in its order; no cameras, no provenance.

    Gaussians lie where their particles and offsets put them, which is not quite where they were found: offsets are
    clamped.
    """
    entities: list[Entity] = []
    particles, gaussians = 0, 0
    indices = []
    for i, (entity, body, own) in enumerate(zip(config.entities, bodies, bound)):
        indices.append(own.index + particles)
        entities.append(Entity(
            name=entity.name, id=i, kind=entity.kind, material=entity.material, mesh=body.mesh, origin=body.centre,
            volume_m3=body.volume_m3, particle_size_m=float((body.volume_m3 / len(own.positions)) ** (1 / 3)),
            particles=slice(particles, particles + len(own.positions)),
            gaussians=slice(gaussians, gaussians + len(own.gaussians)),
        ))  # fmt: skip
        particles, gaussians = particles + len(own.positions), gaussians + len(own.gaussians)
    weights = np.concatenate([b.weights for b in bound])
    raw = np.concatenate([b.raw for b in bound])
    delta = np.concatenate([np.broadcast_to(b.spacing_m, len(b.raw)) for b in bound])
    index = np.concatenate(indices).astype(np.int64)
    binding = Binding(index, *(a.astype(np.float32) for a in (weights, raw, delta)))
    rest = np.concatenate([b.positions for b in bound]).astype(np.float32)
    foreground = Gaussians.concatenate([b.gaussians for b in bound])
    return Scene(
        id=config.name, config=config, entities=tuple(entities), particles=Particles.at_rest(rest),
        entity_ids=np.concatenate([np.full(len(b.positions), i, np.int32) for i, b in enumerate(bound)]),
        foreground=replace(foreground, means=rest[binding.index[:, 0]] + binding.offsets()), binding=binding,
        background=background, cameras=(),
    )  # fmt: skip
