"""A smooth thing, on which no sparse point lies, is carried from view to view by its silhouettes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.config import EntityConfig, Material, Prompt
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.segmentation.propagate import carry
from pw_core.reconstruct.types import Posed, View
from support.ball import camera, iou, shot

PLAIN, SMALLER = np.array([0.03, -0.02, 0.14]), 0.03
"""A plain ball that hovers over the patterned one."""
LAMP = np.array([0.6, 0.0, 0.8])
Masks = dict[str, dict[str, np.ndarray]]


def two(*, count: int = 12, gone: bool = False) -> tuple[Posed, Masks, list[EntityConfig]]:
    """Views of a patterned ball and a plain one, their masks; points on floor and patterned ball alone. gone: the plain
    one is in the first view only."""
    views, points, seen, true = [], [], {}, {"ball": {}, "plain": {}}
    start = 0
    for k in range(count):
        rise = 0.26 + 0.12 * (k % 3) / 2
        cam = camera(2 * np.pi * k / count, height=rise, distance=0.5, name=f"v{k:02d}", enlarged=2)
        picture, depth, mask = shot(cam, grain=3.0)
        _, nearer, front = shot(cam, centre=PLAIN, radius=SMALLER)
        front &= nearer < depth
        if gone and k:
            front = np.zeros_like(front)
        rows, columns = np.nonzero(front)
        skin = cam.unproject(np.stack([columns, rows], 1) + 0.5, nearer[front].astype(np.float64))
        lit = 0.75 + 0.25 * ((skin - PLAIN) / SMALLER) @ LAMP
        grain = np.random.default_rng(k).normal(size=(len(skin), 3)) * 3
        picture[front] = np.clip(np.array([235, 190, 60]) * lit[:, None] + grain, 0, 255)
        y, x = (a.ravel() for a in np.mgrid[5 : cam.height : 12, 5 : cam.width : 12])
        free = ~front[y, x]
        y, x = y[free], x[free]
        points.append(cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64)))
        seen[cam.name] = np.arange(start, start + len(x))
        start += len(x)
        views.append(View(cam.name, picture, cam))
        true["ball"][cam.name], true["plain"][cam.name] = mask & ~front, front
    at = np.concatenate(points)
    posed = Posed(tuple(views), at, np.full((len(at), 3), 0.5), _all_that_see(views, at, seen, true))
    entities = [EntityConfig(name=n, material=Material(model="elastic"), prompt=Prompt(box=[0, 0, 9, 9])) for n in true]
    return posed, true, entities


def _all_that_see(
    views: list[View], points: np.ndarray, own: dict[str, np.ndarray], true: Masks
) -> dict[str, np.ndarray]:
    """Points that a view shows: its own, and those of others that nothing hides."""
    out = {}
    for v in views:
        _, depth, _ = shot(v.camera)
        uv, z = v.camera.project(points)
        x, y = np.floor(uv).astype(int).T
        inside = (x >= 0) & (x < v.camera.width) & (y >= 0) & (y < v.camera.height)
        inside[inside] = (np.abs(depth[y[inside], x[inside]] - z[inside]) < 0.004) & ~true["plain"][v.name][
            y[inside], x[inside]
        ]
        out[v.name] = np.union1d(np.flatnonzero(inside), own[v.name])
    return out


@pytest.mark.slow
def test_a_plain_thing_is_found_in_every_view() -> None:
    posed, true, entities = two()
    known = {n: {"v00": of["v00"]} for n, of in true.items()}
    found = carry(posed, entities, known, prompt_view="v00")
    worst = {n: min(iou(found[n][v], true[n][v]) for v in true[n]) for n in true}
    assert worst["plain"] > 0.9 and worst["ball"] > 0.9, worst
    assert found["plain"]["v00"] is true["plain"]["v00"]
    # Alone it is found, too, also where a view looks elsewhere and was said not to show it.
    cam = replace(posed.views[1].camera, name="away", K=posed.views[1].camera.K - [[0, 0, 5000], [0, 0, 0], [0, 0, 0]])
    away = View("away", np.full_like(posed.views[1].image, 128), cam)
    posed = replace(posed, views=(*posed.views, away), seen=posed.seen | {"away": np.zeros(0, np.int64)})
    nothing = np.zeros_like(true["plain"]["v01"])
    alone = carry(posed, entities[1:], {"plain": known["plain"] | {"away": nothing}}, prompt_view="v00")["plain"]
    assert alone["away"] is nothing
    assert min(iou(alone[v], true["plain"][v]) for v in true["plain"]) > 0.85


@pytest.mark.slow
def test_what_other_views_do_not_show_is_an_error() -> None:
    posed, true, entities = two(gone=True)
    known = {n: {"v00": of["v00"]} for n, of in true.items()}
    with pytest.raises(ReconstructError, match="'plain': only 0 of the sparse points") as caught:
        carry(posed, entities, known, prompt_view="v00")
    assert caught.value.code == ErrorCode.INVALID_PROMPT
