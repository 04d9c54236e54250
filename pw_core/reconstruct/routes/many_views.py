"""Many views to a scene: the order of the stages, and what each leaves in the folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Binding, Camera, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.background.fill import fill_behind
from pw_core.reconstruct.ground.world_frame import ASSUMED_SIZE_M, moved, stand
from pw_core.reconstruct.inputs import Inputs, check
from pw_core.reconstruct.poses.estimate import pose
from pw_core.reconstruct.segmentation.gaussian_labels import classify
from pw_core.reconstruct.segmentation.matting import outlined
from pw_core.reconstruct.segmentation.shadows import without_ground
from pw_core.reconstruct.segmentation.stage import (
    FIRST,
    find_masks,
    on_it,
    own_points,
    prompted,
    settle,
    standing_points,
    write_masks,
)
from pw_core.reconstruct.splatting.bind import astray, bound, refit
from pw_core.reconstruct.splatting.draw import choose_device
from pw_core.reconstruct.splatting.fit import fit, score
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.surface.mesh import mesh_of
from pw_core.reconstruct.surface.particles import RIGID_PARTICLES
from pw_core.reconstruct.surface.tsdf import Fused, bounds_of, hull_bounds
from pw_core.reconstruct.types import Mask, Posed
from pw_core.scene import Entity, Particles, Scene

SETTLINGS = 2
"""How often masks take what the Gaussians say, which then are told apart by them anew."""


def reconstruct_views(
    config: SceneConfig, inputs: Inputs, *, settings: ViewsSettings | None = None, folder: Path | str | None = None,
    progress: Progress | None = None,
) -> Scene:
    """A scene from whatever pictures were given; `inputs.route` says which way was chosen, `scene.provenance` too.

    Args:
        config: entities with prompts [px of the picture `settings.prompt_view` as given]; its camera and table count
            for a single photo alone, as do its providers: `reconstruct.more_views` makes many views of it.
        settings: in place of `config.reconstruct.views`.
        folder: where poses, masks, checkpoints, splats and the report stay; a run that was cancelled goes on there. A
            temporary one if None.
        progress: called with stage and fraction; what it raises ends the work.

    Raises:
        ReconstructError: INVALID_IMAGE, INVALID_CAMERA, INVALID_PROMPT, INVALID_CONFIG, MISSING_WEIGHTS,
            RECONSTRUCT_FAILED; the message says which picture and what would be right.
    """  # fmt: skip
    settings = settings or config.reconstruct.views
    progress = progress or (lambda stage, fraction: None)
    check(inputs, shared_camera=settings.shared_camera)
    invented = inputs.route == "photo" and bool(config.reconstruct.more_views.provider)
    if inputs.route == "photo" and not invented:
        from pw_core.reconstruct.routes.single_photo import reconstruct

        return reconstruct(config, photo=inputs.views[0].image, progress=progress)
    if inputs.route == "rgbd":
        from pw_core.reconstruct.routes.single_rgbd import lift_rgbd

        return lift_rgbd(config, inputs.views[0], settings=settings, progress=progress)
    place = Path(tempfile.mkdtemp(prefix="pw_views_") if folder is None else folder)
    place.mkdir(parents=True, exist_ok=True)
    try:
        if invented:
            from pw_core.reconstruct.providers.more_views import invent

            inputs, settings = invent(config, inputs, settings, place, _part(progress, 0.0, 0.3))
            progress = _part(progress, 0.3, 1.0)
        scene = _many(config, inputs, settings, place, progress)
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    return scene if not invented else replace(scene, provenance=scene.provenance | {
        "method": f"many views: {config.reconstruct.more_views.provider}, of a single photo"})  # fmt: skip


def way(config: SceneConfig, inputs: Inputs | None = None) -> str:
    """What is made of those inputs (None: a single photo), in words: the route, and what a photo's providers add."""
    ask = config.reconstruct
    if inputs is not None and inputs.route != "photo":
        return inputs.route
    if ask.more_views.provider:
        return f"photo, more views by {ask.more_views.provider}"
    return f"photo, depth by {ask.depth.provider}" if ask.depth.provider else "photo"


def keep(folder: Path, to: Path) -> None:
    """A copy of what a finished reconstruction left in `folder`, without what only a next run could use; none where it
    left no report."""
    if not (folder / "report.json").is_file():
        return
    part = to.with_name(to.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    passing = ("fit.safetensors", FIRST, "features.db*", "try", "*.part", "job.txt", "pictures.txt")
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns(*passing))
    shutil.rmtree(to, ignore_errors=True)
    part.rename(to)


