"""A scene that is there is not replaced unasked, and what is replaced can be had again, states and all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.errors import ErrorCode, PWError
from pw_core.scene import State, Trajectory
from pw_core.store import Store
from pw_core.store import replaced as replaced_module
from pw_core.tree import ROOT
from pw_core.world import World


@pytest.fixture
def made(scene, monkeypatch) -> list[str]:
    """Names of the configurations that a scene was made of, without the work."""
    names: list[str] = []

    def reconstruct(config, inputs=None, *, folder=None, progress=None):
        names.append(config.name)
        return replace(scene, config=config).with_id(config.name)

    monkeypatch.setattr("pw_core.reconstruct.reconstruct", reconstruct)
    return names


@pytest.fixture
def world(scene, made, tmp_path: Path) -> World:
    """The ball with 30 committed states, each labelled, beside its root."""
    world = World(tmp_path / "store")
    world.reconstruct(scene.config)
    for number in range(30):
        grow(world, number)
    return world


def grow(world: World, number: int) -> None:
    scene, parent, way = world.scene, world.head, f"t{number}"
    positions = np.stack([scene.rest, scene.rest + 0.01])
    trajectory = Trajectory(way, parent, f"s{number}", np.array([0, 0.1]), positions, np.zeros_like(positions), {})
    state = State(f"s{number}", parent, 0.1 * number, scene.initial_physics(), way, created=1e9 + number)
    world.tree.add(state, trajectory)
    world.commit(state.id)
    world.save(state.id, f"label {number}")


def code_of(call) -> ErrorCode:
    with pytest.raises(PWError) as caught:
        call()
    return ErrorCode(caught.value.code)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_reconstruction_is_refused_before_any_work_and_31_states_stay(world, scene, made) -> None:
    before = files(world.store.root)
    made.clear()
    assert code_of(lambda: world.reconstruct(scene.config)) == ErrorCode.SCENE_EXISTS
    assert code_of(lambda: World(world.store.root).reconstruct(scene.config)) == ErrorCode.SCENE_EXISTS
    assert made == [] and files(world.store.root) == before
    assert len(World.open(world.store.root, scene="ball").states()) == 31
    assert code_of(lambda: world.adopt(scene)) == ErrorCode.SCENE_EXISTS
    assert code_of(lambda: Store(world.store.root).save_scene(scene)) == ErrorCode.SCENE_EXISTS
    assert files(world.store.root) == before and world.head == "s29"


def test_another_scene_does_not_take_its_place(world, scene) -> None:
    other = replace(scene, config=scene.config.model_copy(update={"title": "another"}))
    assert code_of(lambda: world.adopt(other.with_id("ball"))) == ErrorCode.SCENE_EXISTS
    assert world.adopt(other.with_id("other")).id == "other" and world.store.scene_ids() == ["ball", "other"]


def test_what_was_replaced_comes_back_with_all_it_had(world, scene) -> None:
    before = files(world.store.folder("ball"))
    world.reconstruct(scene.config, replace=True)
    assert [s.id for s in world.states()] == [ROOT] and world.head == ROOT
    (kept,) = world.replaced()
    assert (kept.scene_id, kept.states) == ("ball", 31) and kept.size == sum(map(len, before.values()))
    assert kept.replaced == pytest.approx(os.stat(world.store.folder("ball") / "scene.yaml").st_mtime, abs=60)
    assert code_of(lambda: world.restore_replaced(kept.id)) == ErrorCode.SCENE_EXISTS
    world.restore_replaced(kept.id, replace=True)
    assert world.head == "s29" and len(world.committed) == 31 and world.state("s7").label == "label 7"
    assert world.trajectory("t7").end == "s7"
    assert files(world.store.folder("ball")) == before
    (young,) = world.replaced()  # the one that had its place
    assert young.states == 1 and young.id != kept.id


def test_one_that_lies_nowhere_now_comes_back_without_being_asked_to_replace(world, scene) -> None:
    world.reconstruct(scene.config, replace=True)
    (kept,) = world.replaced()
    world.store.folder("ball").rename(world.store.root / "moved")
    assert world.restore_replaced(kept.id).id == "ball" and len(world.states()) == 31 and not world.replaced()


def test_the_oldest_beyond_the_limit_go_and_the_others_only_by_command(world, scene) -> None:
    world.store.keep_replaced = 3
    world.adopt(scene.with_id("other"))
    world.adopt(scene.with_id("other"), replace=True)
    seen = []
    for _ in range(5):
        world.reconstruct(scene.config, replace=True)
        seen.append(world.replaced()[-1].id)
    left = world.replaced()
    assert [r.id for r in left if r.scene_id == "ball"] == seen[2:]
    assert [r.scene_id for r in left].count("other") == 1  # each scene has its own limit
    assert code_of(lambda: world.purge_replaced(seen[2], seen[0])) == ErrorCode.UNKNOWN_SCENE
    assert world.replaced() == left
    world.purge_replaced(seen[2], seen[4])
    assert [r.id for r in world.replaced() if r.scene_id == "ball"] == [seen[3]]


@pytest.mark.parametrize("name", ["ball", "../ball-20260101T000000000000Z", "ball-2026", "", "-", "x" * 5000])
def test_names_that_are_none(world, name: str) -> None:
    for call in (world.restore_replaced, world.purge_replaced):
        assert code_of(lambda c=call: c(name)) == ErrorCode.INVALID_NAME
    assert code_of(lambda: world.restore_replaced("ball-20260101T000000000000Z")) == ErrorCode.UNKNOWN_SCENE


def test_a_disk_that_fails_between_the_two_renames_leaves_the_old_one(world, scene, monkeypatch) -> None:
    before = files(world.store.root)
    rename = Path.rename

    def failing(self: Path, target):
        if ".new-" in self.name:
            raise OSError(errno.EIO, "Input/output error", str(self))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        assert code_of(lambda: world.reconstruct(scene.config, replace=True)) == ErrorCode.STORE_FAILED
    assert files(world.store.root) == before and not world.replaced() and world.head == "s29"
    grow(world, 30)


def test_a_broken_one_takes_nobodys_place(world, scene) -> None:
    world.reconstruct(scene.config, replace=True)
    (kept,) = world.replaced()
    (world.store.root / ".replaced" / kept.id / "scene.yaml").write_text("{")
    before = files(world.store.root)
    assert code_of(lambda: world.restore_replaced(kept.id, replace=True)) == ErrorCode.STORE_FAILED
    assert files(world.store.root) == before


def test_a_crash_between_the_two_renames_is_undone(world, scene, monkeypatch) -> None:
    before = files(world.store.folder("ball"))

    class Killed(BaseException):
        pass

    rename = Path.rename

    def killing(self: Path, target):
        if ".new-" in self.name or self.parent.name == ".replaced":
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", killing)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        world.reconstruct(scene.config, replace=True)
    assert not world.store.folder("ball").exists() and len(world.replaced()) == 1
    replaced_module.undo_swap(world.store.root, "ball")
    assert files(world.store.folder("ball")) == before and not world.replaced()
    replaced_module.undo_swap(world.store.root, "ball")
    assert not list(world.store.root.glob(".swap-*"))


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"aside": 3}', '{"aside": "../ball"}', '{"aside": "gone"}'])
def test_a_note_that_means_nothing_is_dropped(world, note: str) -> None:
    path = world.store.root / ".swap-ball.json"
    path.write_text(note)
    replaced_module.undo_swap(world.store.root, "ball")
    assert not path.exists() and len(World.open(world.store.root, scene="ball").states()) == 31


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def pw(world, scene, tmp_path: Path):
    path = tmp_path / "ball.yaml"
    path.write_text(yaml.safe_dump(scene.config.model_dump(mode="json", exclude_unset=True)))
    return lambda *words, input=None: CliRunner().invoke(
        app, [str(w) for w in (*words, "--store", world.store.root)], input=input
    )


def test_the_command_line_refuses_replaces_lists_restores_and_purges(world, pw, tmp_path, made) -> None:
    config = tmp_path / "ball.yaml"
    made.clear()
    refused = pw("reconstruct", config)
    assert refused.exit_code == 1 and "error 507" in refused.output and "31 states" in refused.output and not made
    assert pw("reconstruct", config, "--replace").exit_code == 0
    (kept,) = world.replaced()
    assert pw("scenes").output.split() == ["ball"]
    assert pw("scenes", "--replaced").output.startswith(f"{kept.id}  31 states, ")
    assert "error 507" in pw("restore-scene", kept.id).output
    assert "31 states" in pw("restore-scene", kept.id, "--replace").output
    assert len(World.open(world.store.root, scene="ball").states()) == 31
    (young,) = world.replaced()
    assert pw("purge-scene").exit_code == 2
    assert young.id in pw("purge-scene", young.id).output and not world.replaced()
    assert pw("purge-scene", "--all").exit_code == 0


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("n\n", 31), ("", 31)])
def test_on_a_terminal_it_asks(world, pw, tmp_path, monkeypatch, answer: str, count: int) -> None:
    monkeypatch.setattr("pw_core.cli.common.on_terminal", lambda: True)
    result = pw("reconstruct", tmp_path / "ball.yaml", input=answer)
    assert "Replace it?" in result.output and (result.exit_code == 0) == (count == 1)
    assert len(World.open(world.store.root, scene="ball").states()) == count
