"""A scene's own files: scene.yaml, background and entities as safetensors, meshes, cameras.json."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, SceneError
from pw_core.gaussians import Binding, Camera, Gaussians
from pw_core.scene import Entity, Light, Mesh, Particles, Scene
from pw_core.store.arrays import contiguous, part
from pw_core.store.checksums import write_scene_sums

FORMAT = 1
"""Of the folder, in scene.yaml. A reader refuses what is newer than it knows."""

LIGHT = "light.safetensors"
"""Only where shadows are apart from the background."""


def write_scene(folder: Path, scene: Scene) -> None:
    """Into an empty folder, with folders for its states and trajectories."""
    import trimesh
    import yaml
    from safetensors.numpy import save_file

    for name in ("meshes", "states", "trajectories"):
        (folder / name).mkdir()
    entities = []
    for e in scene.entities:
        trimesh.Trimesh(e.mesh.vertices, e.mesh.faces, process=False).export(folder / "meshes" / f"{e.name}.ply")
        entities.append({
            "name": e.name, "kind": e.kind, "origin_m": e.origin.tolist(), "volume_m3": e.volume_m3,
            "particle_size_m": e.particle_size_m, "particles": [e.particles.start, e.particles.stop],
            "gaussians": [e.gaussians.start, e.gaussians.stop],
        })  # fmt: skip
    head = {
        "format": FORMAT, "id": scene.id, "made": uuid.uuid4().hex, "config": scene.config.model_dump(mode="json"),
        "entities": entities, "provenance": scene.provenance,
    }  # fmt: skip
    (folder / "scene.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(head)), sort_keys=False))
    save_file(contiguous(scene.background.arrays()), folder / "background.safetensors")
    arrays = {f"particles.{k}": v for k, v in scene.particles.arrays().items()}
    arrays |= {f"gaussians.{k}": v for k, v in scene.foreground.arrays().items()}
    arrays |= {f"binding.{k}": v for k, v in asdict(scene.binding).items()}
    arrays["entity_ids"] = scene.entity_ids
    save_file(contiguous(arrays), folder / "entities.safetensors")
    if scene.light is not None:
        save_file(contiguous(scene.light.arrays()), folder / LIGHT)
    cameras = [
        {"name": c.name, "K": c.K.tolist(), "viewmat": c.viewmat.tolist(), "width": c.width, "height": c.height}
        for c in scene.cameras
    ]
    (folder / "cameras.json").write_text(json.dumps(cameras, indent=1))
    write_scene_sums(folder)


def read_scene(folder: Path, scene_id: str) -> Scene:
    """What `write_scene` wrote; whatever is wrong with a file raises its own error.

    Raises:
        SceneError (STORE_FAILED): a format that is newer than this program.
    """
    import yaml
    from safetensors.numpy import load_file

    head = yaml.safe_load((folder / "scene.yaml").read_text())
    if head.get("format", FORMAT) > FORMAT:
        raise SceneError(
            f"{folder / 'scene.yaml'} has format {head['format']}; this program reads up to {FORMAT}: use a newer one",
            code=ErrorCode.STORE_FAILED,
        )
    config = SceneConfig.parse(head["config"], source=str(folder / "scene.yaml"))
    arrays = load_file(folder / "entities.safetensors")
    entities = []
    for i, e in enumerate(head["entities"]):
        entities.append(Entity(
            name=e["name"], id=i, kind=e["kind"], material=config.entity(e["name"]).material,
            mesh=_read_mesh(folder / "meshes" / f"{e['name']}.ply"), origin=np.array(e["origin_m"]),
            volume_m3=e["volume_m3"], particle_size_m=e["particle_size_m"],
            particles=slice(*e["particles"]), gaussians=slice(*e["gaussians"]),
        ))  # fmt: skip
    cameras = [
        Camera(c["name"], np.array(c["K"]), np.array(c["viewmat"]), c["width"], c["height"])
        for c in json.loads((folder / "cameras.json").read_text())
    ]
    return Scene(
        id=scene_id, config=config, entities=tuple(entities), particles=Particles(**part(arrays, "particles")),
        entity_ids=arrays["entity_ids"], foreground=Gaussians(**part(arrays, "gaussians")),
        binding=Binding(**part(arrays, "binding")),
        background=Gaussians(**load_file(folder / "background.safetensors")), cameras=tuple(cameras),
        provenance=head.get("provenance", {}),
        light=Light.of(load_file(folder / LIGHT)) if (folder / LIGHT).exists() else None,
    )  # fmt: skip


def _read_mesh(path: Path) -> Mesh:
    """Its triangles, without trimesh, whose import takes a third of the time to a first frame; all at once, as their
    corners are known to be three: face by face it takes another quarter."""
    from plyfile import PlyData

    ply = PlyData.read(str(path), known_list_len={"face": {"vertex_indices": 3}})
    vertices = np.stack([ply["vertex"][axis] for axis in "xyz"], axis=1).astype(np.float64)
    return Mesh(vertices, np.array(ply["face"]["vertex_indices"], np.int64).reshape(-1, 3))
