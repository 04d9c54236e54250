"""Many views to a scene: the order of the stages, and what each leaves in the folder."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.progress import Progress, no_progress, subrange
from pw_core.reconstruct.background.fill import HiddenRegionOptions, fill_hidden_region
from pw_core.reconstruct.binding.assemble import AssemblyOptions, assemble, measure
from pw_core.reconstruct.binding.bind import BindOptions, bind_to_particles, fit_bound, off_surface
from pw_core.reconstruct.ground.level import LevelOptions, level_doubts, settled, to_level_frame
from pw_core.reconstruct.ground.metre import metre_by_entity, said_length, seen_length, upright_sides
from pw_core.reconstruct.ground.world_frame import WorldFrameOptions, to_world_frame, transformed
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.estimate import PoseOptions, pose
from pw_core.reconstruct.poses.sfm.adjust_given import AdjustGivenOptions, adjust_given_poses
from pw_core.reconstruct.report.page import write_report
from pw_core.reconstruct.routes.job_folder import CHECKPOINT, open_job
from pw_core.reconstruct.segmentation.labels.gaussian_labels import classify
from pw_core.reconstruct.segmentation.labels.relabel import relabel
from pw_core.reconstruct.segmentation.matting import outlined
from pw_core.reconstruct.segmentation.points import main_cluster, most_say_own
from pw_core.reconstruct.segmentation.shadows import without_ground
from pw_core.reconstruct.segmentation.stage import (
    find_masks,
    own_points,
    prompted,
    standing_points,
    write_masks,
)
from pw_core.reconstruct.splatting.checkpoint import Fitted
from pw_core.reconstruct.splatting.cpu import FitOptions
from pw_core.reconstruct.splatting.cuda import CudaFitOptions
from pw_core.reconstruct.splatting.draw import choose_device
from pw_core.reconstruct.splatting.fit import fit, score
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.surface.back_side import seen_from_one_side
from pw_core.reconstruct.surface.bounds import bounds_of, visual_hull_bounds
from pw_core.reconstruct.surface.mesh import mesh_of
from pw_core.reconstruct.surface.tsdf import TsdfMesh
from pw_core.reconstruct.types import Masks, Posed, View
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class ManyViewsOptions:
    """The order of the stages."""

    relabel_rounds: int = 2
    """How often masks take what the Gaussians say, which then are told apart by them anew."""
    least_points: int = 30
    """On a thing that is seen from one side: fewer do not say how long it is."""
    adjust_given: AdjustGivenOptions = AdjustGivenOptions()
    """The adjustment of given poses, where it is asked for."""
    poses: PoseOptions = PoseOptions()
    """How poses are found."""
    world_frame: WorldFrameOptions = WorldFrameOptions()
    """The plane, the scene's frame and its metre."""
    level: LevelOptions = LevelOptions()
    """The same where there is no table."""
    fit: FitOptions = FitOptions()
    """The photometric fit on the CPU."""
    cuda_fit: CudaFitOptions = CudaFitOptions()
    """The same on CUDA."""
    hidden_region: HiddenRegionOptions = HiddenRegionOptions()
    """What the entities hid."""
    assembly: AssemblyOptions = AssemblyOptions()
    """Numbers of particles."""
    bind: BindOptions = BindOptions()
    """Gaussians onto particles."""


@dataclass(frozen=True)
class _Job:
    """What every stage is given."""

    config: SceneConfig
    inputs: Inputs
    settings: ViewsSettings
    folder: Path
    progress: Progress
    device: str


@dataclass(frozen=True)
class _Placed:
    """Views in the scene's frame, how that was found, the view that the prompts belong to, and masks."""

    posed: Posed
    plane: dict[str, Any]
    prompt: str
    masks: Masks


