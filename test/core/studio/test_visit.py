"""A visit in a real headless Chromium: what is done with the mouse becomes states."""

from __future__ import annotations

from pathlib import Path

import pytest

from pw_core.studio import Studio
from pw_core.tree import ROOT
from pw_core.world import World
from support.browser import visitor, visitors
from support.sliding import Sliding
from support.studio_visit import choose, come_in, drag, own_errors, press, settled, tab, until


@pytest.fixture
def studio(scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    world = World(tmp_path / "store")
    world.adopt(scene)
    built = Sliding(scene)
    monkeypatch.setattr(world, "_build", lambda *_: built)
    made = Studio(world, port=0)
    yield made
    made.close()


def test_a_hand_pushes_plays_commits_branches_and_compares(studio: Studio) -> None:
    world = studio.world
    with visitor(width=800, height=600, wait_s=60) as visit:
        come_in(visit, studio)
        first = drag(visit, studio, 60)
        assert world.state(first).parent == ROOT and world.head == ROOT
        film = studio.room.shown.film
        assert film is not None
        until(lambda: len(studio.pictures._kept) >= len(film.names), visit)  # drawn ahead
        played = studio.pictures.sent
        press(visit, "Play")
        until(lambda: studio.timeline._stop is None and studio.room.frame > 3, visit)
        assert studio.pictures.sent > played
        press(visit, "Commit")
        until(lambda: world.head == first, visit)
        press(visit, "Branch")
        until(lambda: studio.room.state.id == ROOT, visit)
        second = drag(visit, studio, -60)
        assert world.state(second).parent == ROOT
        choose(visit, "compare with", first)
        until(lambda: studio.room.shown.sight.other is not None, visit)
        tab(visit, "Looks")
        choose(visit, "what", "depth")
        until(lambda: studio.room.shown.sight.kind == "depth", visit)
        settled(visit, studio)
        assert own_errors(visit) == [] and visit.elsewhere == [] and studio.room.told == []


def test_two_browsers_see_the_same_each_from_its_own_camera(studio: Studio) -> None:
    with visitors(count=2, width=640, height=480, wait_s=60) as (one, two):
        come_in(one, studio)
        come_in(two, studio)
        until(lambda: len(studio.server.get_clients()) == 2, one)
        before = [v.page.evaluate("window.__pictures.length") for v in (one, two)]
        studio.acting.magnitude.value = 20.0
        studio.acting.ask()
        settled(one, studio)
        for visit, count in zip((one, two), before):
            until(lambda visit=visit, count=count: visit.page.evaluate("window.__pictures.length") > count, visit)
        assert own_errors(one) == own_errors(two) == []
