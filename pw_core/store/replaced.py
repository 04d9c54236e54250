"""Scenes whose place others took: moved whole to `<store>/.replaced/<scene>-<stamp>`, listed, put back, purged."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pw_core.errors import ErrorCode, SceneError
from pw_core.files import sync
from pw_core.store.names import is_name

FOLDER = ".replaced"
NOTE = ".swap-"
"""Begins the name of the file that tells where a scene is moved while another takes its place."""

STAMP = "%Y%m%dT%H%M%S%fZ"
"""UTC to the microsecond, so that names sort by time."""


_GONE = ".gone-"
"""Begins the name of one that is being removed."""


@dataclass(frozen=True)
class ReplacedScene:
    """A scene that was replaced: how it is asked for, the id it had, when [s since 1970] it was replaced, how many
    states it has on disk, and what it takes there [bytes]."""

    id: str
    scene_id: str
    replaced: float
    states: int
    size: int


def split_id(replaced_id: str) -> tuple[str, float]:
    """The scene's id and the time [s since 1970] in the id of a replaced one.

    Raises:
        SceneError (INVALID_NAME): it is none.
    """
    scene_id, _, stamp = replaced_id.rpartition("-")
    with suppress(ValueError):
        if is_name(scene_id):
            return scene_id, datetime.strptime(stamp, STAMP).replace(tzinfo=timezone.utc).timestamp()
    raise SceneError(
        f"'{replaced_id[:150]}' is no replaced scene's id: expected <scene>-<time>, as they are listed",
        code=ErrorCode.INVALID_NAME,
    )


def replaced_scenes(root: Path) -> list[ReplacedScene]:
    """All of a store, the oldest first; folders of other names are left alone."""
    out = []
    for folder in (root / FOLDER).glob("*"):
        with suppress(SceneError):
            scene_id, when = split_id(folder.name)
            states = len(list((folder / "states").glob("*.safetensors")))
            size = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())
            out.append(ReplacedScene(folder.name, scene_id, when, states, size))
    return sorted(out, key=lambda r: (r.replaced, r.id))


def replaced_folder(root: Path, replaced_id: str) -> Path:
    """Where it lies.

    Raises:
        SceneError: INVALID_NAME; UNKNOWN_SCENE where it is not there.
    """
    split_id(replaced_id)
    folder = root / FOLDER / replaced_id
    if not folder.is_dir():
        ids = ", ".join(r.id for r in replaced_scenes(root)) or "none"
        raise SceneError(f"no replaced scene '{replaced_id}' in {root}; there are: {ids}", code=ErrorCode.UNKNOWN_SCENE)
    return folder


def swap_in(root: Path, scene_id: str, new: Path) -> None:
    """Give folder `new` the scene's place; what is there moves aside, and back again when that fails.

    A note on disk says where to, so that `undo_swap` can mend what a crash between the two renames left.
    """
    target, note = root / scene_id, _note(root, scene_id)
    aside: Path | None = None
    if os.path.lexists(target):
        aside = _place_aside(root, scene_id)
        # Torn by a crash it means nothing, and nothing has been moved yet.
        note.write_text(json.dumps({"aside": aside.name}))
        sync(note)
        sync(root)
    try:
        if aside is not None:
            target.rename(aside)
            sync(aside.parent)
        try:
            new.rename(target)
        except BaseException:
            if aside is not None:
                aside.rename(target)
            raise
        sync(root)
    finally:
        note.unlink(missing_ok=True)


def move_aside(root: Path, scene_id: str, folder: Path) -> None:
    """Keep a folder as a replaced scene of that id."""
    folder.rename(_place_aside(root, scene_id))


def _place_aside(root: Path, scene_id: str) -> Path:
    (root / FOLDER).mkdir(exist_ok=True)
    return root / FOLDER / f"{scene_id}-{datetime.now(timezone.utc).strftime(STAMP)}"


def undo_swap(root: Path, scene_id: str) -> None:
    """After a crash: a scene that moved aside for one that never came is put back. Only for who may write the scene."""
    note = _note(root, scene_id)
    if not note.is_file():
        return
    with suppress(ValueError, KeyError, TypeError):
        aside = root / FOLDER / str(json.loads(note.read_text())["aside"])
        if aside.parent == root / FOLDER and aside.is_dir() and not os.path.lexists(root / scene_id):
            aside.rename(root / scene_id)
    note.unlink(missing_ok=True)


def _note(root: Path, scene_id: str) -> Path:
    return root / f"{NOTE}{scene_id}.json"


def purge(root: Path, replaced_ids: list[str]) -> None:
    """Remove them for good."""
    for folder in [replaced_folder(root, each) for each in replaced_ids]:
        gone = folder.with_name(f"{_GONE}{folder.name}")  # never half a scene under its name
        folder.rename(gone)
        shutil.rmtree(gone)


def clean(root: Path) -> None:
    """Go on with removals that a crash has ended."""
    for folder in (root / FOLDER).glob(f"{_GONE}*"):
        shutil.rmtree(folder, ignore_errors=True)


def purge_beyond(root: Path, scene_id: str, keep: int) -> None:
    """Of a scene's replaced ones, only the newest `keep` stay."""
    of_it = [r.id for r in replaced_scenes(root) if r.scene_id == scene_id]
    purge(root, of_it[: max(len(of_it) - keep, 0)])
