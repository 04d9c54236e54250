"""A store that goes away under a running world is not written to, and is written to again when it is back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pw_core.errors import ErrorCode, PWError
from pw_core.scene import State, Trajectory
from pw_core.store import Store
from pw_core.store.identity import MARKER, make_marker, read_marker
from pw_core.tree import ROOT
from pw_core.world import World


@pytest.fixture
def world(scene, tmp_path: Path) -> World:
    world = World(tmp_path / "store")
    world.adopt(scene)
    world.commit(grow(world, 0))
    return world


def grow(world: World, number: int) -> str:
    scene, way = world.scene, f"t{number}"
    positions = np.stack([scene.rest, scene.rest + 0.01])
    trajectory = Trajectory(way, world.head, f"s{number}", np.array([0, 0.1]), positions, np.zeros_like(positions), {})
    state = State(f"s{number}", world.head, 0.1, scene.initial_physics(), way, created=float(number))
    world.tree.add(state, trajectory)
    return state.id


def failed(call) -> str:
    with pytest.raises(PWError) as caught:
        call()
    assert caught.value.code == ErrorCode.STORE_FAILED, caught.value
    return str(caught.value)


def all_writes(world: World, state: str) -> dict:
    return {
        "commit": lambda: world.commit(state),
        "save": lambda: world.save(state, "label"),
        "reset": world.reset,
        "restore": lambda: world.restore(state),
        "trajectory": lambda: world.store.save_trajectory("ball", world.trajectory("t0")),
        "delete": lambda: world.store.delete_state("ball", "s0"),
    }


def gone(world: World, how: str) -> None:
    root, aside = world.store.root, world.store.root.with_name("aside")
    if how == "scene moved":
        return (root / "ball").rename(root / "moved")
    root.rename(aside)
    if how == "an empty folder":  # as an unmounted volume leaves
        root.mkdir()
    if how == "another store":
        World(root).adopt(world.scene)
    if how == "a file":
        root.write_text("")
    return None


def back(world: World) -> None:
    root = world.store.root
    if (root / "moved").exists():
        (root / "moved").rename(root / "ball")
        return
    shutil.rmtree(root, ignore_errors=True)
    root.unlink(missing_ok=True)
    root.with_name("aside").rename(root)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("how", ["moved", "scene moved", "an empty folder", "another store", "a file"])
def test_nothing_is_written_while_the_store_is_away_and_all_is_when_it_is_back(world, how: str) -> None:
    state, head = grow(world, 1), world.head
    before, root = files(world.store.root), world.store.root
    gone(world, how)
    there = files(root) if root.is_dir() else root.exists()
    for name, call in all_writes(world, state).items():
        text = failed(call)
        assert str(root) in text and ("gone" in text or "not the store" in text or "no folder" in text), (name, text)
    assert (files(root) if root.is_dir() else root.exists()) == there, "something was written"
    assert world.head == head and world.committed == {ROOT, "s0"} and len(world.states()) == 3
    back(world)
    assert files(root) == before
    world.commit(state)
    assert World.open(root, scene="ball").head == state


@pytest.mark.parametrize("how", ["moved", "an empty folder", "another store"])
def test_a_scene_is_not_made_in_another_place_before_any_work(world, monkeypatch, how: str) -> None:
    monkeypatch.setattr("pw_core.reconstruct.reconstruct", lambda *_, **__: pytest.fail("it was made"))
    gone(world, how)
    other = world.scene.config.model_copy(update={"name": "other"})
    failed(lambda: world.reconstruct(other))
    failed(lambda: world.adopt(world.scene.with_id("other")))
    root = world.store.root
    assert not (root / "other").exists() and (how == "another store" or not root.exists() or not list(root.iterdir()))
    back(world)
    assert world.adopt(world.scene.with_id("other")).id == "other"


def test_a_store_that_goes_while_a_scene_is_made_gets_no_torso(world, scene, monkeypatch) -> None:
    def reconstruct(config, *_, **__):
        gone(world, "moved")
        return scene.with_id(config.name)

    monkeypatch.setattr("pw_core.reconstruct.reconstruct", reconstruct)
    failed(lambda: world.reconstruct(scene.config.model_copy(update={"name": "other"})))
    assert not world.store.root.exists()


def test_a_deleted_store_is_not_begun_anew_unasked(world) -> None:
    state = grow(world, 1)
    shutil.rmtree(world.store.root)
    assert "gone" in failed(lambda: world.commit(state)) and not world.store.root.exists()
    assert world.store.problem()
    again = World(world.store.root)  # who starts now finds none, and may make one
    assert again.store.problem() == "" and again.adopt(world.scene).id == "ball"


def test_a_scene_that_was_replaced_by_another_process_is_not_mixed_with_the_new_one(world, scene) -> None:
    state = grow(world, 1)
    Store(world.store.root).save_scene(scene, replace=True)
    before = files(world.store.root)
    assert "select it again" in failed(lambda: world.commit(state))
    assert files(world.store.root) == before
    world.select("ball")
    assert [s.id for s in world.states()] == [ROOT]
    world.commit(grow(world, 2))


def test_commits_of_another_process_are_not_forgotten(world) -> None:
    other, mine = World.open(world.store.root, scene="ball"), grow(world, 1)
    other.commit(grow(other, 2))
    assert "changed by someone else" in failed(lambda: world.commit(mine))
    assert not (world.store.folder("ball") / "states/s1.safetensors").exists()
    world.select("ball")
    assert world.head == "s2" and {ROOT, "s0", "s2"} == world.committed


def test_an_old_store_opens_and_gets_its_id_at_the_first_write(world) -> None:
    root = world.store.root
    (root / MARKER).unlink()
    shutil.rmtree(root / ".locks")
    again = World.open(root, scene="ball")
    assert again.head == "s0" and not (root / MARKER).exists() and not (root / ".locks").exists()
    again.commit(grow(again, 1))
    assert len(json.loads((root / MARKER).read_text())["id"]) == 32
    gone(again, "an empty folder")
    assert "not the store" in failed(again.reset)


def test_an_old_store_that_is_away_before_the_first_write(world) -> None:
    root = world.store.root
    (root / MARKER).unlink()
    again = World.open(root, scene="ball")
    state = grow(again, 1)
    gone(again, "moved")
    failed(lambda: again.commit(state))
    failed(lambda: again.adopt(again.scene.with_id("other")))
    assert not root.exists()
    back(again)
    again.commit(state)


def test_a_marker_is_made_once(tmp_path: Path) -> None:
    first = make_marker(tmp_path)
    assert make_marker(tmp_path) == first == read_marker(tmp_path)
    (tmp_path / MARKER).write_text('{"id": ')  # torn by a power cut before anything else was written
    assert read_marker(tmp_path) == "" and make_marker(tmp_path) not in ("", first)


def test_what_cannot_be_written_to_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/store", "file/a/b"):
        assert "no folder" in Store(tmp_path / place).problem()
    assert Store(tmp_path / "a/b/c").problem() == "" and not (tmp_path / "a").exists()