def reconstruct_many(
    config: SceneConfig, inputs: Inputs, *, settings: ViewsSettings, folder: Path, progress: Progress = no_progress,
    options: ManyViewsOptions = ManyViewsOptions(),
) -> Scene:  # fmt: skip
    """A scene from pictures of many views; what the stages leave in `folder` is gone on from.

    Raises:
        ReconstructError: INVALID_IMAGE, INVALID_CAMERA, INVALID_PROMPT, INVALID_CONFIG, MISSING_WEIGHTS,
            RECONSTRUCT_FAILED; the message says which picture and what would be right.
    """
    began = time.perf_counter()
    open_job(config, inputs, settings, folder)
    job = _Job(config, inputs, settings, folder, progress, choose_device(settings))
    placed = _place(job, options)
    posed = placed.posed
    held = posed.views[:: settings.holdout_every] if settings.holdout_every else ()
    train = [v for v in posed.views if v not in held]
    fitted, figures = _fit(job, posed, train, held, options)
    masks, whose = _label(job, placed, train, fitted.gaussians, options)
    solids = _solids(job, posed, train, masks, fitted.gaussians, whose)
    scale = _by_solid(job, placed, masks, solids[0], options)
    if scale != 1.0:
        T = np.diag([scale, scale, scale, 1.0])
        posed, placed = transformed(posed, T), replace(placed, plane=_scaled_plane(placed.plane, T))
        names = {v.name for v in train}
        train = [v for v in posed.views if v.name in names]
        solids = [solid.scaled(scale) for solid in solids]
        fitted = replace(fitted, gaussians=fitted.gaussians.moved(np.eye(3), np.zeros(3), scale=scale))
    scene, hole = _bodies(job, train, masks, fitted.gaussians, whose, solids, options)
    figures["bound"] = score(train, Gaussians.concatenate([scene.foreground, scene.background]), device=job.device)
    figures["psnr_lost_by_the_move_db"] = figures["train"]["psnr_db"] - figures["bound"]["psnr_db"]
    order = sorted(posed.views, key=lambda v: v.name != placed.prompt)
    scene, plane = replace(scene, cameras=tuple(_named(v.camera) for v in order)), placed.plane
    doubts = level_doubts(config, placed.plane) + _metre_doubts(job, posed, solids[0], options)
    told = {"doubts": doubts} if doubts else {}
    scene = replace(
        scene, provenance={
            "method": f"many views: {inputs.route}", "inputs": inputs.account,
            "poses": posed.report, "plane": plane, "background": hole, **told,
            "figures": figures, "working_size_px": [order[0].camera.width, order[0].camera.height],
            "seconds": round(time.perf_counter() - began, 1),
        },
    )  # fmt: skip
    write_report(folder, scene, posed, masks, fitted.gaussians)
    if not config.has_table:
        scene, plane = settled(scene, plane, posed.views[0].camera)
        scene = replace(scene, provenance=scene.provenance | {"plane": plane})
    progress("done", 1.0)
    return scene


def _place(job: _Job, options: ManyViewsOptions) -> _Placed:
    """Poses, the plane that the scene stands on, and masks."""
    config, inputs, settings, folder, progress = job.config, job.inputs, job.settings, job.folder, job.progress
    if not config.has_table and settings.camera_height_m > 0:
        raise ReconstructError(
            "views.camera_height_m is a height above the table's plane, and there is none (ground: none): give "
            "views.object_size_m, or the first entity's diameter_m or distance_m", code=ErrorCode.INVALID_CONFIG,
        )  # fmt: skip
    adjusted = None
    if settings.refine_poses and inputs.route in ("posed", "posed rgbd"):
        inputs, adjusted = adjust_given_poses(inputs, settings, folder, progress, options=options.adjust_given)
    posed = pose(inputs, settings, folder, progress, options=options.poses)
    if adjusted is not None:
        posed = replace(posed, report=posed.report | {"poses": "given, then adjusted", "adjusted": adjusted})
    metric = _is_metric(inputs)
    prompt = _prompt_view(inputs, settings, posed)
    progress("plane", 0.14)
    own_there = standing_points(posed, prompted(config, inputs, settings, posed, prompt), prompt)
    metre_from = "depth" if inputs.route == "rgbd pictures" else ""
    if config.has_table:
        posed, plane = to_world_frame(
            posed, settings, metric=metric, own=own_there, metre=metre_from, options=options.world_frame
        )
    else:
        given = metric and not metre_from
        imu = inputs.up if posed.views[0].name == inputs.views[0].name else None
        posed, plane = to_level_frame(
            posed, config, given=given, metric=metric, own=own_there, imu_up=imu, options=options.level
        )
    progress("masks", 0.15)
    masks = find_masks(config, inputs, settings, posed, prompt, folder)
    if not metric and settings.camera_height_m == 0:
        posed, plane = _scaled(posed, masks, prompt, config, settings, plane, options.world_frame)
    return _Placed(posed, plane, prompt, masks)


