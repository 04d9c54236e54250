"""A studio over a world whose bodies slide: no engine is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pw_core.studio import Studio
from pw_core.world import World
from support.sliding import Sliding


@pytest.fixture
def built(scene) -> Sliding:
    return Sliding(scene)


@pytest.fixture
def world(scene, built: Sliding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path / "store")
    made.adopt(scene)
    monkeypatch.setattr(made, "_build", lambda *_: built)
    return made


@pytest.fixture
def studio(world: World) -> Iterator[Studio]:
    made = Studio(world, port=0)
    assert made.room.jobs.wait(30)
    yield made
    made.close()
