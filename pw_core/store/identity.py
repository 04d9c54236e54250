"""Whether what lies at a store's path is the store that was opened: not deleted, not unmounted, not another one."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from pathlib import Path

from pw_core.errors import ErrorCode, SceneError
from pw_core.files import sync
from pw_core.store import locks

MARKER = ".store.json"
"""A file with the store's id, which is drawn when the store is first written to. Older stores have none until then."""


def read_marker(root: Path) -> str:
    """The store's id; empty where there is none."""
    try:
        return str(json.loads((root / MARKER).read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def make_marker(root: Path) -> str:
    """Give the store an id if it has none; its id. Of two processes that do so at once, one waits for the other."""
    (root / locks.FOLDER).mkdir(exist_ok=True)
    fd = os.open(root / locks.FOLDER / "store", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in locks.UNSUPPORTED:
                raise
        found = read_marker(root)
        if not found:
            found = uuid.uuid4().hex
            (root / MARKER).write_text(json.dumps({"id": found}))
            sync(root / MARKER)
            sync(root)
        return found
    finally:
        os.close(fd)


def digest(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return hashlib.sha256(data).hexdigest() if data else ""


class Identity:
    """What was read or written of a store, by which it is known again before each write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store = read_marker(root)
        self._seen = bool(self._store)
        self._scenes: dict[str, str] = {}
        self._trees: dict[str, str] = {}

    def saw_scene(self, scene_id: str, found: str) -> None:
        """It was just read or written, with a scene.yaml of that digest: later writes to it are for that one."""
        self._store = read_marker(self.root)
        self._seen = True
        self._scenes[scene_id] = found

    def saw_tree(self, scene_id: str, data: bytes) -> None:
        """As `saw_scene`, for its tree.json, which holds `data`."""
        self._trees[scene_id] = hashlib.sha256(data).hexdigest() if data else ""

    def problem(self) -> str:
        """Why the store cannot be written to; empty where nothing speaks against it."""
        root = self.root
        if self._seen and not root.exists():
            return f"the store {root} is gone (deleted, moved or unmounted): put it back, then ask again"
        if self._store and read_marker(root) != self._store:
            return (
                f"{root} is not the store that was opened (it has another id, or none): put that one back, select a "
                "scene of this one, or start anew to begin a new store there"
            )
        place = root
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        if not place.is_dir():
            return f"the store {root} cannot be written to: {place} is no folder"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"the store {root} cannot be written to: no right to write in {place}, or it is mounted read-only"
        return ""

    def check_store(self, *, make: bool) -> None:
        """Before a write; `make`: the store's folder and id are made where there is neither.

        Raises:
            SceneError (STORE_FAILED): see `problem`.
        """
        if problem := self.problem():
            raise SceneError(problem, code=ErrorCode.STORE_FAILED)
        if not self._store and make:
            self.root.mkdir(parents=True, exist_ok=True)
            self._store, self._seen = make_marker(self.root), True

    def check_scene(self, scene_id: str) -> None:
        """Before a write into a scene's folder, after `check_store`.

        Raises:
            SceneError (STORE_FAILED): the scene is gone, or another has its place, or its tree was changed by someone
                else since it was read.
        """
        found = digest(self.root / scene_id / "scene.yaml")
        if not found:
            text = f"scene '{scene_id}' is gone from {self.root} (deleted or moved): put it back, then ask again"
            raise SceneError(text, code=ErrorCode.STORE_FAILED)
        if self._scenes.setdefault(scene_id, found) != found:
            text = f"scene '{scene_id}' of {self.root} was replaced since it was opened: select it again"
            raise SceneError(text, code=ErrorCode.STORE_FAILED)
        tree = digest(self.root / scene_id / "tree.json")
        if self._trees.setdefault(scene_id, tree) != tree:
            text = f"scene '{scene_id}' of {self.root} was changed by someone else since it was opened: select it again"
            raise SceneError(text, code=ErrorCode.STORE_FAILED)