def _many(config: SceneConfig, inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress) -> Scene:
    began = time.perf_counter()
    _same_job(config, inputs, settings, folder)
    adjusted = None
    if settings.refine_poses and inputs.route in ("posed", "posed rgbd"):
        from pw_core.reconstruct.poses.sfm.adjust_given import polish_poses

        inputs, adjusted = polish_poses(inputs, settings, folder, progress)
    posed = pose(inputs, settings, folder, progress)
    if adjusted is not None:
        posed = replace(posed, report=posed.report | {"poses": "given, then adjusted", "adjusted": adjusted})
    metric = inputs.route != "photos"
    prompt = _prompt_view(inputs, settings, posed)
    progress("plane", 0.14)
    own_there = standing_points(posed, prompted(config, inputs, settings, posed, prompt), prompt)
    found = "depth" if inputs.route == "rgbd pictures" else ""
    posed, standing = stand(posed, settings, metric=metric, own=own_there, metre=found)
    progress("masks", 0.15)
    masks = find_masks(config, inputs, settings, posed, prompt, folder)
    if not metric and settings.camera_height_m == 0:
        posed, standing = _scaled(posed, masks[config.entities[0].name], settings, standing)
    device = choose_device(settings)
    held = posed.views[:: settings.holdout_every] if settings.holdout_every else ()
    train = [v for v in posed.views if v not in held]
    first = start(posed.points, posed.colors, sh_degree=settings.sh_degree)
    busy, anew = time.process_time(), not (folder / "fit.safetensors").is_file()
    fitted = fit(train, first, settings, progress=_part(progress, 0.2, 0.7), checkpoint=folder / "fit.safetensors")
    busy = time.process_time() - busy
    figures: dict[str, Any] = {"fit_steps": fitted.steps, "fit_seconds": round(fitted.seconds, 1),
                               "gaussians": len(fitted.gaussians),
                               "train": score(train, fitted.gaussians, device=device)}  # fmt: skip
    if anew:
        figures["fit_cpu_seconds"] = round(busy, 1)
    if held:
        figures["held_out"] = score(held, fitted.gaussians, device=device) | {"views": [v.name for v in held]}
    deep = all(v.depth is not None for v in posed.views)  # then views have voted on every place already
    progress("shadows", 0.7)
    if not deep:
        without_ground(train, masks, fitted.gaussians, given=inputs.masks)
        masks = outlined(posed.views, masks, given=inputs.masks)
    whose, likely = classify(train, fitted.gaussians, masks, progress=_part(progress, 0.7, 0.74), device=device)
    for i in range(SETTLINGS):
        if deep or not settle(train, masks, likely, config, inputs.masks):
            break
        part = _part(progress, 0.74 + 0.03 * i, 0.77 + 0.03 * i)
        whose, likely = classify(train, fitted.gaussians, masks, progress=part, device=device)
    for name, of in masks.items():
        write_masks(folder / "masks" / name, of)
    progress("meshes", 0.8)
    own = [fitted.gaussians[whose == 1 + i] for i in range(len(config.entities))]
    solids = [
        mesh_of(e, train, mine, fitted.gaussians[whose != 1 + i], masks, settings, points=on_it(posed, masks[e.name]))
        for i, (e, mine) in enumerate(zip(config.entities, own))
    ]
    union = {v.name: np.any([m[v.name] for m in masks.values()], axis=0) for v in train}
    progress("what is behind", 0.84)
    # What masks took for an entity that turned out not to reach there.
    rest = [fitted.gaussians[whose == 0], *(mine[astray(s, mine)] for s, mine in zip(solids, own))]
    background, hole = fill_behind(Gaussians.concatenate(rest), solids, train, union)
    progress("particles", 0.87)
    scene = assemble(config, solids, own, background)
    binding, foreground = refit(
        train, union, scene.rest, scene.binding, scene.foreground, background, steps=settings.bind_steps,
        progress=_part(progress, 0.88, 0.98), device=device,
    )  # fmt: skip
    bound_score = score(train, Gaussians.concatenate([foreground, background]), device=device)
    figures["bound"] = bound_score
    figures["psnr_lost_by_the_move_db"] = figures["train"]["psnr_db"] - bound_score["psnr_db"]
    order = sorted(posed.views, key=lambda v: v.name != prompt)
    scene = replace(
        scene, binding=binding, foreground=foreground, cameras=tuple(_named(v.camera) for v in order),
        provenance={
            "method": f"many views: {inputs.route}", "poses": posed.report, "plane": standing, "background": hole,
            "figures": figures, "working_size_px": [order[0].camera.width, order[0].camera.height],
            "seconds": round(time.perf_counter() - began, 1),
        },
    )  # fmt: skip
    from pw_core.reconstruct.report.page import write_report

    write_report(folder, scene, posed, masks, fitted.gaussians)
    progress("done", 1.0)
    return scene


