"""The studio without a browser: what its controls do, and that its page is served to this machine alone."""

from __future__ import annotations

import socket
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from pw_core.errors import PWError
from pw_core.studio import Studio
from pw_core.tree import ROOT
from pw_core.world import World
from support.sliding import Sliding


@pytest.fixture
def world(scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path / "store")
    made.adopt(scene)
    built = Sliding(scene)
    monkeypatch.setattr(made, "_build", lambda *_: built)
    return made


@pytest.fixture
def studio(world: World):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Studio(world, port=port)
    yield made
    made.close()


def test_a_push_by_hand_becomes_a_state_that_can_be_committed(studio: Studio, world: World) -> None:
    before = studio.things.centers.copy()
    assert np.allclose(before, world.scene.foreground.means, atol=1e-5)
    studio.magnitude.value = 20.0
    end = studio.what_if()
    moved = studio.things.centers - before
    assert moved[:, 0].mean() > 0.01 and world.head == ROOT
    assert end.id in studio.told.content and studio.state.value == end.id
    studio.commit()
    assert world.head == end.id and "**head** *shown*" in studio.told.content.splitlines()[-1]


def test_the_timeline_moves_the_gaussians(studio: Studio) -> None:
    studio.magnitude.value = 20.0
    studio.what_if()
    last = studio.things.centers.copy()
    studio.show_frame(0)
    first = studio.things.centers.copy()
    assert (last - first)[:, 0].mean() > 0.01 and studio.timeline.max > 3
    studio.show_state(ROOT)
    assert np.allclose(studio.things.centers, first, atol=1e-6) and studio.timeline.disabled


def test_it_serves_a_page_and_listens_here_alone(studio: Studio) -> None:
    with urllib.request.urlopen(studio.address, timeout=10) as page:
        assert page.status == 200 and b"<html" in page.read().lower()
    assert studio.address.startswith("http://127.0.0.1:")


def test_a_missing_package_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(PWError, match="pip install 'viser'"):
        Studio(world)
