"""What a crash or a flipped bit left is found, said and set aside; stores of older versions open."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.errors import ErrorCode, PWError
from pw_core.scene import State, Trajectory
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World

OLD_STORE = Path(__file__).parents[2] / "data/store_of_2026_11"
"""Written by World before stores had ids, locks and checksums: root, two commits, the second refined, and one saved."""


@pytest.fixture
def world(scene, tmp_path: Path) -> World:
    """root -> s0 -> s1 -> s2, all committed."""
    world = World(tmp_path / "store")
    world.adopt(scene)
    for number in range(3):
        positions = np.stack([scene.rest, scene.rest + 0.01])
        ids = f"t{number}", world.head, f"s{number}"
        trajectory = Trajectory(*ids, np.array([0, 0.1]), positions, np.zeros_like(positions), {})
        state = State(ids[2], world.head, 0.1, scene.initial_physics(), ids[0], created=2e9 + number)
        world.tree.add(state, trajectory)
        world.commit(state.id)
    return world


def test_a_check_says_how_far_it_is(world) -> None:
    world.adopt(world.scene, replace=True)
    told: list[tuple[str, float]] = []
    world.store.check(progress=lambda scene, fraction: told.append((scene, fraction)))
    assert [fraction for _, fraction in told] == [0, 0.5] and told[0][0] == "ball"


def flip(path: Path, at: int = -5) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def pw_check(root: Path, *words: str):
    return CliRunner().invoke(app, ["check", str(root), *words])


def test_a_whole_store_has_no_faults(world, scene) -> None:
    world.reset()
    world.adopt(scene, replace=True)
    world.restore_replaced(world.replaced()[0].id, replace=True)
    assert world.store.check() == []
    done = pw_check(world.store.root)
    assert done.exit_code == 0 and done.stdout.strip() == "1 scenes, 0 faults"


@pytest.mark.parametrize("name", ["states/s1.safetensors", "states/s2.safetensors", "trajectories/t2.npz"])
@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
def test_what_is_broken_is_named_set_aside_and_the_rest_opens(world, name: str, how: str) -> None:
    root, path = world.store.root, world.store.folder("ball") / name
    whole = path.read_bytes()
    flip(path, len(whole) // 2) if how == "flipped" else path.write_bytes(whole[: 100 if how == "cut" else 0])
    broken = path.read_bytes()
    if "states" in name:
        with pytest.raises(PWError) as caught:
            World.open(root, scene="ball")
        assert caught.value.code == ErrorCode.STORE_FAILED and path.name in str(caught.value)
    found = pw_check(root)
    assert found.exit_code == 1 and f"ball/{name}: " in found.output and path.read_bytes() == broken
    assert "moved to .quarantine" in pw_check(root, "--repair").output
    (aside,) = root.glob(f".quarantine/ball-*/{name}")
    assert aside.read_bytes() == broken and not path.exists()
    assert Store(root).check() == []
    again = World.open(root, scene="ball")
    left = {ROOT, "s0", "s1", "s2"} - {path.stem}
    assert again.committed == left and again.head == ("s1" if path.stem == "s2" else "s2")
    if path.stem == "t2":
        assert again.tree.store.load_tree("ball")["last_trajectory"] == ""
    again.reset()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"head": 3, "committed": []}'])
def test_a_tree_that_is_broken_is_made_anew_of_what_is_there(world, text: str) -> None:
    path = world.store.folder("ball") / "tree.json"
    path.write_text(text)
    (fault,) = world.store.check()
    assert fault.path == "ball/tree.json" and fault.remedy == "made anew"
    Store(world.store.root).check(repair=True)
    again = World.open(world.store.root, scene="ball")
    assert again.head == "s2" and again.committed == {ROOT, "s0", "s1", "s2"} and again.store.check() == []


def test_a_tree_that_names_what_is_not_there(world) -> None:
    folder = world.store.folder("ball")
    (folder / "states/s2.safetensors").unlink()
    (fault,) = world.store.check()
    assert fault.path == "ball/tree.json"
    Store(world.store.root).check(repair=True)
    assert json.loads((folder / "tree.json").read_text())["head"] == "s1" and world.store.check() == []


@pytest.mark.parametrize("name", ["entities.safetensors", "meshes/ball.ply", "cameras.json", "scene.yaml"])
def test_a_scene_whose_own_files_are_broken_is_told_and_left(world, name: str) -> None:
    path = world.store.folder("ball") / name
    flip(path)
    faults = Store(world.store.root).check(repair=True)
    assert {"ball/" + name} <= {f.path for f in faults} and all("copy" in f.remedy for f in faults)
    assert path.exists() and not (world.store.root / ".quarantine").exists()


def test_replaced_scenes_are_read_too_and_left(world, scene) -> None:
    world.adopt(scene, replace=True)
    path = world.store.root / ".replaced" / world.replaced()[0].id / "states/s1.safetensors"
    flip(path)
    for repair in (False, True):
        assert f".replaced/{world.replaced()[0].id}/states/s1.safetensors" in {
            f.path for f in world.store.check(repair=repair)
        }
    assert path.exists()


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    done = pw_check(tmp_path / "none")
    assert done.exit_code == 1 and "error 504" in done.output and not (tmp_path / "none").exists()


def test_a_store_of_an_older_version_opens_checks_and_goes_on(tmp_path: Path) -> None:
    root = Path(shutil.copytree(OLD_STORE, tmp_path / "store"))
    assert Store(root).check() == []
    world = World.open(root, scene="ball")
    assert [s.id for s in world.states()][1:] != [] and {s.id for s in world.states()} == {
        "root", "state0", "state1", "state2"
    }  # fmt: skip
    assert world.head == "state1" and world.committed == {"root", "state0", "state1"}
    second = world.state("state1")
    assert second.parameters == {"wind_x": 0.5} and second.figures == {"psnr_after": 30.0}
    assert second.appearance is not None and second.time_s == pytest.approx(0.2) and second.parent == "state0"
    assert np.allclose(second.physics.particles.positions - world.scene.rest, 0.02, atol=1e-6)
    assert world.state("state2").label == "before lunch" and world.trajectory().id == "way1"
    assert np.isfinite(world.render().rgb).all()
    world.restore("state2")
    assert World.open(root, scene="ball").head == "state2" and Store(root).check() == []


def test_a_scene_stored_without_an_engine_says_that_it_leaves_genesis(world, tmp_path: Path) -> None:
    root = Path(shutil.copytree(OLD_STORE, tmp_path / "old"))
    with pytest.warns(UserWarning, match="'ball' was stored before scenes named their engine.*Genesis.*'fast'") as said:
        assert World.open(root, scene="ball").scene.config.simulation.engine == "fast"
    assert len(said) == 1

    head = root / "ball" / "scene.yaml"
    head.write_text(head.read_text().replace("  simulation:\n", "  simulation:\n    engine: genesis\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert World.open(root, scene="ball").scene.config.simulation.engine == "genesis"
        World.open(world.store.root, scene=world.scene.id)  # of today: it has its engine's name


def test_a_store_of_a_newer_version_is_refused(world) -> None:
    path = world.store.folder("ball") / "scene.yaml"
    path.write_text(path.read_text().replace("format: 1", "format: 2"))
    with pytest.raises(PWError, match="reads up to 1") as caught:
        World.open(world.store.root, scene="ball")
    assert caught.value.code == ErrorCode.STORE_FAILED
