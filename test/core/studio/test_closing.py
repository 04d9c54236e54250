"""What a long session leaves, and what is still done after the studio has been closed: nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pw_core.studio import Studio
from pw_core.studio.jobs import Jobs
from pw_core.studio.studio import StudioOptions
from pw_core.tree import ROOT
from pw_core.world import World
from support.sliding import Sliding


@pytest.fixture
def slow(built: Sliding, monkeypatch: pytest.MonkeyPatch) -> Sliding:
    """Frames take a tenth of a second."""
    fast = built.advance_to

    def advance_to(time_s: float) -> None:
        time.sleep(0.1)
        fast(time_s)

    monkeypatch.setattr(built, "advance_to", advance_to)
    return built


def begun(studio: Studio, slow: Sliding) -> None:
    """Wait until the job computes."""
    resets = slow.resets
    ends = time.monotonic() + 30
    while slow.resets == resets and not studio.room.jobs.wait(0.0) and time.monotonic() < ends:
        time.sleep(0.01)


def a_push(studio: Studio) -> None:
    studio.acting.seconds.value = 5.0
    studio.acting.ask()


def a_plan(studio: Studio) -> None:
    studio.plans.count.value = 500
    studio.plans.try_them()


@pytest.mark.parametrize("asked", [a_push, a_plan])
def test_nothing_computes_after_the_studio_was_closed(
    studio: Studio, slow: Sliding, world: World, asked: Callable[[Studio], None]
) -> None:
    asked(studio)
    begun(studio, slow)
    assert studio.close() == ""
    steps, resets, states = slow.steps, slow.resets, [s.id for s in world.states()]
    assert studio.room.jobs.wait(0.0)
    time.sleep(0.4)
    assert (slow.steps, slow.resets) == (steps, resets) and [s.id for s in world.states()] == states


def test_nothing_is_done_for_a_browser_after_the_studio_was_closed(studio: Studio, world: World) -> None:
    studio.acting.ask()
    assert studio.room.jobs.wait(30) and studio.room.state.id != ROOT
    studio.close()
    states = len(world.states())
    studio.room.guarded(studio.states.commit)
    studio.room.guarded(studio.acting.ask)
    assert world.head == ROOT and len(world.states()) == states and studio.room.jobs.wait(0.0)
    assert studio.close() == ""  # once more does no harm


def test_what_does_not_end_in_time_is_named(world: World) -> None:
    studio = Studio(world, port=0, options=StudioOptions(close_s=0.2))
    assert studio.room.jobs.wait(30)
    let_go = threading.Event()
    studio.room.jobs.start("compile", lambda stop: let_go.wait(60) and None)
    assert studio.close() == "compile"
    let_go.set()


def test_a_job_that_waits_for_its_turn_is_never_done() -> None:
    turn: list[Callable[[], None]] = []
    done: list[int] = []
    jobs = Jobs(lambda *_: None, lambda *_: None, submit=turn.append)
    assert jobs.start("later", lambda stop: done.append(1))
    assert jobs.close(30) == "" and jobs.wait(0.0)
    turn[0]()
    assert not done and not jobs.start("another", lambda stop: done.append(2)) and len(turn) == 1


def test_a_long_session_remembers_the_last_sentences_and_the_states_there_are(studio: Studio, world: World) -> None:
    for k in range(1000):
        studio.room.tell("Said", str(k))
    assert len(studio.room.told) <= 100 and studio.room.told[-1].text == "999"
    for _ in range(3):
        studio.acting.ask()
        assert studio.room.jobs.wait(30)
        studio.states.delete()
    assert set(studio.states._ways) == {s.id for s in world.states()}
