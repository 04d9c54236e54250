"""What a killed writer leaves behind goes when the store is next opened for writing; what another writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pw_core.scene import State
from pw_core.store import Store
from pw_core.store.leftovers import ORPHAN_AGE_S
from pw_core.tree import ROOT
from pw_core.world import World

OTHER = "import sys, pathlib; from pw_core.store.locks import Lock; l = Lock.take(pathlib.Path(sys.argv[1]), 'ball'); "


@pytest.fixture
def store(scene, tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.save_scene(scene, root=State(ROOT, "", 0.0, scene.initial_physics()))
    store.close()
    return store


def leave(root: Path) -> list[Path]:
    """As a kill in the middle of a commit, of a reconstruction, and of a copy leaves them."""
    paths = [root / p for p in ("ball/states/.new-a1_", "ball/trajectories/.new-b2", "ball/.new-c3")]
    for path in paths:
        path.write_bytes(b"half")
    folders = [root / p for p in (".new-ball.x1", ".new-other.y_2", "ball/reconstruction.part")]
    for folder in folders:
        (folder / "states").mkdir(parents=True)
        (folder / "scene.yaml").write_text("half")
    return paths + folders


def test_they_go_when_the_store_is_opened_for_writing_and_the_scene_stays(store) -> None:
    left = leave(store.root)
    before = World.open(store.root, scene="ball")
    assert all(p.exists() for p in left), "opening to read must not write"
    Store(store.root).tidy()
    assert not any(p.exists() for p in left)
    assert sorted(p.name for p in store.root.iterdir()) == [".locks", ".store.json", "ball"]
    assert World.open(store.root, scene="ball").states()[0].id == before.head == ROOT


def test_they_go_when_a_scene_is_first_written(store) -> None:
    left = leave(store.root)
    World.open(store.root, scene="ball").reset()
    assert [p.name for p in left if p.exists()] == [".new-other.y_2"]


def test_what_another_process_writes_stays(store) -> None:
    left = leave(store.root)
    code = OTHER + "print(1, flush=True); sys.stdin.readline()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        other.stdout.readline()
        store.tidy()
        assert [p.name for p in left if not p.exists()] == [".new-other.y_2"]
    finally:
        other.kill()
        other.wait()
    store.tidy()
    assert not any(p.exists() for p in left)


def test_those_of_older_versions_go_when_they_are_old_and_a_scene_in_them_is_kept(store) -> None:
    young, old = store.root / ".new-abcdef", store.root / ".new-ghijkl"
    for folder in (young, old):
        folder.mkdir()
    hours_ago = time.time() - 2 * ORPHAN_AGE_S
    os.utime(old, (hours_ago, hours_ago))
    store.folder("ball").rename(store.root / ".old-ball")  # killed between its two renames
    store.tidy()
    assert young.exists() and not old.exists() and store.scene_ids() == ["ball"]
    (store.root / ".old-ball").mkdir()
    store.tidy()
    assert not (store.root / ".old-ball").exists() and [r.scene_id for r in store.replaced()] == ["ball"]


def test_a_removal_that_was_killed_is_finished(store) -> None:
    gone = store.root / ".replaced/.gone-ball-20260101T000000000000Z/states"
    gone.mkdir(parents=True)
    assert store.replaced() == []
    store.tidy()
    assert not gone.parent.exists()


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    Store(tmp_path / "none").tidy()
    assert not (tmp_path / "none").exists()
