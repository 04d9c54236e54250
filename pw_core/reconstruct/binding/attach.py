"""One more entity in a scene that is there: Gaussians that another tool made, filled with particles."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig, Material, Prompt
from pw_core.errors import ErrorCode, ReconstructError, SceneError
from pw_core.gaussians import F32, F64, Binding, Gaussians
from pw_core.limits import LIMITS
from pw_core.progress import Progress, no_progress
from pw_core.reconstruct.binding.assemble import AssemblyOptions, Body, assemble
from pw_core.reconstruct.binding.bind import BindOptions, bind_to_particles
from pw_core.reconstruct.binding.standing import StandingOptions, turn_upright
from pw_core.reconstruct.surface.splat_solid import SplatSolidOptions, solid_within, without_strays
from pw_core.scene import Entity, Light, Particles, Scene


@dataclass(frozen=True, kw_only=True)
class AttachOptions:
    """How Gaussians become an entity."""

    solid: SplatSolidOptions = SplatSolidOptions()
    """What they enclose."""
    standing: StandingOptions = StandingOptions()
    """Whether they lean."""
    bind: BindOptions = BindOptions()
    """How they hang on particles."""
    assembly: AssemblyOptions = AssemblyOptions()
    """How many particles."""
    most_particles: int = 200_000
    """More, at the size of the scene's, means that the unit is wrong."""
    below_table_voxels: float = 2.0
    """So far it may reach below the table: a scan's rest of it."""
    least_gap_ratio: float = 0.5
    """Of a particle's size, between its particles and those of others: nearer, they push each other apart."""


def with_splats(
    scene: Scene, splats: Gaussians, *, name: str, material: Material, tool: bool = False, stand: bool = False,
    fill: bool = False, source: str = "Gaussians", progress: Progress = no_progress,
    options: AttachOptions = AttachOptions(),
) -> Scene:  # fmt: skip
    """The scene with one more entity: the solid that the Gaussians enclose, filled with particles of the scene's size.
    Warns of openings that were closed or left open, and of a turn.

    Args:
        splats: in the scene's world: z up, metres, the table at 0.
        stand: it is moved up or down until it stands on the table, and turned onto its flat side where it leans.
        fill: a vessel's inside too, behind a mouth that is narrow enough to be closed.
        tool: a rigid entity that only ever moves along timed poses.
        source: what they are from, for people.

    Raises:
        SceneError (INVALID_NAME): there is an entity of that name, or it is no name.
        ReconstructError (RECONSTRUCT_FAILED): the Gaussians enclose nothing, or lie in the table or in another entity.
    """
    config = _config(scene, name, material, tool, source)
    if stand and not scene.config.has_table:
        raise _failed(name, f"scene '{scene.id}' has no table that it could stand on")
    progress("what it encloses", 0.05)
    if stand:
        splats = _upright(splats, name, options)
    solid = solid_within(splats, name=name, fill=fill, options=options.solid)
    low = float(solid.mesh.vertices[:, 2].min())
    progress("particles", 0.5)
    if stand:
        up = np.array([0, 0, -low])
        splats = splats.moved(np.eye(3), up)
        mesh = replace(solid.mesh, vertices=solid.mesh.vertices + up)
        solid = replace(solid, mesh=mesh, origin=solid.origin + up)
    elif scene.config.has_table and low < -options.below_table_voxels * solid.step:
        raise _failed(name, f"it reaches {-low:.3f} m below the table; raise it, or let it stand")
    body = _body(scene, config, solid.mesh, options)
    own = splats.with_harmonics(scene.foreground.sh.shape[1])
    bound = bind_to_particles(
        solid, own, config, volume_m3=body.volume_m3, count=body.count, options=options.bind
    )  # fmt: skip
    progress("putting it into the scene", 0.9)
    _check_apart(scene, name, bound.positions, float(np.min(bound.spacing_m)), options)
    alone = assemble(scene.config.model_copy(update={"entities": (config,)}), [body], [bound], scene.background)
    config_of_all = scene.config.model_copy(update={"entities": (*scene.config.entities, config)})
    return replace(_joined(scene, alone), config=config_of_all)


def _upright(splats: Gaussians, name: str, o: AttachOptions) -> Gaussians:
    """On their flat side, where they lean: the table under a scan is rarely its z = 0."""
    points = without_strays(splats, name=name, options=o.solid).means.astype(np.float64)
    found = turn_upright(points, o.standing)
    if found is None:
        return splats
    turn, angle = found
    warnings.warn(
        f"entity '{name}': it leant by {angle:.1f} degrees and was turned onto its flat side, which leaves only the "
        "colours that are the same from everywhere; without stand it stays as it is given", stacklevel=3,
    )  # fmt: skip
    middle = points.mean(axis=0)
    return splats.moved(turn, middle - turn @ middle)


