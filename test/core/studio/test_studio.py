"""The studio without a browser: what its controls do, and that its page is served to this machine alone."""

from __future__ import annotations

import shutil
import sys
import time
import urllib.request

import cv2
import numpy as np
import pytest

from pw_core.errors import PWError
from pw_core.studio import Studio
from pw_core.tree import ROOT
from pw_core.world import World


def ask(studio: Studio, newtons: float = 20.0) -> str:
    """Push the thing; the id of what came of it."""
    studio.acting.magnitude.value = newtons
    studio.acting.ask()
    assert studio.room.jobs.wait(30)
    return studio.room.state.id


def test_a_push_becomes_a_state_that_can_be_committed(studio: Studio, world: World) -> None:
    before = studio.room.positions.copy()
    end = ask(studio)
    moved = studio.room.positions - before
    assert moved[:, 0].mean() > 0.01 and world.head == ROOT and end != ROOT
    assert end in studio.states.tree.content and studio.states.state.value == end
    assert 0 < studio.acting.first_frame_s < 30
    studio.states.commit()
    assert world.head == end and studio.states.tree.content.count('<b class="head">') == 1


def test_two_pushes_from_one_state_are_siblings(studio: Studio, world: World) -> None:
    first = ask(studio)
    studio.states.branch()
    assert studio.room.state.id == ROOT
    second = ask(studio, 10.0)
    assert world.state(first).parent == world.state(second).parent == ROOT
    studio.states.other.value = first
    studio.states._compare()
    assert studio.room.shown.sight.other is not None and studio.room.shown.sight.layout == "ghost"
    studio.states.delete()
    assert second not in [s.id for s in world.states()] and studio.room.state.id == ROOT


def test_the_timeline_moves_what_is_shown(studio: Studio) -> None:
    ask(studio)
    last = studio.room.positions.copy()
    studio.room.show_frame(0)
    first = studio.room.positions.copy()
    assert (last - first)[:, 0].mean() > 0.01 and studio.timeline.frame.max > 3
    studio.timeline.pace.value = 1.0
    studio.timeline.toggle()
    ends = time.monotonic() + 20
    while studio.timeline._stop is not None and time.monotonic() < ends:
        time.sleep(0.02)
    assert np.allclose(studio.room.positions, last)
    studio.room.show_state(ROOT)
    assert np.allclose(studio.room.positions, first, atol=1e-6) and studio.timeline.frame.disabled


def test_a_picture_of_a_camera_at_rest_is_the_full_one_and_is_not_drawn_twice(studio: Studio, world: World) -> None:
    ask(studio)
    shown, camera, film = studio.room.shown, studio.room.scene.cameras[0], studio.room.shown.film
    assert film is not None and len(film.names) == len(studio.room.trajectory)
    for index in (0, len(film.names) - 1):
        studio.room.show_frame(index)
        got = studio.pictures._picture(shown.sight, camera, False)
        moment = film.moment(index)
        assert moment.name == shown.sight.moment.name == film.names[index]
        assert np.array_equal(got, world.appearance.render(camera, moment.physics, appearance=moment.looks).rgb)
        assert studio.pictures._picture(shown.sight, camera, False) is got
        quick = studio.pictures._picture(shown.sight, camera, True)
        assert cv2.PSNR(quick, got) > 25


def test_a_job_that_runs_is_called_off_and_another_is_refused(studio: Studio) -> None:
    studio.acting.seconds.value = 5.0
    studio.acting.ask()
    studio.acting.ask()
    assert studio.room.told[-1].title == "Busy"
    studio.room.jobs.call_off()
    assert studio.room.jobs.wait(30)


def test_candidates_of_a_plan_become_states_with_costs(studio: Studio, world: World) -> None:
    studio.plans.count.value = 6
    studio.plans.try_them()
    assert studio.room.jobs.wait(60) and not studio.room.told
    kept = studio.plans.kept
    assert kept and [k.score.cost for k in kept] == sorted(k.score.cost for k in kept)
    assert {k.state.id for k in kept} <= {s.id for s in world.states()}
    assert len(studio.plans.best.options) == 1 + len(kept)
    studio.plans.best.value = studio.plans.best.options[1]
    studio.plans._chosen()
    assert studio.room.state.id == kept[0].state.id


def test_a_tool_path_for_what_is_soft_is_refused_in_words(studio: Studio) -> None:
    assert studio.room.scene.entities[0].kind == "deformable"
    studio.acting.kind.value = "tool path"
    studio.room.guarded(studio.acting.ask)
    assert "is soft" in studio.room.told[-1].text


def test_what_others_change_is_seen_and_a_deleted_scene_is_said(studio: Studio, world: World) -> None:
    end = ask(studio)
    world.commit(end)  # by somebody else
    studio._look()
    assert '<b class="head">' in studio.states.tree.content.split(end)[1]
    shutil.rmtree(world.store.folder(world.scene.id))
    studio._look()
    assert studio.room.told[-1].title == "Deleted"


def test_the_gaussians_in_the_browser_are_moved_in_place(studio: Studio) -> None:
    studio.looks.drawn.value = "the browser"
    studio.looks._draw()
    before = studio.looks.splats.things.centers.copy()
    ask(studio)
    moved = studio.looks.splats.things.centers - before
    assert moved[:, 0].mean() > 0.01 * studio.looks.splats.options.units
    studio.looks.drawn.value = "this machine"
    studio.looks._draw()
    assert not studio.looks.splats.things.visible and studio.room.shown.sight.drawn_here


def test_stages_of_the_reconstruction_are_shown(studio: Studio, world: World) -> None:
    assert not studio.stages.picture.visible and "no report" in studio.stages.told.content
    folder = world.store.folder(world.scene.id) / "reconstruction" / "pictures"
    folder.mkdir(parents=True)
    for name, grey in (("0_front", 50), ("1_masks", 200)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((90, 960, 3), grey, np.uint8))
    studio.stages.fill()
    assert studio.stages.stage.value == "0_front" and studio.stages.picture.image.shape == (45, 480, 3)
    studio.stages.stage.value = "1_masks"
    studio.stages.show()
    assert studio.stages.picture.image.mean() == 200 and studio.stages.picture.visible


def test_it_serves_a_page_and_listens_here_alone(studio: Studio) -> None:
    with urllib.request.urlopen(studio.address, timeout=10) as page:
        assert page.status == 200 and b"<html" in page.read().lower()
    assert studio.address.startswith("http://127.0.0.1:") and not studio.gate.token


def test_a_missing_package_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(PWError, match="pip install 'viser'"):
        Studio(world)
