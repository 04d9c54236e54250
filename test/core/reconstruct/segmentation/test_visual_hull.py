"""A smooth thing, on which no sparse point lies, is found in every view by its silhouettes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.segmentation.propagate import propagate
from pw_core.reconstruct.segmentation.visual_hull import VisualHull, VisualHullOptions
from pw_core.reconstruct.types import View
from support.ball import CENTRE, RADIUS, camera, iou, shot
from support.two_balls import two_balls


def test_silhouettes_all_round_leave_the_ball_and_one_that_is_wrong_does_not_carve_it() -> None:
    axis = np.linspace(-0.08, 0.08, 33)
    grid = np.stack(np.meshgrid(axis, axis, axis + CENTRE[2], indexing="ij"), -1).reshape(-1, 3)
    away = np.linalg.norm(grid - CENTRE, axis=1)
    kept = {}
    for allowed in (8, 100):
        hull = VisualHull(grid, 0.005, VisualHullOptions(silhouettes_per_error=allowed))
        for k in range(12):
            cam = camera(2 * np.pi * k / 12, height=0.1 + 0.2 * (k % 3), name=f"v{k}")
            picture, _, mask = shot(cam)
            hull.carve(View(cam.name, picture, cam), mask & (k != 4), np.zeros_like(mask))
        kept[allowed] = hull.left()
    assert kept[8][away < 0.9 * RADIUS].all() and not kept[8][away > 1.6 * RADIUS].any()
    assert not kept[100].any()  # no silhouette may be wrong: one that is empty leaves nothing


def test_what_a_view_said_can_be_taken_back() -> None:
    cam = camera(0.0)
    picture, _, mask = shot(cam)
    hull = VisualHull(CENTRE + np.array([[0, 0, 0], [0, 0.09, 0]]), 0.005)
    hull.carve(View(cam.name, picture, cam), mask, np.zeros_like(mask))
    assert hull.left().tolist() == [True, False]
    assert iou(hull.shown(cam), mask) > 0 and not hull.shown(cam, without=cam.name).any()
    hull.forget(View(cam.name, picture, cam))
    assert hull.seen.tolist() == [0, 0] == hull.out.tolist()


@pytest.mark.slow
def test_a_plain_thing_is_found_in_every_view() -> None:
    posed, true, entities = two_balls()
    known = {n: {"v00": of["v00"]} for n, of in true.items()}
    found = propagate(posed, entities, known, prompt_view="v00")
    worst = {n: min(iou(found[n][v], true[n][v]) for v in true[n]) for n in true}
    assert worst["plain"] > 0.9 and worst["ball"] > 0.9, worst
    assert found["plain"]["v00"] is true["plain"]["v00"]
    # Alone it is found, too, also where a view looks elsewhere and was said not to show it.
    cam = replace(posed.views[1].camera, name="away", K=posed.views[1].camera.K - [[0, 0, 5000], [0, 0, 0], [0, 0, 0]])
    away = View("away", np.full_like(posed.views[1].image, 128), cam)
    posed = replace(posed, views=(*posed.views, away), seen=posed.seen | {"away": np.zeros(0, np.int64)})
    nothing = np.zeros_like(true["plain"]["v01"])
    alone = propagate(posed, entities[1:], {"plain": known["plain"] | {"away": nothing}}, prompt_view="v00")["plain"]
    assert alone["away"] is nothing
    assert min(iou(alone[v], true["plain"][v]) for v in true["plain"]) > 0.85


@pytest.mark.slow
def test_what_other_views_do_not_show_is_an_error() -> None:
    posed, true, entities = two_balls(gone=True)
    known = {n: {"v00": of["v00"]} for n, of in true.items()}
    said = r"'plain': only 0 of the sparse points.* propagate its mask from v00"
    with pytest.raises(ReconstructError, match=said) as caught:
        propagate(posed, entities, known, prompt_view="v00")
    assert caught.value.code == ErrorCode.INVALID_PROMPT
