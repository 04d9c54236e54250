"""What is asked in the middle of a trajectory begins at the moment that is shown, or it is said why it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.studio import Studio
from pw_core.tree import ROOT
from pw_core.world import World


def ask(studio: Studio, newtons: float = 4.0) -> str:
    """Push the thing; the id of what came of it."""
    studio.acting.magnitude.value = newtons
    studio.room.guarded(studio.acting.ask)
    assert studio.room.jobs.wait(30)
    return studio.room.state.id


def scrub(studio: Studio, frame: int) -> None:
    """Move the timeline's slider, as a browser does."""
    studio.timeline.frame.value = frame
    studio.timeline._moved()


def test_a_push_begins_at_the_moment_that_is_shown(studio: Studio, world: World) -> None:
    first = ask(studio)
    end = studio.room.positions.copy()
    scrub(studio, 3)
    shown = studio.room.positions.copy()
    assert np.abs(shown - end).max() > 1e-3 and "begins here" in studio.timeline.time.content
    hull = studio.acting._hulls[studio.room.scene.entities[0].name].vertices
    mine = shown[studio.room.scene.entities[0].particles]  # to be gripped there:
    assert np.all(hull.min(0) >= mine.min(0) - 1e-6) and np.all(hull.max(0) <= mine.max(0) + 1e-6)
    second = ask(studio, 2.0)
    way = world.trajectory(world.state(second).trajectory_id)
    assert np.array_equal(way.positions[0], shown) and "begins here" not in studio.timeline.time.content
    moment = world.state(world.state(second).parent)
    assert moment.parent == ROOT and 0 < moment.time_s < world.state(first).time_s
    assert np.abs(moment.physics.particles.velocities - way.velocities[0]).max() == 0  # it goes on as it went
    studio.room.show_state(first, frame=3)
    assert world.state(ask(studio, 1.0)).parent == moment.id  # a moment is made once


def test_a_push_from_the_beginning_is_a_sibling_and_one_from_the_end_a_child(studio: Studio, world: World) -> None:
    first = ask(studio)
    scrub(studio, 0)
    second = ask(studio)
    assert second != first and world.state(second).parent == ROOT
    assert world.state(ask(studio)).parent == second


def test_a_plan_begins_at_the_moment_that_is_shown(studio: Studio, world: World) -> None:
    ask(studio)
    scrub(studio, 3)
    shown = studio.room.positions.copy()
    studio.plans.count.value = 4
    studio.plans.try_them()
    assert studio.room.jobs.wait(60) and not studio.room.told
    assert all(np.array_equal(k.trajectory.positions[0], shown) for k in studio.plans.kept) and studio.plans.kept


def test_a_corrected_trajectory_has_no_moments_and_says_so(studio: Studio, world: World) -> None:
    first = world.state(ask(studio))
    way = world.trajectory(first.trajectory_id)
    corrected = replace(first, id="s-corrected", parent=first.id, trajectory_id="t-corrected", figures={"psnr": 30.0})
    world.tree.add(corrected, replace(way, id="t-corrected", end=corrected.id))
    studio.room.show_state(corrected.id, frame=3)
    assert "its end or its beginning" in studio.timeline.time.content
    before = [s.id for s in world.states()]
    ask(studio)
    assert "within a corrected trajectory nothing can begin" in studio.room.told[-1].text
    assert [s.id for s in world.states()] == before
    scrub(studio, len(way) - 1)
    assert world.state(ask(studio)).parent == corrected.id


def test_a_moment_that_comes_out_otherwise_is_not_begun_from(studio: Studio, world: World) -> None:
    first = world.state(ask(studio))
    way = world.trajectory(first.trajectory_id)
    world.tree.add(replace(first, id="s-other", trajectory_id="t-other"),
                   replace(way, id="t-other", end="s-other", positions=way.positions + np.float32(0.02)))  # fmt: skip
    studio.room.show_state("s-other", frame=3)
    before = [s.id for s in world.states()]
    ask(studio)
    assert "mm from what is shown" in studio.room.told[-1].text and [s.id for s in world.states()] == before


def test_a_commit_from_a_moment_shows_what_was_committed(studio: Studio, world: World) -> None:
    end = ask(studio)
    last = studio.room.positions.copy()
    scrub(studio, 3)
    studio.room.guarded(studio.states.commit)
    assert world.head == end and np.array_equal(studio.room.positions, last)
    assert "the end of the timeline" in studio.room.told[-1].text
