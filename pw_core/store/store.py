"""Scenes, states and trajectories on disk, each written aside and renamed, so that a crash leaves the old or the new.

`<store>/<scene>/`: scene.yaml, background.safetensors, entities.safetensors, light.safetensors (of one photo),
meshes/*.ply, cameras.json, tree.json, states/<id>.safetensors, trajectories/<id>.npz. No pickle anywhere, and no name
leaves the store.
`<store>/.replaced/<scene>-<time>/` is a scene whose place another took, `.locks/` says which process writes which,
`.store.json` holds the store's id.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pw_core.errors import ErrorCode, SceneError
from pw_core.files import replace_file, replace_files, sync_tree
from pw_core.progress import Progress, no_progress
from pw_core.scene import Scene, State, Trajectory
from pw_core.store import replaced
from pw_core.store.check import Fault, check_folder, repair_folder, scene_folders
from pw_core.store.identity import Identity, digest
from pw_core.store.leftovers import clean_scene, clean_store
from pw_core.store.locks import Lock, held_here
from pw_core.store.names import check_name, failures
from pw_core.store.replaced import ReplacedScene
from pw_core.store.scene_files import read_scene, write_scene
from pw_core.store.state_files import read_state, state_bytes
from pw_core.store.trajectory_files import read_trajectory, trajectory_bytes


class Store:
    """One folder of scenes. It is made when first written to.

    What was read of it is known again before each write: where the store or the scene is gone, or is another one now,
    nothing is written (STORE_FAILED), until it is back. The first write to a scene makes it this process's to write: in
    others, writes to it fail (STORE_LOCKED) until this store is closed or dropped.

    Args:
        keep_replaced: of each scene, how many that were replaced are kept; when there are more, the oldest go for good.
    """

    def __init__(self, root: Path | str, *, keep_replaced: int = 10) -> None:
        self.root = Path(root)
        self.keep_replaced = keep_replaced
        self._identity = Identity(self.root)
        self._locks: dict[str, Lock] = {}
        weakref.finalize(self, _release, self._locks)

    def scene_ids(self) -> list[str]:
        """Ids of the scenes on disk, sorted."""
        return sorted(p.parent.name for p in self.root.glob("*/scene.yaml") if not p.parent.name.startswith("."))

    def folder(self, scene_id: str) -> Path:
        """The scene's folder, there or not."""
        return self.root / check_name(scene_id, what="scene")

    def problem(self) -> str:
        """Why the store cannot be written to, as far as can be told without doing so; empty where it can."""
        return self._identity.problem()

    def tidy(self) -> None:
        """Remove what killed writers have left behind, but for scenes that another process writes."""
        if self.root.is_dir():
            clean_store(self.root)

    def close(self, *, but: str = "") -> None:
        """Let other processes write the scenes that were written here, except `but`."""
        for scene_id in [s for s in self._locks if s != but]:
            self._locks.pop(scene_id).release()

    def check_writable(self, scene_id: str) -> None:
        """What is asked before each write into a scene's folder.

        Raises:
            SceneError: STORE_FAILED: store or scene are gone, or not those that were opened; STORE_LOCKED.
        """
        with failures(f"scene '{scene_id}' cannot be written in {self.root}"):
            self._identity.check_store(make=(self.root / scene_id / "scene.yaml").is_file())
            self._lock(scene_id)
            self._identity.check_scene(scene_id)

    def _lock(self, scene_id: str) -> None:
        lock = self._locks.get(scene_id)
        if lock is not None and lock.is_there():
            return
        if lock is not None:  # the folder was deleted or replaced by a copy
            self._locks.pop(scene_id).release()
        if not self.root.is_dir():
            return  # nothing to lock; the next check says so
        new = not held_here(self.root, scene_id)
        self._locks[scene_id] = Lock.take(self.root, scene_id)
        if new:
            clean_scene(self.root, scene_id)

    def check(self, *, repair: bool = False, progress: Progress = no_progress) -> list[Fault]:
        """Read all that is there, scenes that were replaced too; what is broken.

        Args:
            repair: broken states and trajectories move to `.quarantine`, trees that name them are made anew.
            progress: told of each scene; what it raises ends the check between two of them.

        Raises:
            SceneError: STORE_FAILED: there is no store; with `repair`, STORE_LOCKED: a broken scene is being written.
        """
        if not self.root.is_dir():
            raise SceneError(f"there is no store at {self.root}", code=ErrorCode.STORE_FAILED)
        faults = []
        folders = scene_folders(self.root)
        for done, folder in enumerate(folders):
            progress(folder.name, done / len(folders))
            found, doomed, tree = check_folder(self.root, folder)
            faults += found
            if repair and (doomed or tree is not None) and folder.parent == self.root:
                self.check_writable(folder.name)
                with failures(f"{folder} cannot be repaired"):
                    repair_folder(self.root, folder, doomed, tree)
                self._saw(folder.name)
        return faults

    # --- scenes -------------------------------------------------------------------------------------------------------

    def check_free(self, scene_id: str, *, replace: bool = False) -> None:
        """Whether a scene of that id may be written; to be asked before long work, `save_scene` asks again.

        Raises:
            SceneError: INVALID_NAME; SCENE_EXISTS where a folder of that name is there and not to be replaced;
                STORE_FAILED where the store cannot be written to.
        """
        folder = self.folder(scene_id)
        self._identity.check_store(make=False)
        if replace or not os.path.lexists(folder):
            return
        states = len(self.state_ids(scene_id))
        what = f"{states} state{'s' * (states != 1)}" if (folder / "scene.yaml").is_file() else "no scene.yaml"
        raise SceneError(
            f"scene '{scene_id}' is in {self.root} already, with {what}: select it, take another id, or ask for it to "
            f"be replaced (it is then kept in {replaced.FOLDER})",
            code=ErrorCode.SCENE_EXISTS,
        )

    def save_scene(self, scene: Scene, *, root: State | None = None, replace: bool = False) -> None:
        """Write the whole scene, with `root` (if given) as the one state and head of its tree.

        Args:
            replace: it may take the place of one with its id, which is kept aside whole, see `replaced`.

        Raises:
            SceneError: SCENE_EXISTS; STORE_FAILED: disk full, no rights. What was there stays as it was.
        """
        self.check_free(scene.id, replace=replace)
        with failures(f"scene '{scene.id}' cannot be written to {self.root}"):
            self._identity.check_store(make=True)
            self._lock(scene.id)
            new = Path(tempfile.mkdtemp(prefix=f".new-{scene.id}.", dir=self.root))
            try:
                write_scene(new, scene)
                if root is not None:
                    (new / _state_path(root.id)).write_bytes(state_bytes(root))
                    tree = {"head": root.id, "committed": [root.id], "last_trajectory": ""}
                    (new / "tree.json").write_bytes(_tree_bytes(tree))
                sync_tree(new)
                self.check_free(scene.id, replace=replace)  # it may have come while this one was written
                replaced.swap_in(self.root, scene.id, new)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            self._saw(scene.id)
            replaced.purge_beyond(self.root, scene.id, self.keep_replaced)

    def load_scene(self, scene_id: str) -> Scene:
        """Raises:
        SceneError: UNKNOWN_SCENE, or STORE_FAILED for a broken file.
        """
        folder = self.folder(scene_id)
        if not (folder / "scene.yaml").is_file():
            raise SceneError(
                f"scene '{scene_id}' is not in {self.root}; there are: {', '.join(self.scene_ids()) or 'none'}",
                code=ErrorCode.UNKNOWN_SCENE,
            )
        with failures(f"scene '{scene_id}' in {self.root} cannot be read"):
            found = digest(folder / "scene.yaml")
            scene = read_scene(folder, scene_id)
        self._identity.saw_scene(scene_id, found)
        return scene

    def _saw(self, scene_id: str) -> None:
        self._identity.saw_scene(scene_id, digest(self.folder(scene_id) / "scene.yaml"))
        self.load_tree(scene_id)

    # --- scenes that were replaced ------------------------------------------------------------------------------------

    def replaced(self) -> list[ReplacedScene]:
        """Scenes whose place another took, the oldest first."""
        return replaced.replaced_scenes(self.root)

    def restore_replaced(self, replaced_id: str, *, replace: bool = False) -> str:
        """Put a replaced scene back, with all it had; its id. With `replace`, one that has this id now moves aside.

        Raises:
            SceneError: UNKNOWN_SCENE, INVALID_NAME, SCENE_EXISTS, STORE_FAILED; nothing is changed.
        """
        folder = replaced.replaced_folder(self.root, replaced_id)
        scene_id = replaced.split_id(replaced_id)[0]
        self.check_free(scene_id, replace=replace)
        with failures(f"scene '{replaced_id}' cannot be put back in {self.root}"):
            read_scene(folder, scene_id)  # a broken one takes nobody's place
            self._identity.check_store(make=True)
            self._lock(scene_id)
            replaced.swap_in(self.root, scene_id, folder)
            self._saw(scene_id)
            replaced.purge_beyond(self.root, scene_id, self.keep_replaced)
        return scene_id

    def purge_replaced(self, *replaced_ids: str) -> None:
        """Remove replaced scenes for good.

        Raises:
            SceneError: UNKNOWN_SCENE, INVALID_NAME: then none is removed; STORE_FAILED.
        """
        with failures(f"replaced scenes cannot be removed from {self.root}"):
            replaced.purge(self.root, list(replaced_ids))

    # --- states and the tree ------------------------------------------------------------------------------------------

    def save_state(self, scene_id: str, state: State) -> None:
        """Write one state; SceneError (STORE_FAILED) when it cannot be."""
        path = self.folder(scene_id) / _state_path(state.id)
        self.check_writable(scene_id)
        with failures(f"state '{state.id}' cannot be written to {path.parent}"):
            replace_file(path, state_bytes(state), durable=True, parents=False)

    def load_state(self, scene_id: str, state_id: str) -> State:
        """Raises:
        SceneError: UNKNOWN_STATE, or STORE_FAILED for a broken file.
        """
        path = self.folder(scene_id) / _state_path(state_id)
        if not path.is_file():
            raise SceneError(f"state '{state_id}' is not in {path.parent}", code=ErrorCode.UNKNOWN_STATE)
        with failures(f"{path} cannot be read"):
            return read_state(path)

    def state_ids(self, scene_id: str) -> list[str]:
        """Ids of the states on disk, sorted."""
        return sorted(p.stem for p in (self.folder(scene_id) / "states").glob("*.safetensors"))

    def delete_state(self, scene_id: str, state_id: str) -> None:
        """Remove the file if it is there."""
        path = self.folder(scene_id) / _state_path(state_id)
        self.check_writable(scene_id)
        with failures(f"{path} cannot be removed"):
            path.unlink(missing_ok=True)

    def commit(
        self, scene_id: str, tree: dict[str, Any], *, states: Sequence[State] = (),
        trajectories: Sequence[Trajectory] = (),
    ) -> None:  # fmt: skip
        """Write a tree and what is new in it: on return all of it outlasts a power cut.

        Raises:
            SceneError (STORE_FAILED): then all is as it was.
        """
        folder = self.folder(scene_id)
        self.check_writable(scene_id)
        with failures(f"{folder} cannot be written to"):
            data = _tree_bytes(tree)
            files = [(folder / _trajectory_path(t.id), trajectory_bytes(t)) for t in trajectories]
            files += [(folder / _state_path(s.id), state_bytes(s)) for s in states]
            for path, _ in files:  # copies by git and the like leave out empty folders
                path.parent.mkdir(exist_ok=True)
            replace_files(files, (folder / "tree.json", data))
        self._identity.saw_tree(scene_id, data)

    def load_tree(self, scene_id: str) -> dict[str, Any]:
        """What `commit` wrote; empty if nothing was."""
        path = self.folder(scene_id) / "tree.json"
        with failures(f"{path} cannot be read"):
            data = path.read_bytes() if path.is_file() else b""
            tree = dict(json.loads(data)) if data else {}
        self._identity.saw_tree(scene_id, data)
        return tree

    # --- trajectories -------------------------------------------------------------------------------------------------

    def save_trajectory(self, scene_id: str, trajectory: Trajectory) -> Path:
        """Write `trajectories/<id>.npz`; SceneError (STORE_FAILED) when it cannot be."""
        path = self.folder(scene_id) / _trajectory_path(trajectory.id)
        self.check_writable(scene_id)
        with failures(f"trajectory '{trajectory.id}' cannot be written to {path.parent}"):
            replace_file(path, trajectory_bytes(trajectory), durable=True, parents=False)
        return path

    def load_trajectory(self, scene_id: str, trajectory_id: str) -> Trajectory:
        """Raises:
        SceneError: UNKNOWN_TRAJECTORY, or STORE_FAILED for a broken file.
        """
        path = self.folder(scene_id) / _trajectory_path(trajectory_id)
        if not path.is_file():
            raise SceneError(f"trajectory '{trajectory_id}' is not in {path.parent}", code=ErrorCode.UNKNOWN_TRAJECTORY)
        with failures(f"{path} cannot be read"):
            return read_trajectory(path)


def _release(locks: dict[str, Lock]) -> None:
    for lock in locks.values():
        lock.release()
    locks.clear()


def _state_path(state_id: str) -> Path:
    return Path("states") / f"{check_name(state_id, what='state')}.safetensors"


def _trajectory_path(trajectory_id: str) -> Path:
    return Path("trajectories") / f"{check_name(trajectory_id, what='trajectory')}.npz"


def _tree_bytes(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, indent=1).encode()
