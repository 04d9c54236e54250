"""What a killed writer has left behind: files half written, folders never renamed, scenes moved aside for none.

Only who may write a scene (see `locks`) may clean up after its last writer: as long as a process has the lock, what
looks like a leftover may be its work. So a scene is cleaned when its lock is taken, and a whole store when it is opened
for writing, scene by scene, without those that another process has.
"""

from __future__ import annotations

import time
from pathlib import Path

from pw_core.errors import SceneError
from pw_core.files import NEW, PART, remove
from pw_core.store import replaced
from pw_core.store.locks import Lock, held_here
from pw_core.store.names import is_name

ORPHAN_AGE_S = 3600.0
"""[s] after which a folder that older versions wrote a new scene to is nobody's: its name does not say which scene's
lock guards it, and a scene is written in seconds."""

OLD = ".old-"
"""What older versions called a scene while another took its place; a crash left it so."""


def clean_scene(root: Path, scene_id: str) -> None:
    """For who has the scene's lock and has not begun to write."""
    replaced.undo_swap(root, scene_id)
    old = root / f"{OLD}{scene_id}"
    if old.is_dir():  # it may be all there is of the scene
        replaced.move_aside(root, scene_id, old) if (root / scene_id).exists() else old.rename(root / scene_id)
    for path in root.glob(f"{NEW}{scene_id}.*"):
        remove(path)
    for pattern in (f"{NEW}*", f"states/{NEW}*", f"trajectories/{NEW}*", f"*{PART}"):
        for path in (root / scene_id).glob(pattern):
            remove(path)


def clean_store(root: Path) -> None:
    """All scenes' leftovers, but for those of scenes that are being written."""
    for scene_id in sorted(_scenes_with_leftovers(root)):
        if held_here(root, scene_id):
            continue
        try:
            lock = Lock.take(root, scene_id)
        except (SceneError, OSError):
            continue  # its writer cleans up itself; or nothing can be written here, which a write will say
        try:
            clean_scene(root, scene_id)
        finally:
            lock.release()
    replaced.clean(root)
    now = time.time()
    for path in root.glob(f"{NEW}*"):
        if _scene_of(path) == "" and now - path.lstat().st_mtime > ORPHAN_AGE_S:
            remove(path)


def _scene_of(path: Path) -> str:
    """The scene's id in the name of a folder `.new-<scene>.<random>`; empty: none."""
    return path.name.removeprefix(NEW).rpartition(".")[0]


def _scenes_with_leftovers(root: Path) -> set[str]:
    found = {_scene_of(p) for p in root.glob(f"{NEW}*")}
    found |= {p.name.removeprefix(OLD) for p in root.glob(f"{OLD}*")}
    found |= {p.name.removeprefix(replaced.NOTE).removesuffix(".json") for p in root.glob(f"{replaced.NOTE}*.json")}
    inside = (f"*/{NEW}*", f"*/states/{NEW}*", f"*/trajectories/{NEW}*", f"*/*{PART}")
    found |= {p.relative_to(root).parts[0] for pattern in inside for p in root.glob(pattern)}
    return {each for each in found if is_name(each)}
