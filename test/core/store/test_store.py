"""What a store leaves behind when the disk is full."""

from __future__ import annotations

import errno
import gc
import os
import weakref
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pw_core import files as files_module
from pw_core.errors import ErrorCode, PWError
from pw_core.scene import State, Trajectory
from pw_core.store import Store
from pw_core.tree import AT_HAND, ROOT, StateTree
from support.lit import before_wall, lit_scene


@pytest.fixture
def tree(scene, tmp_path: Path) -> StateTree:
    store = Store(tmp_path / "store")
    store.save_scene(scene)
    root = State(ROOT, "", 0.0, scene.initial_physics())
    store.save_state(scene.id, root)
    return StateTree(store, scene.id, root, max_uncommitted=8)


def step(tree: StateTree, scene, number: int, parent: str) -> str:
    positions = np.stack([scene.rest, scene.rest + 0.01])
    name, way = f"s-{number}", f"t-{number}"
    trajectory = Trajectory(way, parent, name, np.array([0, 0.1]), positions, np.zeros_like(positions), {})
    tree.add(State(name, parent, 0.1 * number, scene.initial_physics(), way, created=float(number)), trajectory)
    return name


def files(tree: StateTree) -> dict[str, bytes]:
    folder = tree.store.folder(tree.scene_id)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def full_when_writing(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    write = files_module.put_aside

    def put_aside(path: Path, data: bytes) -> Path:
        if str(path).endswith(ending):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(files_module, "put_aside", put_aside)


@pytest.mark.parametrize("ending", ["t-1.npz", "s-1.safetensors", "t-2.npz", "s-2.safetensors", "tree.json"])
def test_a_commit_on_a_full_disk_leaves_no_file(tree, scene, monkeypatch, ending) -> None:
    first = step(tree, scene, 1, ROOT)
    second = step(tree, scene, 2, first)
    before = files(tree)
    with monkeypatch.context() as patch:
        full_when_writing(patch, ending)
        with pytest.raises(PWError, match="No space left") as error:
            tree.commit(second)
    assert error.value.code == ErrorCode.STORE_FAILED
    assert files(tree) == before and tree.head == ROOT and tree.committed == {ROOT}
    tree.commit(second)  # there is room again
    assert set(files(tree)) - set(before) == {
        "tree.json", *(f"states/s-{i}.safetensors" for i in (1, 2)), *(f"trajectories/t-{i}.npz" for i in (1, 2)),
    }  # fmt: skip


def test_a_copy_without_its_empty_folders_takes_commits(tree, scene) -> None:
    first = step(tree, scene, 1, ROOT)
    (tree.store.folder(tree.scene_id) / "trajectories").rmdir()
    tree.commit(first)
    assert tree.head == first


def test_a_failed_commit_keeps_what_earlier_ones_wrote(tree, scene, monkeypatch) -> None:
    first = step(tree, scene, 1, ROOT)
    tree.commit(first)
    before = files(tree)
    second = step(tree, scene, 2, first)
    full_when_writing(monkeypatch, "tree.json")
    with pytest.raises(PWError):
        tree.commit(second)
    assert files(tree) == before and tree.head == first
    again = StateTree(tree.store, tree.scene_id, tree.state(ROOT), max_uncommitted=8)
    assert again.head == first and {s.id for s in again.states()} == {ROOT, first}


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("name", ["fsync", "rename"])
def test_a_disk_that_fails_at_any_call_of_a_commit_leaves_all_as_it_was(tree, scene, monkeypatch, name, call) -> None:
    first = step(tree, scene, 1, ROOT)
    tree.commit(first)
    second = step(tree, scene, 2, first)
    before, done = files(tree), count()

    def failing(real):
        def call_it(*args):
            if next(done) + 1 == call:
                raise OSError(errno.EIO, "Input/output error")
            return real(*args)

        return call_it

    with monkeypatch.context() as patch:
        if name == "fsync":
            patch.setattr(os, "fsync", failing(os.fsync))
        else:
            patch.setattr(Path, "replace", failing(Path.replace))
        try:
            tree.commit(second)
        except PWError as error:
            assert error.code == ErrorCode.STORE_FAILED and second in str(error) and "Input/output" in str(error)
            assert files(tree) == before and tree.head == first
        else:
            assert next(done) < call  # there are not so many of them
    tree.commit(second)
    again = StateTree(tree.store, tree.scene_id, tree.state(ROOT), max_uncommitted=8)
    assert again.head == second and again.committed == {ROOT, first, second}


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("label", ["", "kept"])
def test_a_save_that_fails_at_any_call_leaves_the_file_as_it_was(tree, scene, monkeypatch, call, label) -> None:
    made = step(tree, scene, 1, ROOT)
    if label:
        tree.save(made, label)
    before, done, real = files(tree), count(1), os.fsync

    def failing(fd: int) -> None:
        if next(done) == call:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(PWError, match="Input/output"):
            tree.save(made, "new")
    assert files(tree) == before and tree.state(made).label == label
    tree.save(made, "new")
    assert StateTree(tree.store, tree.scene_id, tree.state(ROOT), max_uncommitted=8).state(made).label == "new"


def test_trajectories_of_deleted_and_of_long_committed_states_leave_the_memory(tree, scene) -> None:
    alive: list[weakref.ref[Trajectory]] = []
    made = [step(tree, scene, 0, ROOT)]
    for number in range(1, 4 * AT_HAND):
        alive.append(weakref.ref(tree.trajectory(f"t-{number - 1}")))
        tree.commit(made[-1])
        made.append(step(tree, scene, number, made[-1]))
    gone = weakref.ref(tree.trajectory(f"t-{number}"))
    tree.delete(made.pop())
    gc.collect()
    assert gone() is None and sum(r() is not None for r in alive) == AT_HAND
    with pytest.raises(PWError) as caught:
        tree.trajectory(f"t-{number}")
    assert caught.value.code == ErrorCode.UNKNOWN_TRAJECTORY
    for k in range(number):  # all that is committed can be had
        assert np.array_equal(tree.trajectory(f"t-{k}").positions[1], scene.rest + np.float32(0.01))
    assert tree.trajectory().id == f"t-{number - 1}"


def test_a_scene_s_light_is_kept_and_scenes_without_one_have_no_file_of_it(tmp_path: Path) -> None:
    scene = lit_scene(observed=-0.5)
    store = Store(tmp_path)
    store.save_scene(scene)
    store.save_scene(replace(scene, id="dull", light=None))
    found = store.load_scene("ball").light
    assert found is not None and scene.light is not None
    assert isinstance(found.softness, float) and isinstance(found.step_m, float)
    for name, array in scene.light.arrays().items():
        assert np.array_equal(found.arrays()[name], array)
    assert found.wall is None
    wall = replace(scene, id="wall", light=before_wall(observed=-0.5))
    store.save_scene(wall)
    found = store.load_scene("wall").light
    assert found is not None and found.wall is not None and wall.light is not None and wall.light.wall is not None
    assert found.wall.x_m == wall.light.wall.x_m and np.array_equal(found.wall.observed, wall.light.wall.observed)
    assert store.load_scene("dull").light is None
    assert (store.folder("ball") / "light.safetensors").exists() and not list(store.folder("dull").glob("light*"))