def _fit(
    job: _Job, posed: Posed, train: Sequence[View], held: Sequence[View], options: ManyViewsOptions
) -> tuple[Fitted, dict[str, Any]]:
    """Gaussians fitted to the views that are not held out, and how well they show either kind."""
    checkpoint = job.folder / CHECKPOINT
    first = start(posed.points, posed.colors, sh_degree=job.settings.sh_degree)
    busy, anew = time.process_time(), not checkpoint.is_file()
    fitted = fit(train, first, job.settings, progress=subrange(job.progress, 0.2, 0.7), checkpoint=checkpoint,
                 options=options.fit, cuda_options=options.cuda_fit)  # fmt: skip
    busy = time.process_time() - busy
    figures: dict[str, Any] = {
        "fit_steps": fitted.steps, "fit_seconds": round(fitted.seconds, 1), "gaussians": len(fitted.gaussians),
        "train": score(train, fitted.gaussians, device=job.device),
    }  # fmt: skip
    if anew:
        figures["fit_cpu_seconds"] = round(busy, 1)
    if held:
        names = {"views": [v.name for v in held]}
        figures["held_out"] = score(held, fitted.gaussians, device=job.device) | names
    return fitted, figures


def _label(
    job: _Job, placed: _Placed, train: Sequence[View], gaussians: Gaussians, options: ManyViewsOptions
) -> tuple[Masks, Any]:
    """Masks corrected by the fit, and whose each Gaussian is (N,): 0 the background's, 1 + i the i-th entity's."""
    posed, masks, progress, given = placed.posed, placed.masks, job.progress, job.inputs.masks
    deep = all(v.depth is not None for v in posed.views)  # then views have voted on every place already
    progress("shadows", 0.7)
    if not deep:
        if job.config.has_table:
            without_ground(train, masks, gaussians, given=given)
        masks = outlined(posed.views, masks, given=given)
    part = subrange(progress, 0.7, 0.74)
    whose, likely = classify(train, gaussians, masks, progress=part, device=job.device)
    for i in range(options.relabel_rounds):
        if deep or not relabel(train, masks, likely, given=given):
            break
        part = subrange(progress, 0.74 + 0.03 * i, 0.77 + 0.03 * i)
        whose, likely = classify(train, gaussians, masks, progress=part, device=job.device)
    for name, of in masks.items():
        write_masks(job.folder / "masks" / name, of)
    return masks, whose


def _solids(
    job: _Job, posed: Posed, train: Sequence[View], masks: Masks, gaussians: Gaussians, whose: Any
) -> list[TsdfMesh]:
    """The entities' meshes."""
    job.progress("meshes", 0.8)
    return [
        mesh_of(
            e, train, gaussians[whose == 1 + i], gaussians[whose != 1 + i], masks, job.settings,
            points=most_say_own(posed, masks[e.name]), floor=job.config.has_table,
        )
        for i, e in enumerate(job.config.entities)
    ]  # fmt: skip


def _bodies(
    job: _Job, train: Sequence[View], masks: Masks, gaussians: Gaussians, whose: Any, solids: Sequence[TsdfMesh],
    options: ManyViewsOptions,
) -> tuple[Scene, dict[str, float]]:  # fmt: skip
    """The background without the entities, particles with Gaussians bound to them and fitted again; and what the
    background's filling says of itself."""
    config, settings, progress = job.config, job.settings, job.progress
    own = [gaussians[whose == 1 + i] for i in range(len(config.entities))]
    union = {v.name: np.any([m[v.name] for m in masks.values()], axis=0) for v in train}
    progress("hidden region", 0.84)
    # What masks took for an entity that turned out not to reach there.
    rest = [gaussians[whose == 0], *(mine[off_surface(s, mine, options=options.bind)] for s, mine in zip(solids, own))]
    background, hole = fill_hidden_region(Gaussians.concatenate(rest), solids, train, union, ground=config.has_table,
                                          options=options.hidden_region)  # fmt: skip
    progress("particles", 0.87)
    bodies = measure(config, [s.mesh for s in solids], options=options.assembly)
    bound = [
        bind_to_particles(s, mine, e, volume_m3=b.volume_m3, count=b.count, options=options.bind)
        for s, mine, e, b in zip(solids, own, config.entities, bodies)
    ]
    scene = assemble(config, bodies, bound, background)
    binding, foreground = fit_bound(
        train, union, scene.rest, scene.binding, scene.foreground, background, steps=settings.bind_steps,
        progress=subrange(progress, 0.88, 0.98), device=job.device, options=options.bind,
    )  # fmt: skip
    return replace(scene, binding=binding, foreground=foreground), hole


