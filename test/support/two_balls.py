"""A patterned ball on a patterned floor and a plain one that hovers over it: pictures, masks, points and cameras."""

from __future__ import annotations

import numpy as np

from pw_core.config import EntityConfig, Material, Prompt
from pw_core.reconstruct.types import Masks, Posed, View
from support.ball import camera, shot

PLAIN, SMALLER = np.array([0.03, -0.02, 0.14]), 0.03
"""A plain ball that hovers over the patterned one."""
LAMP = np.array([0.6, 0.0, 0.8])


def two_balls(*, count: int = 12, gone: bool = False) -> tuple[Posed, Masks, list[EntityConfig]]:
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
