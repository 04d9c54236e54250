"""The stand-in scene's file, its films, and the `pw` command in this process or another."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("stand_in", HERE / "stand_in.py")
assert _SPEC and _SPEC.loader
stand_in = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(stand_in)


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
        command = [sys.executable, str(HERE / "stand_in.py"), *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