def _is_metric(inputs: Inputs) -> bool:
    return inputs.metric and inputs.route != "photos"


def _prompt_view(inputs: Inputs, settings: ViewsSettings, posed: Posed) -> str:
    name = settings.prompt_view or inputs.views[0].name
    names = [v.name for v in posed.views]
    if name not in names:
        raise ReconstructError(f"the prompts belong to {name}, which is not among the pictures that could be placed: "
                               f"{', '.join(names)}", code=ErrorCode.INVALID_PROMPT)  # fmt: skip
    return name


def _scaled(
    posed: Posed, masks: Masks, prompt: str, config: SceneConfig, settings: ViewsSettings, plane: dict[str, Any],
    options: WorldFrameOptions,
) -> tuple[Posed, dict[str, Any]]:  # fmt: skip
    """Metres by what is said of the first entity."""
    own = masks[config.entities[0].name]
    cameras = {v.name: v.camera for v in posed.views}
    around = bounds_of(own_points(posed, own), grow=0.5, floor=config.has_table)
    box = visual_hull_bounds(own, cameras, visual_hull_bounds(own, cameras, around))  # in finer voxels the second time
    scale, source = metre_by_entity(
        config.entities[0], settings, box=box, mask=own[prompt],
        camera=cameras[prompt], assumed_size_m=options.assumed_size_m,
    )  # fmt: skip
    T = np.diag([scale, scale, scale, 1.0])
    return transformed(posed, T), _scaled_plane(plane, T) | {"scale_from": source}


def _scaled_plane(plane: dict[str, Any], T: F64) -> dict[str, Any]:
    """The same report where everything is scaled by T (4, 4)."""
    whole = (T @ np.array(plane["world_from_given"])).tolist()
    return plane | {"scale": plane["scale"] * float(T[0, 0]), "world_from_given": whole}


def _said_length(job: _Job, options: ManyViewsOptions) -> float:
    """The first entity's longest side [m], where the metre comes from it; else 0."""
    if _is_metric(job.inputs) or job.settings.camera_height_m > 0:
        return 0.0
    return said_length(job.config.entities[0], job.settings, assumed_size_m=options.world_frame.assumed_size_m)


def _by_solid(job: _Job, placed: _Placed, masks: Masks, solid: TsdfMesh, options: ManyViewsOptions) -> float:
    """By which the scene has to be scaled for what is said of the first entity to hold of its mesh; 1 where nothing is.

    The first scale is by its silhouettes alone, before anything is meshed: from few sides they draw it out, away from
    the cameras, to nearly twice its depth. There the mesh's back is a guess as well, which may reach further than the
    thing is long; what is seen of it then counts.
    """
    if _is_metric(job.inputs) or job.settings.camera_height_m > 0:
        return 1.0
    entity, vertices, posed = job.config.entities[0], solid.mesh.vertices, placed.posed
    own, said = masks[entity.name], _said_length(job, options)
    if said == 0:
        camera = next(v.camera for v in posed.views if v.name == placed.prompt)
        box = np.stack([vertices.min(0), vertices.max(0)])
        first = placed.masks[entity.name][placed.prompt]  # before the fit's Gaussians had a say
        return metre_by_entity(entity, job.settings, box=box, mask=first, camera=camera,
                               assumed_size_m=options.world_frame.assumed_size_m)[0]  # fmt: skip
    long = float(upright_sides(vertices).max())
    cameras, points = [v.camera for v in posed.views], most_say_own(posed, own)
    points = points[main_cluster(points)] if len(points) else points
    if len(points) >= options.least_points and seen_from_one_side(cameras, vertices.mean(0)):
        long = min(long, seen_length(points, cameras, [own[v.name] for v in posed.views]))
    return said / long


def _metre_doubts(job: _Job, posed: Posed, solid: TsdfMesh, options: ManyViewsOptions) -> list[str]:
    """Where the metre comes from a length that no picture shows whole."""
    said, cameras = _said_length(job, options), [v.camera for v in posed.views]
    if said == 0 or not seen_from_one_side(cameras, solid.mesh.vertices.mean(0)):
        return []
    return [
        f"all pictures show '{job.config.entities[0].name}' from one side: how deep it is is guessed, so the metre "
        f"that its longest side of {said:g} m gives may be off by 10 %; take pictures all round it, or give "
        "views.camera_height_m"
    ]


def _named(camera: Camera) -> Camera:
    return replace(camera, name=re.sub(r"[^A-Za-z0-9_]", "_", Path(camera.name).stem))
