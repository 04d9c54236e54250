"""Whether all that a store holds can be read and is what was written; and what can be done where it is not.

Broken states and trajectories move out of the scene, to `<store>/.quarantine/<scene>-<time>/`, and its tree.json is
made anew of what is left. A scene whose own files are broken stays as it is: nothing here could make them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from pw_core.files import replace_file, sync
from pw_core.scene import State
from pw_core.store import replaced
from pw_core.store.checksums import broken_scene_files
from pw_core.store.names import is_name
from pw_core.store.scene_files import read_scene
from pw_core.store.state_files import read_state
from pw_core.store.trajectory_files import read_trajectory

QUARANTINE = ".quarantine"
ROOT_STATE = "root"
"""The state that the reconstruction made: made anew of the scene where its file is missing."""


@dataclass(frozen=True)
class Fault:
    """What is wrong: the file or folder, below the store; in what way; and what was done or can be, empty: nothing."""

    path: str
    what: str
    remedy: str = ""


def scene_folders(root: Path) -> list[Path]:
    """Of the scenes in the store and of those that were replaced; one that has lost its scene.yaml counts too."""
    found = [p for p in root.iterdir() if is_name(p.name) and ((p / "scene.yaml").exists() or (p / "states").is_dir())]
    return sorted(found) + [root / replaced.FOLDER / each.id for each in replaced.replaced_scenes(root)]


def check_folder(root: Path, folder: Path) -> tuple[list[Fault], list[Path], dict[str, Any] | None]:
    """Read a scene's folder whole: what is wrong in it, which files should leave it, and the tree.json that it should
    have (None: the one it has)."""
    faults: list[Fault] = []
    below = folder.relative_to(root)

    def attempt(path: Path, read: Callable[[], Any], remedy: str) -> Any:
        try:
            return read()
        except Exception as error:  # whatever a broken file makes its reader raise
            what = f"{type(error).__name__}: {error}"[:500]
            faults.append(Fault(str(below / path.relative_to(folder)), what, remedy))
            return None

    stays = "put it back from a copy, or reconstruct the scene with --replace"
    attempt(folder / "scene.yaml", lambda: read_scene(folder, folder.name), stays)
    sums = attempt(folder, lambda: broken_scene_files(folder), stays)
    faults += [Fault(str(below / name), what, stays) for name, what in (sums or {}).items()]
    doomed: list[Path] = []
    states: dict[str, State] = {}
    for path in sorted((folder / "states").glob("*.safetensors")):
        state = attempt(path, partial(_state, path), "quarantine")
        if state is None:
            doomed.append(path)
        else:
            states[state.id] = state
    lost = ""
    place = folder / "tree.json"
    tree = attempt(place, lambda: _tree(place), "made anew") if place.is_file() else {}
    for path in sorted((folder / "trajectories").glob("*.npz")):
        if attempt(path, partial(read_trajectory, path), "quarantine") is None:
            doomed.append(path)
            lost = path.stem if tree and tree["last_trajectory"] == path.stem else lost
    if tree == {}:
        return faults, doomed, None
    wanted = _wanted_tree(tree, states, lost)
    if tree is not None and wanted != tree:
        faults.append(Fault(str(below / "tree.json"), "names states or trajectories that are not there", "made anew"))
    return faults, doomed, wanted if wanted != tree else None


def _state(path: Path) -> State:
    state = read_state(path)
    if state.id != path.stem:
        raise ValueError(f"it holds state '{state.id}'")
    return state


def _tree(path: Path) -> dict[str, Any]:
    tree = json.loads(path.read_text())
    if not (isinstance(tree.get("head"), str) and isinstance(tree.get("committed"), list)):
        raise ValueError("it has no head or no list of committed states")
    return {
        "head": tree["head"], "committed": sorted(tree["committed"]),
        "last_trajectory": str(tree.get("last_trajectory", "")),
    }  # fmt: skip


def _wanted_tree(tree: dict[str, Any] | None, states: dict[str, State], lost: str) -> dict[str, Any]:
    """Of a tree (None: broken) and the states that are there: one that names none that is missing, nor the trajectory
    `lost`."""
    there = {*states, ROOT_STATE}
    if tree is None:  # whether a state was committed or only saved is no longer known: none is given up
        committed, head, last = sorted(there), "", ""
    else:
        committed = sorted({ROOT_STATE, *(i for i in tree["committed"] if i in there)})
        head, last = tree["head"], tree["last_trajectory"]
    if head not in there:
        newest = max((s for i, s in states.items() if i in committed), key=lambda s: s.created, default=None)
        head = newest.id if newest is not None else ROOT_STATE
        last = ""
    if last and last == lost:  # which led to the head, so nothing else does
        last = ""
    return {"head": head, "committed": committed, "last_trajectory": last}


def repair_folder(root: Path, folder: Path, doomed: list[Path], tree: dict[str, Any] | None) -> None:
    """Do what `check_folder` found should be done; only for who may write the scene."""
    stamp = datetime.now(timezone.utc).strftime(replaced.STAMP)
    for path in doomed:
        place = root / QUARANTINE / f"{folder.name}-{stamp}" / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        sync(place.parent)
        sync(path.parent)
    if tree is not None:
        replace_file(folder / "tree.json", json.dumps(tree, indent=1).encode(), durable=True, parents=False)
