"""A visit in a real headless Chromium: what is done with the mouse becomes states."""

from __future__ import annotations

from pw_core.studio import Studio
from pw_core.tree import ROOT
from support.browser import visitor, visitors
from support.studio_visit import choose, come_in, drag, gripped, own_errors, press, settled, tab, until


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
        assert own_errors(visit) == [] and visit.elsewhere == [] and not studio.room.told


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


def test_a_browser_that_is_closed_in_a_drag_or_a_what_if_leaves_the_next_one_free(studio: Studio) -> None:
    world = studio.world
    with visitors(count=3, width=800, height=600, wait_s=60) as (dragging, asking, after):
        come_in(dragging, studio)
        gripped(dragging, studio, 60)
        dragging.page.close()
        until(lambda: not studio.server.get_clients(), asking)
        asking.page.wait_for_timeout(500)
        assert [s.id for s in world.states()] == [ROOT] and not studio.acting._paths  # nobody let go of it

        come_in(asking, studio)
        tab(asking, "Plan")
        press(asking, "Pick it on the table")
        until(lambda: studio.plans._picking is not None, asking)
        studio.acting.seconds.value = 5.0
        studio.room.guarded(studio.acting.ask)
        asking.page.close()
        until(lambda: not studio.server.get_clients(), after)
        until(lambda: studio.plans._picking is None, after)
        assert studio.room.jobs.wait(60) and studio.room.state.id != ROOT  # what was asked is finished

        come_in(after, studio)
        studio.room.show_state(ROOT)
        studio.acting.seconds.value = 0.2
        state = drag(after, studio, 60)
        assert world.state(state).parent == ROOT
        assert own_errors(after) == [] and not studio.room.told