def assemble(config: SceneConfig, solids: list[Fused], skins: list[Gaussians], background: Gaussians) -> Scene:
    """Entities with particles and bound Gaussians, not yet fitted again; no cameras."""
    import trimesh

    meshes = [trimesh.Trimesh(s.mesh.vertices, s.mesh.faces) for s in solids]
    volumes = [float(m.volume) for m in meshes]
    soft = sum(v for v, e in zip(volumes, config.entities) if e.kind == "deformable")
    entities: list[Entity] = []
    points: list[np.ndarray] = []
    fronts: list[Gaussians] = []
    bindings: list[tuple[Any, ...]] = []
    for i, (entity, solid, skin) in enumerate(zip(config.entities, solids, skins)):
        deformable = entity.kind == "deformable"
        count = max(100, round(config.simulation.particles * volumes[i] / soft)) if deformable else RIGID_PARTICLES
        b = bound(solid, skin, entity, volume_m3=volumes[i], count=count)
        j, n = sum(map(len, points)), sum(map(len, fronts))
        points.append(b.positions)
        fronts.append(b.gaussians)
        bindings.append((b.index + j, b.weights, b.raw, np.full(len(b.raw), b.spacing_m)))
        entities.append(Entity(
            name=entity.name, id=i, kind=entity.kind, material=entity.material, mesh=solid.mesh,
            origin=np.asarray(meshes[i].center_mass), volume_m3=volumes[i],
            particle_size_m=float((volumes[i] / len(b.positions)) ** (1 / 3)),
            particles=slice(j, j + len(b.positions)), gaussians=slice(n, n + len(b.gaussians)),
        ))  # fmt: skip
    index, weights, raw, delta = (np.concatenate(x) for x in zip(*bindings))
    binding = Binding(index.astype(np.int64), *(x.astype(np.float32) for x in (weights, raw, delta)))
    rest = np.concatenate(points).astype(np.float32)
    foreground = replace(Gaussians.concatenate(fronts), means=rest[binding.index[:, 0]] + binding.offsets())
    return Scene(
        id=config.name, config=config, entities=tuple(entities), particles=Particles.at_rest(rest),
        entity_ids=np.concatenate([np.full(len(p), i, np.int32) for i, p in enumerate(points)]),
        foreground=foreground, binding=binding, background=background, cameras=(),
    )  # fmt: skip


def _same_job(config: SceneConfig, inputs: Inputs, settings: ViewsSettings, folder: Path) -> None:
    """Empty the folder of another job's intermediate files."""
    import hashlib

    given = [(v.image, v.depth, v.K, v.viewmat) for v in inputs.views]
    sums = [hashlib.sha256(b"|".join(b"" if a is None else a.tobytes() for a in v)).hexdigest()[:16] for v in given]
    masks = [
        hashlib.sha256(np.ascontiguousarray(m).tobytes() + f"{e} {n}".encode()).hexdigest()[:16]
        for e, of in sorted(inputs.masks.items()) for n, m in sorted(of.items())
    ]  # fmt: skip
    keep = {"bind_steps", "checkpoint_every"}
    key = json.dumps([sums, masks, config.model_dump(mode="json"), settings.model_dump(mode="json", exclude=keep)])
    digest = hashlib.sha256(key.encode()).hexdigest()
    note = folder / "job.txt"
    if note.is_file() and note.read_text() != digest:
        (folder / "fit.safetensors").unlink(missing_ok=True)
        shutil.rmtree(folder / FIRST, ignore_errors=True)
    pictures = hashlib.sha256(json.dumps([sums, settings.mapper, settings.matching]).encode()).hexdigest()
    poses = folder / "pictures.txt"
    if poses.is_file() and poses.read_text() != pictures:
        shutil.rmtree(folder / "sfm", ignore_errors=True)
    poses.write_text(pictures)
    note.write_text(digest)


def _prompt_view(inputs: Inputs, settings: ViewsSettings, posed: Posed) -> str:
    name = settings.prompt_view or inputs.views[0].name
    names = [v.name for v in posed.views]
    if name not in names:
        raise ReconstructError(f"the prompts belong to {name}, which is not among the pictures that could be placed: "
                               f"{', '.join(names)}", code=ErrorCode.INVALID_PROMPT)  # fmt: skip
    return name


def _scaled(posed: Posed, masks: dict[str, Mask], settings: ViewsSettings, standing: Any) -> tuple[Posed, Any]:
    """Metres from the first entity's size."""
    around = bounds_of(own_points(posed, masks), grow=0.5)
    box = hull_bounds(masks, {v.name: v.camera for v in posed.views}, around)
    longest = float((box[1] - box[0]).max())
    assumed = settings.object_size_m or ASSUMED_SIZE_M
    scale = assumed / longest
    source = (f"object size {assumed} m" if settings.object_size_m
              else f"unknown; the first entity is assumed to be {assumed} m long")  # fmt: skip
    T = np.diag([scale, scale, scale, 1.0])
    whole = (T @ np.array(standing["world_from_given"])).tolist()
    standing = standing | {"scale": standing["scale"] * scale, "scale_from": source, "world_from_given": whole}
    return moved(posed, T), standing


def _named(camera: Camera) -> Camera:
    return replace(camera, name=re.sub(r"[^A-Za-z0-9_]", "_", Path(camera.name).stem))


def _part(progress: Progress, low: float, high: float) -> Progress:
    return lambda stage, fraction: progress(stage, low + (high - low) * fraction)
