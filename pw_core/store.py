"""Scenes, states and trajectories on disk, each written aside and renamed, so that a crash leaves the old or the new.

`<store>/<scene>/`: scene.yaml, background.safetensors, entities.safetensors, meshes/*.ply, cameras.json, tree.json,
states/<id>.safetensors, trajectories/<id>.npz. No pickle anywhere, and no name leaves the store.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import parse_action
from pw_core.config import NAME, SceneConfig
from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.gaussians import Binding, Camera, Gaussians
from pw_core.scene import AppearanceParameters, Body, Entity, Mesh, Particles, PhysicsState, Scene, State, Trajectory

FORMAT = 1


def check_name(name: str, *, what: str) -> str:
    """The name, if it may be a file's.

    Raises:
        SceneError (INVALID_NAME): anything but letters, digits, _ and -, or over 100 characters.
    """
    if not re.match(NAME, name) or len(name) > 100:
        raise SceneError(
            f"{what} '{name[:100]}' is not a name: use up to 100 letters, digits, '_' and '-'",
            code=ErrorCode.INVALID_NAME,
        )
    return name


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """A full disk, missing rights or a broken file as a SceneError."""
    try:
        yield
    except PWError:
        raise
    except Exception as error:  # safetensors, zip and json each raise their own for a broken file
        raise SceneError(f"{what}: {type(error).__name__}: {error}", code=ErrorCode.STORE_FAILED) from None


class Store:
    """One folder of scenes. It is made when first written to."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._new: list[Path] | None = None
        """Files made since `all_or_nothing` began."""

    def scene_ids(self) -> list[str]:
        """Ids of the scenes on disk, sorted."""
        return sorted(p.parent.name for p in self.root.glob("*/scene.yaml") if not p.parent.name.startswith("."))

    def folder(self, scene_id: str) -> Path:
        """The scene's folder, there or not."""
        return self.root / check_name(scene_id, what="scene")

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """When what is done inside fails, the state and trajectory files that it made are removed again.

        Files that were there before stay, with what was last written to them.
        """
        made: list[Path] = []
        self._new = made
        try:
            yield
        except BaseException:
            for path in made:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        finally:
            self._new = None

    def _put(self, path: Path, data: bytes) -> None:
        new = not path.exists()
        _replace(path, data)
        if new and self._new is not None:
            self._new.append(path)

    # --- scenes -------------------------------------------------------------------------------------------------------

    def save_scene(self, scene: Scene) -> None:
        """Write the whole scene, in place of one with its id, whose states and trajectories go with it.

        Raises:
            SceneError (STORE_FAILED): disk full, no rights; what was there stays as it was.
        """
        target = self.folder(scene.id)
        with _failures(f"scene '{scene.id}' cannot be written to {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
            try:
                self._write_scene(scene, new)
                old = self.root / f".old-{scene.id}"
                shutil.rmtree(old, ignore_errors=True)
                if target.exists():
                    target.rename(old)
                new.rename(target)
                shutil.rmtree(old, ignore_errors=True)
            finally:
                shutil.rmtree(new, ignore_errors=True)

    def _write_scene(self, scene: Scene, folder: Path) -> None:
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
            "format": FORMAT, "id": scene.id, "config": scene.config.model_dump(mode="json"), "entities": entities,
            "provenance": scene.provenance,
        }  # fmt: skip
        (folder / "scene.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(head)), sort_keys=False))
        save_file(_contiguous(scene.background.arrays()), folder / "background.safetensors")
        arrays = {f"particles.{k}": v for k, v in scene.particles.arrays().items()}
        arrays |= {f"gaussians.{k}": v for k, v in scene.foreground.arrays().items()}
        arrays |= {f"binding.{k}": v for k, v in asdict(scene.binding).items()}
        arrays["entity_ids"] = scene.entity_ids
        save_file(_contiguous(arrays), folder / "entities.safetensors")
        cameras = [
            {"name": c.name, "K": c.K.tolist(), "viewmat": c.viewmat.tolist(), "width": c.width, "height": c.height}
            for c in scene.cameras
        ]
        (folder / "cameras.json").write_text(json.dumps(cameras, indent=1))

    def load_scene(self, scene_id: str) -> Scene:
        """Raises:
        SceneError: UNKNOWN_SCENE, or STORE_FAILED for a broken file.
        """
        import trimesh
        import yaml
        from safetensors.numpy import load_file

        folder = self.folder(scene_id)
        if not (folder / "scene.yaml").is_file():
            raise SceneError(
                f"scene '{scene_id}' is not in {self.root}; there are: {', '.join(self.scene_ids()) or 'none'}",
                code=ErrorCode.UNKNOWN_SCENE,
            )
        with _failures(f"scene '{scene_id}' in {self.root} cannot be read"):
            head = yaml.safe_load((folder / "scene.yaml").read_text())
            config = SceneConfig.parse(head["config"], source=str(folder / "scene.yaml"))
            arrays = load_file(folder / "entities.safetensors")
            entities = []
            for i, e in enumerate(head["entities"]):
                mesh = trimesh.load_mesh(folder / "meshes" / f"{e['name']}.ply", process=False)
                entities.append(Entity(
                    name=e["name"], id=i, kind=e["kind"], material=config.entity(e["name"]).material,
                    mesh=Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)), origin=np.array(e["origin_m"]),
                    volume_m3=e["volume_m3"], particle_size_m=e["particle_size_m"],
                    particles=slice(*e["particles"]), gaussians=slice(*e["gaussians"]),
                ))  # fmt: skip
            cameras = [
                Camera(c["name"], np.array(c["K"]), np.array(c["viewmat"]), c["width"], c["height"])
                for c in json.loads((folder / "cameras.json").read_text())
            ]
            return Scene(
                id=scene_id, config=config, entities=tuple(entities), particles=Particles(**_part(arrays, "particles")),
                entity_ids=arrays["entity_ids"], foreground=Gaussians(**_part(arrays, "gaussians")),
                binding=Binding(**_part(arrays, "binding")),
                background=Gaussians(**load_file(folder / "background.safetensors")), cameras=tuple(cameras),
                provenance=head.get("provenance", {}),
            )  # fmt: skip

    # --- states and the tree ------------------------------------------------------------------------------------------

    def save_state(self, scene_id: str, state: State) -> None:
        """Write one state; SceneError (STORE_FAILED) when it cannot be."""
        from safetensors.numpy import save

        arrays = {f"particles.{k}": v for k, v in state.physics.particles.arrays().items()}
        for name, body in state.physics.bodies.items():
            arrays |= {f"body.{name}.{k}": np.asarray(v, np.float64) for k, v in asdict(body).items()}
        meta = {
            "id": state.id, "parent": state.parent, "time_s": repr(state.time_s), "trajectory_id": state.trajectory_id,
            "created": repr(state.created), "label": state.label,
            "parameters": json.dumps(state.parameters), "figures": json.dumps(state.figures),
        }  # fmt: skip
        if state.appearance is not None:
            arrays |= {f"look.{k}": v for k, v in state.appearance.arrays().items()}
        arrays |= {f"view.{name}": picture for name, picture in state.views.items()}
        path = self.folder(scene_id) / "states" / f"{check_name(state.id, what='state')}.safetensors"
        with _failures(f"state '{state.id}' cannot be written to {path.parent}"):
            self._put(path, save(_contiguous(arrays), metadata=meta))

    def load_state(self, scene_id: str, state_id: str) -> State:
        """Raises:
        SceneError: UNKNOWN_STATE, or STORE_FAILED for a broken file.
        """
        from safetensors import safe_open

        path = self.folder(scene_id) / "states" / f"{check_name(state_id, what='state')}.safetensors"
        if not path.is_file():
            raise SceneError(f"state '{state_id}' is not in {path.parent}", code=ErrorCode.UNKNOWN_STATE)
        with _failures(f"{path} cannot be read"), safe_open(path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (safe_open is no mapping)
            meta = file.metadata()
            names = sorted({key.split(".")[1] for key in arrays if key.startswith("body.")})
            bodies = {name: Body(**_part(arrays, f"body.{name}")) for name in names}
            return State(
                id=meta["id"], parent=meta["parent"], time_s=float(meta["time_s"]),
                physics=PhysicsState(Particles(**_part(arrays, "particles")), bodies),
                trajectory_id=meta["trajectory_id"], created=float(meta["created"]), label=meta["label"],
                appearance=AppearanceParameters(**_part(arrays, "look")) if "look.raw" in arrays else None,
                parameters=json.loads(meta.get("parameters", "{}")), figures=json.loads(meta.get("figures", "{}")),
                views={k.removeprefix("view."): v for k, v in arrays.items() if k.startswith("view.")},
            )  # fmt: skip

    def state_ids(self, scene_id: str) -> list[str]:
        """Ids of the states on disk, sorted."""
        return sorted(p.stem for p in (self.folder(scene_id) / "states").glob("*.safetensors"))

    def delete_state(self, scene_id: str, state_id: str) -> None:
        """Remove the file if it is there."""
        path = self.folder(scene_id) / "states" / f"{check_name(state_id, what='state')}.safetensors"
        with _failures(f"{path} cannot be removed"):
            path.unlink(missing_ok=True)

    def save_tree(self, scene_id: str, tree: dict[str, Any]) -> None:
        """Head, committed states and labels, in one small file."""
        path = self.folder(scene_id) / "tree.json"
        with _failures(f"{path} cannot be written"):
            self._put(path, json.dumps(tree, indent=1).encode())

    def load_tree(self, scene_id: str) -> dict[str, Any]:
        """What `save_tree` wrote; empty if nothing was."""
        path = self.folder(scene_id) / "tree.json"
        if not path.is_file():
            return {}
        with _failures(f"{path} cannot be read"):
            return dict(json.loads(path.read_text()))

    # --- trajectories -------------------------------------------------------------------------------------------------

    def save_trajectory(self, scene_id: str, trajectory: Trajectory) -> Path:
        """Write `trajectories/<id>.npz`; SceneError (STORE_FAILED) when it cannot be."""
        name = check_name(trajectory.id, what="trajectory")
        path = self.folder(scene_id) / "trajectories" / f"{name}.npz"
        with _failures(f"trajectory '{trajectory.id}' cannot be written to {path.parent}"):
            self._put(path, _trajectory_bytes(trajectory))
        return path

    def load_trajectory(self, scene_id: str, trajectory_id: str) -> Trajectory:
        """Raises:
        SceneError: UNKNOWN_TRAJECTORY, or STORE_FAILED for a broken file.
        """
        path = self.folder(scene_id) / "trajectories" / f"{check_name(trajectory_id, what='trajectory')}.npz"
        if not path.is_file():
            raise SceneError(f"trajectory '{trajectory_id}' is not in {path.parent}", code=ErrorCode.UNKNOWN_TRAJECTORY)
        with _failures(f"{path} cannot be read"), np.load(path, allow_pickle=False) as arrays:
            meta = json.loads(str(arrays["meta"]))
            bodies = {key.removeprefix("body."): arrays[key] for key in arrays if key.startswith("body.")}
            return Trajectory(
                id=meta["id"], start=meta["start"], end=meta["end"], times=arrays["times"],
                positions=arrays["positions"], velocities=arrays["velocities"], bodies=bodies,
                actions=tuple(parse_action(a) for a in meta["actions"]),
            )  # fmt: skip


def write_trajectory(path: Path, trajectory: Trajectory) -> None:
    """As `.npz`: times, positions, velocities, body.<entity>, and `meta`, a JSON string."""
    _replace(path, _trajectory_bytes(trajectory))


def _trajectory_bytes(trajectory: Trajectory) -> bytes:
    import io

    t = trajectory
    meta = {"id": t.id, "start": t.start, "end": t.end, "actions": [a.model_dump(mode="json") for a in t.actions]}
    arrays: dict[str, NDArray[Any]] = {"times": t.times, "positions": t.positions, "velocities": t.velocities}
    arrays |= {f"body.{name}": poses for name, poses in t.bodies.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(data)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _contiguous(arrays: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {k: np.ascontiguousarray(v) for k, v in arrays.items()}


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix + "."): v for k, v in arrays.items() if k.startswith(prefix + ".")}
