"""Wishes of tracking: each a Gaussian of the body and the pixel that it should be at, as one view says.

Three kinds: the film's own flow from the frame before (carries material along), outlines (keep the silhouette), and
flow from the drawn model to the frame (takes drift out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pw_core.gaussians import F32, F64, I64, Camera
from pw_core.refine.model import Drawn, Model
from pw_core.refine.tracking.film import Film, around, grey, near, outline, trusted_flow
from pw_core.scene import Entity

OUTLINE_PX = 4
"""How near [px] to a point of the drawn outline a Gaussian must be to stand for it."""
MOST_RIM_PX = 2.0
"""More than this is no rim."""


@dataclass(frozen=True)
class Pull:
    """Wishes: Gaussian `index` (P,) seen by `view` should move by `by` [px] (P, 2), counted with `weight` (P, 2) along
    the axes `axes` (P, 2, 2) (rows); a weight of 0 leaves a direction free."""

    view: int
    index: I64
    by: F64
    axes: F64
    weight: F64


@dataclass(frozen=True)
class Shot:
    """The model as it stands in a frame: means [m] (N, 3), pictures, and for each view pixels (N, 2) and depths [m]."""

    means: F32
    drawn: Drawn
    at: list[tuple[F64, F64]]


def pulls_of(
    model: Model, film: Film, v: int, t: int, step: int, shot: Shot, before: Shot | None, rims: dict[int, float],
    rng: np.random.Generator,
) -> list[Pull]:  # fmt: skip
    """What one view wishes for in a step of frame t; before: the frame before, where its flow is to be followed."""
    if before is not None and film.seen(v, t - 1):
        return [_by_own_flow(film, v, t, shot, before)]
    out = _by_outline(model, film, v, t, shot, rims, rng)
    if step > 0:
        picked = visible(model, film.cameras[v], shot.means, shot.drawn.depth[v], rng, at=shot.at[v])
        out.append(_by_drawn_flow(model, film, v, t, shot, picked))
    return out


def visible(
    model: Model, camera: Camera, means: F32, depth: F32, rng: np.random.Generator | None = None, most: int = 3000, *,
    at: tuple[F64, F64] | None = None,
) -> I64:  # fmt: skip
    """Gaussians that this camera sees; with `rng` up to `most` of them. at: their pixels and depths, where known."""
    uv, z = at or camera.project(means)
    index, cell = _in_picture(camera, uv, z), np.floor(uv).astype(np.int64)
    reach = 0.7 * model.binding.delta[index]
    index = index[z[index] <= depth[cell[index, 1], cell[index, 0]] + reach]
    return index if rng is None or len(index) <= most else np.sort(rng.choice(index, most, replace=False))


def _in_picture(camera: Camera, uv: F64, z: F64) -> I64:
    """Which of these pixels (N, 2) at depths (N,) are in the picture."""
    x, y = uv.T  # column by column: NumPy takes ten times as long over rows of two
    return np.flatnonzero((z > 0) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height))


def _by_own_flow(film: Film, v: int, t: int, shot: Shot, before: Shot) -> Pull:
    """What was seen at a pixel in the last frame is now where the film's flow took that pixel."""
    camera = film.cameras[v]
    uv, z = before.at[v]
    index, cell = _in_picture(camera, uv, z), np.floor(uv).astype(np.int64)
    index = index[z[index] <= before.drawn.depth[v][cell[index, 1], cell[index, 0]] + 0.004]
    index = index[:: max(1, len(index) // 3000)]
    flow = film.flow_from(v, t - 1)[cell[index, 1], cell[index, 0]].astype(np.float64)
    believed = np.isfinite(flow).all(1)
    index, flow = index[believed], flow[believed]
    now = shot.at[v][0][index]
    return _all_ways(v, index, uv[index] + flow - now, 1.0)


def _by_drawn_flow(model: Model, film: Film, v: int, t: int, shot: Shot, picked: I64) -> Pull:
    """Flow from the drawn model, over the frame itself where there is no model, to the frame."""
    drawn = shot.drawn
    cover = drawn.alpha[v].sum(-1, keepdims=True)
    ours = grey(drawn.rgb[v] + (1 - np.clip(cover, 0, 1)) * film.rgb[v, t])
    window = around((cover[..., 0] > 0.05) | (film.masks[v, t] != 0))
    flow = trusted_flow(ours, film.grey(v, t), window=window)
    uv = shot.at[v][0][picked]
    cell = np.floor(uv).astype(np.int64)
    by = flow[cell[:, 1], cell[:, 0]].astype(np.float64)
    # It must lead to where the frame shows the same entity.
    h, w = flow.shape[:2]
    to = np.floor(uv + np.nan_to_num(by)).astype(np.int64)
    to = np.clip(to, 0, [w - 1, h - 1])
    good = np.isfinite(by).all(1) & (film.masks[v, t][to[:, 1], to[:, 0]] == model.entity_of[picked] + 1)
    good &= film.valid[v, t][to[:, 1], to[:, 0]]
    return _all_ways(v, picked[good], by[good], 0.7)


def _facing(
    model: Model, film: Film, v: int, t: int, shot: Shot, e: Entity, rng: np.random.Generator
) -> tuple[F64, F64, F64] | None:
    """Points [px] (P, 2) of the drawn outline, those of the frame's that face them, and the latter's normals."""
    drawn = shot.drawn
    there, there_normal = film.outline(v, t, e.id + 1)
    others = np.delete(drawn.alpha[v], e.id, axis=-1).sum(-1) > 0.5
    here, here_normal = outline(drawn.alpha[v][..., e.id], blocked=others)
    if len(there) < 20 or len(here) < 20:
        return None
    if len(there) > 400:
        pick = rng.choice(len(there), 400, replace=False)
        there, there_normal = there[pick], there_normal[pick]
    # Nearest in place and direction at once: a right-hand edge must not be taken for a left-hand one.
    reach = 15.0
    _, k = cKDTree(np.hstack([here, reach * here_normal])).query(np.hstack([there, reach * there_normal]))
    agree = (here_normal[k] * there_normal).sum(1) > 0.5
    return (here[k][agree], there[agree], there_normal[agree]) if agree.any() else None


def rims_of(model: Model, film: Film, v: int, shot: Shot) -> dict[int, float]:
    """How much wider [px] each entity's outline is in the film than as drawn, in the first frame.

    Masks are a part of a pixel wider or narrower than what a renderer draws of the same thing, all round. The first
    frame's state is known; taken for a motion, the rim would blow the body up, which no later frame undoes.
    """
    out = {}
    for e in model.scene.entities if film.seen(v, 0) else ():
        found = _facing(model, film, v, 0, shot, e, np.random.default_rng(0))
        if found is not None:
            here, there, normal = found
            out[e.id] = float(np.clip(np.median(((there - here) * normal).sum(1)), -MOST_RIM_PX, MOST_RIM_PX))
    return out


def _by_outline(
    model: Model, film: Film, v: int, t: int, shot: Shot, rims: dict[int, float], rng: np.random.Generator
) -> list[Pull]:
    """The drawn outline should lie on the frame's: along the normal only, an outline slides along itself freely."""
    out = []
    uv, z = shot.at[v]
    for e in model.scene.entities:
        found = _facing(model, film, v, t, shot, e, rng)
        if found is None:
            continue
        here, there, normal = found
        # Each point of the drawn outline belongs to the Gaussian that is nearest to it in the picture.
        mine = np.flatnonzero((model.entity_of == e.id) & (z > 0))
        mine = mine[_close(uv[mine], here, OUTLINE_PX)]
        if not len(mine):
            continue
        gap, nearest = cKDTree(uv[mine]).query(here)
        good = gap < OUTLINE_PX
        index, normal = mine[nearest[good]], normal[good]
        by = there[good] - here[good] - rims.get(e.id, 0.0) * normal
        axes = np.stack([normal, normal[:, ::-1] * [-1, 1]], 1)
        # An outline has few points and says much: a silhouette counts like 1500 points of flow.
        weight = np.tile([[1500 / max(len(index), 1), 0.0]], (len(index), 1))
        out.append(Pull(v, index, by, axes, np.minimum(weight, 8.0)))
    return out


def _close(points: F64, to: F64, pixels: int) -> NDArray[np.bool_]:
    """Those of `points` [px] (P, 2) that may be within so many pixels of one of `to` (Q, 2): all that are, and some."""
    low = np.floor(to.min(0)).astype(np.int64) - pixels - 1
    size = np.ceil(to.max(0)).astype(np.int64) + pixels + 2 - low
    paper = np.zeros(size[::-1], bool)
    x, y = (np.floor(to).astype(np.int64) - low).T
    paper[y, x] = True
    paper = near(paper, pixels + 1)
    x, y = points.T
    inside = (x >= low[0]) & (y >= low[1]) & (x < low[0] + size[0]) & (y < low[1] + size[1])
    x, y = (np.floor(points[inside]).astype(np.int64) - low).T
    inside[inside] = paper[y, x]
    return inside


def _all_ways(v: int, index: I64, by: F64, weight: float) -> Pull:
    return Pull(v, index, by, np.tile(np.eye(2), (len(index), 1, 1)), np.full((len(index), 2), weight))
