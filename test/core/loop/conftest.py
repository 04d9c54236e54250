"""The stand-in scene's file, its films, and the `pw` command in this process or another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from support import stand_in

TEST = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    """Scene file, targets, truth; and the stand-in's module."""
    from pw_core.config import SceneConfig

    folder = tmp_path_factory.mktemp("story")
    scene = stand_in.write_scene(folder / "ball.yaml")
    stand_in.write_films(folder, SceneConfig.load(scene))
    return SimpleNamespace(
        scene=scene, targets=folder / "targets", truth=folder / "truth", stand_in=stand_in, World=stand_in.SpottedWorld
    )


@pytest.fixture
def pw(story, monkeypatch):
    """`pw("run", path, ...)` in this process: exit status and all that was said."""
    from typer.testing import CliRunner

    from pw_core.cli import app

    monkeypatch.setattr("pw_core.world.World", story.World)

    def call(*arguments):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, " ".join(done.output.split())

    return call


@pytest.fixture
def pw_process():
    """As `pw`, in a process of its own that has just been started."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "support.stand_in", *map(str, arguments)]
        path = os.pathsep.join(filter(None, [str(TEST), os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