def _config(scene: Scene, name: str, material: Material, tool: bool, source: str) -> EntityConfig:
    """What is known of it. No photo shows it, so its prompt is never asked."""
    from pydantic import ValidationError

    if any(e.name == name for e in scene.entities):
        raise SceneError(f"scene '{scene.id}' has an entity '{name}' already", code=ErrorCode.INVALID_NAME)
    try:
        return EntityConfig(name=name, material=material, prompt=Prompt(box=(0, 0, 4, 4)), tool=tool, added_from=source)
    except ValidationError as error:
        raise SceneError(f"entity '{name[: LIMITS.name_chars]}': {error.errors()[0]['msg']}",
                         code=ErrorCode.INVALID_NAME) from None  # fmt: skip


def _body(scene: Scene, config: EntityConfig, mesh: Any, o: AttachOptions) -> Body:
    import trimesh

    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    volume, count = float(solid.volume), o.assembly.rigid_particles
    if config.kind == "deformable":
        sizes = [e.particle_size_m for e in scene.entities if e.kind == "deformable"]
        wanted = volume / min(sizes) ** 3 if sizes else scene.config.simulation.particles
        if wanted > o.most_particles:
            raise _failed(config.name, f"its {volume * 1e3:.3g} litres would be {wanted:.0f} particles of the scene's "
                          f"size, at most {o.most_particles} are taken: check the scale")  # fmt: skip
        count = max(o.assembly.least_particles, round(wanted))
    return Body(mesh, volume, np.asarray(solid.center_mass), count)


def _check_apart(scene: Scene, name: str, positions: F64, spacing_m: float, o: AttachOptions) -> None:
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(scene.rest).query(positions)
    within = distance < o.least_gap_ratio * spacing_m
    if within.any():
        other = scene.entities[int(np.bincount(scene.entity_ids[nearest[within]]).argmax())]
        raise _failed(name, f"{int(within.sum())} of its {len(positions)} particles lie in '{other.name}'; "
                      "put it elsewhere")  # fmt: skip


def _joined(scene: Scene, alone: Scene) -> Scene:
    """A scene and one of the same background whose only entity comes last."""
    (e,) = alone.entities
    j, n, number = len(scene.rest), len(scene.foreground), len(scene.entities)
    entity: Entity = replace(
        e, id=number, particles=slice(j, j + e.particles.stop), gaussians=slice(n, n + e.gaussians.stop)
    )
    particles = [scene.particles.arrays(), alone.particles.arrays()]
    width = max(scene.binding.index.shape[1], alone.binding.index.shape[1])
    a, b = scene.binding, alone.binding
    binding = Binding(
        np.concatenate([_wide(a.index, width), _wide(b.index + j, width)]),
        np.concatenate([_wide(a.weights, width), _wide(b.weights, width)]),
        np.concatenate([a.raw, b.raw]), np.concatenate([a.delta, b.delta]),
    )  # fmt: skip
    return replace(
        scene, entities=(*scene.entities, entity),
        particles=Particles(**{k: np.concatenate([p[k] for p in particles]) for k in particles[0]}),
        entity_ids=np.concatenate([scene.entity_ids, np.full(len(alone.rest), number, np.int32)]),
        foreground=Gaussians.concatenate([scene.foreground, alone.foreground]), binding=binding,
        light=None if scene.light is None else _with_one_more(scene.light),
    )  # fmt: skip


def _wide(columns: NDArray[Any], width: int) -> NDArray[Any]:
    """(N, width): index and weights of fewer particles a Gaussian, whose further ones weigh nothing."""
    return np.pad(columns, ((0, 0), (0, width - columns.shape[1])))


def _with_one_more(light: Light) -> Light:
    """Of an entity that the photo did not show: its shadow is as it is cast."""
    wall = light.wall
    if wall is not None:
        wall = replace(wall, observed=_one_more(wall.observed))
    return replace(light, observed=_one_more(light.observed), wall=wall)


def _one_more(observed: F32) -> F32:
    """What was observed (E, R, C, 3), and nothing of one more entity."""
    return np.concatenate([observed, np.zeros((1, *observed.shape[1:]), observed.dtype)])


def _failed(name: str, text: str) -> ReconstructError:
    return ReconstructError(f"entity '{name}': {text}", code=ErrorCode.RECONSTRUCT_FAILED)
