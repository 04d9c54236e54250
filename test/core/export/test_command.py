"""`pw export`, and `World.export` behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.export.content import Content
from pw_core.scene import State
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World
from support.exported import ply, read_frames

RUNNER = CliRunner()


@pytest.fixture
def store(scene, trajectory, tmp_path: Path) -> Path:
    """With a trajectory that was committed."""
    store = Store(tmp_path / "store")
    store.save_scene(scene, root=State(ROOT, "", 0.0, scene.initial_physics()))
    world = World.open(store.root, scene="ball")
    moved = replace(trajectory, start=ROOT, end="moved")
    physics = world.physics_at(moved, 0.08)
    world.tree.add(State("moved", ROOT, 0.08, physics, trajectory_id="t", created=50.0), moved)
    world.commit("moved")
    return store.root


def run(store: Path, *arguments: str) -> str:
    result = RUNNER.invoke(app, ["export", *arguments, "--store", str(store)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_head_the_trajectory_and_an_instant_of_it(scene, trajectory, store: Path, tmp_path: Path) -> None:
    assert "head.ply" in run(store, "ball", "--to", str(tmp_path / "head.ply"))
    run(store, "ball", "--to", str(tmp_path / "root.ply"), "--state", ROOT)
    run(store, "ball/last", "--to", str(tmp_path / "frames"))
    run(store, "ball/t", "--to", str(tmp_path / "middle.ply"), "--time", "0.04")
    wanted = [f.all.means for f in Content.of_trajectory(scene, trajectory).frames()]
    assert np.array_equal(read_frames(tmp_path / "frames").means, wanted)
    assert np.array_equal(ply(tmp_path / "middle.ply")[:, :3], wanted[1])
    assert np.array_equal(ply(tmp_path / "head.ply")[:, :3], wanted[2])
    assert np.allclose(ply(tmp_path / "root.ply")[:, :3], wanted[0], atol=1e-6)


@pytest.mark.parametrize(("what", "to"), [("nowhere", "s.ply"), ("ball/nothing", "t.npz"), ("ball", "s.obj")])
def test_errors_are_one_message(store: Path, tmp_path: Path, what: str, to: str) -> None:
    result = RUNNER.invoke(app, ["export", what, "--to", str(tmp_path / to), "--store", str(store)])
    assert result.exit_code == 1 and "error 5" in result.output and "Traceback" not in result.output
