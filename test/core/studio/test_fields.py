"""What is typed into the page's fields, however absurd: a sentence that names the field, and the studio goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from pw_core.studio import Studio

ABSURD = [math.nan, math.inf, -1.0, 1e30]


def sentences(studio: Studio, ask: Callable[[], object]) -> list[str]:
    """What is said when that is asked."""
    before = len(studio.room.told)
    studio.room.guarded(ask)
    assert studio.room.jobs.wait(60)
    return [t.text for t in studio.room.told[before:]]


def goes_on(studio: Studio) -> bool:
    """Whether an ordinary push still becomes a state."""
    before = studio.room.state.id
    acting = studio.acting
    acting.kind.value, acting.seconds.value, acting.radius.value = "push", 0.2, 0.0
    acting.direction.value, acting.magnitude.value = (1.0, 0.0, 0.0), 2.0
    acting.entity.value = studio.room.scene.entities[0].name
    return not sentences(studio, acting.ask) and studio.room.state.id != before


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("field", ["seconds", "magnitude"])
def test_absurd_numbers_of_a_push_are_said_by_the_fields_name(studio: Studio, field: str, value: float, capfd) -> None:
    handle = getattr(studio.acting, field)
    handle.value = value
    (said,) = sentences(studio, studio.acting.ask)
    assert said.startswith(handle.label) and f"{value}" in said and "is not a number from" in said
    handle.value = 0.4
    assert goes_on(studio) and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("value", [(0.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (1e30, 0.0, 0.0), (math.inf, 0.0, 0.0)])
@pytest.mark.parametrize("kind", ["push", "wind"])
def test_absurd_directions_are_said(studio: Studio, kind: str, value: tuple[float, ...], capfd) -> None:
    studio.acting.kind.value, studio.acting.direction.value = kind, value
    (said,) = sentences(studio, studio.acting.ask)
    assert "direction" in said
    assert goes_on(studio) and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("value", [math.nan, -1.0, 1e30])
def test_an_absurd_radius_of_a_drag_is_said(studio: Studio, value: float) -> None:
    studio.acting.radius.value = value
    thing = studio.room.scene.entities[0]
    grip = studio.room.positions[thing.particles].mean(0).astype(float)
    path = [grip, grip + np.array([0.05, 0.0, 0.0])]
    (said,) = sentences(studio, lambda: studio.acting._released(thing, path, 0.1))
    assert said.startswith("radius [m]") and goes_on(studio)


@pytest.mark.parametrize("count", [0, -3, 1_000_000, 10**30])
def test_an_absurd_number_of_candidates_is_refused_at_once(studio: Studio, count: int) -> None:
    studio.plans.count.value = count
    began = time.process_time()
    (said,) = sentences(studio, studio.plans.try_them)
    assert said.startswith("pushes tried") and "from 2 to 500" in said and time.process_time() - began < 30
    assert goes_on(studio)


@pytest.mark.parametrize("target", [(math.nan, 0.0), (1e30, 0.0), (0.0, -math.inf)])
def test_an_absurd_target_is_said_and_not_drawn(studio: Studio, target: tuple[float, float], capfd) -> None:
    studio.plans.target.value = target
    assert "to x, y [m]" in sentences(studio, studio.plans._mark)[0]
    assert "to x, y [m]" in sentences(studio, studio.plans.try_them)[0]
    assert goes_on(studio) and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("films", ["/", "a\0b", "x" * 5000, "~nobody-of-that-name/films", "no/such/folder", " / / "])
def test_absurd_folders_of_films_are_said(studio: Studio, films: str, capfd) -> None:
    assert goes_on(studio)
    studio.refining.films.value = films
    (said,) = sentences(studio, studio.refining.refine)
    assert len(said) < 1000 and goes_on(studio) and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("iterations", [-1, 10**9])
def test_absurd_iterations_are_said(studio: Studio, iterations: int) -> None:
    assert goes_on(studio)
    studio.refining.iterations.value = iterations
    assert sentences(studio, studio.refining.refine)[0].startswith("iterations") and goes_on(studio)


@pytest.mark.parametrize("name", ["", "/", "../..", "no-such-thing", "x" * 10_000])
def test_names_that_there_are_not_are_said(studio: Studio, name: str, capfd) -> None:
    acting, looks = studio.acting, studio.looks
    for field, ask in (
        (acting.entity, acting.ask), (acting.kind, acting.ask), (studio.plans.entity, studio.plans.try_them),
        (looks.camera, lambda: looks.look(None)),
    ):  # fmt: skip
        before = field.value
        field._impl.value = name  # what a browser sends is not checked against the choices
        (said,) = sentences(studio, ask)
        assert "is none of" in said and len(said) < 1000
        field.value = before
    studio.states.state._impl.value = name
    said = sentences(studio, studio.states._chosen)
    assert not name or (said[0].startswith("state") and len(said[0]) <= 1000)
    assert goes_on(studio) and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("pace", [math.nan, -1.0, 1e30])
def test_an_absurd_pace_plays_at_the_usual_one(studio: Studio, pace: float) -> None:
    assert goes_on(studio)
    studio.timeline.pace._impl.value = pace
    studio.timeline.toggle()
    ends = time.monotonic() + 20
    while studio.timeline._stop is not None and time.monotonic() < ends:
        time.sleep(0.02)
    assert studio.timeline._stop is None and studio.room.here.at_end


@pytest.mark.parametrize("frame", [math.nan, -5, 10**9])
def test_a_frame_that_is_not_on_the_timeline_is_said(studio: Studio, frame: float) -> None:
    assert goes_on(studio)
    studio.timeline.frame._impl.value = frame
    before = studio.room.frame
    studio.timeline._moved()
    assert studio.room.told[-1].text.startswith("frame") and studio.room.frame == before
