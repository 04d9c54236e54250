"""Correspondences of tracking: each a Gaussian of the body and the pixel that it should be at, as one view says.

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


@dataclass(frozen=True, kw_only=True)
class CorrespondenceOptions:
    """How correspondences of a frame are found and weighed. Pixels are of the film as tracking sees it."""

    most_points: int = 3000
    """Gaussians of a view that flow is read at, about."""
    depth_ratio: float = 0.7
    """A Gaussian is seen if it lies at most so many of its binding lengths (a particle size) behind the drawn depth."""
    depth_m: float = 0.004
    """The same for the frame before, whose picture has settled, in metres."""
    own_flow_weight: float = 1.0
    """Of a correspondence by the film's own flow."""
    drawn_flow_weight: float = 0.7
    """Of one by flow from the drawn model, whose colours may be off."""
    least_cover: float = 0.05
    """Flow from the drawn model is looked for where so much of the model is in a pixel."""
    outline_px: int = 4
    """How near to a point of the drawn outline a Gaussian must be to stand for it."""
    outline_points: int = 400
    """Points of a frame's outline that are used."""
    fewest_outline_points: int = 20
    """An outline with less is not compared."""
    outline_direction_px: float = 15.0
    """Outline points match by place and direction at once: a right-hand edge must not be taken for a left-hand one. A
    normal that is off by its own length counts like so many pixels."""
    outline_agreement: float = 0.5
    """Cosine of the angle by which the normals of two outline points may differ."""
    outline_weight: float = 1500.0
    """An outline has few points and says much: a silhouette counts like so many points of flow."""
    most_outline_point_weight: float = 8.0
    """But no point of it for more than this."""
    most_bias_px: float = 2.0
    """A silhouette bias of more than this is a motion."""
    covered: float = 0.5
    """How much of other entities in a pixel hides an entity's outline there."""


@dataclass(frozen=True)
class Correspondences:
    """Gaussian `index` (P,) seen by `view` should move by `by` [px] (P, 2), counted with `weight` (P, 2) along
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


def correspondences_of(
    model: Model, film: Film, v: int, t: int, step: int, shot: Shot, before: Shot | None, biases: dict[int, float],
    rng: np.random.Generator, *, options: CorrespondenceOptions = CorrespondenceOptions(),
) -> list[Correspondences]:  # fmt: skip
    """What one view says in a step of frame t; before: the frame before, where its flow is to be followed."""
    if before is not None and film.seen(v, t - 1):
        return [_by_own_flow(film, v, t, shot, before, options)]
    out = _by_outline(model, film, v, t, shot, biases, rng, options)
    if step > 0:
        picked = visible(
            model, film.cameras[v], shot.means, shot.drawn.depth[v], rng, at=shot.at[v], options=options
        )  # fmt: skip
        out.append(_by_drawn_flow(model, film, v, t, shot, picked, options))
    return out


def visible(
    model: Model, camera: Camera, means: F32, depth: F32, rng: np.random.Generator | None = None, *,
    at: tuple[F64, F64] | None = None, options: CorrespondenceOptions = CorrespondenceOptions(),
) -> I64:  # fmt: skip
    """Gaussians that this camera sees; with `rng` up to `most_points` of them. at: their pixels and depths, where
    known."""
    uv, z = at or camera.project(means)
    index, cell = np.flatnonzero(camera.contains(uv, z)), np.floor(uv).astype(np.int64)
    reach = options.depth_ratio * model.binding.delta[index]
    index = index[z[index] <= depth[cell[index, 1], cell[index, 0]] + reach]
    most = options.most_points
    return index if rng is None or len(index) <= most else np.sort(rng.choice(index, most, replace=False))


def _by_own_flow(
    film: Film, v: int, t: int, shot: Shot, before: Shot, options: CorrespondenceOptions
) -> Correspondences:
    """What was seen at a pixel in the last frame is now where the film's flow took that pixel."""
    camera = film.cameras[v]
    uv, z = before.at[v]
    index, cell = np.flatnonzero(camera.contains(uv, z)), np.floor(uv).astype(np.int64)
    index = index[z[index] <= before.drawn.depth[v][cell[index, 1], cell[index, 0]] + options.depth_m]
    index = index[:: max(1, len(index) // options.most_points)]
    flow = film.flow_from(v, t - 1)[cell[index, 1], cell[index, 0]].astype(np.float64)
    trusted = np.isfinite(flow).all(1)
    index, flow = index[trusted], flow[trusted]
    now = shot.at[v][0][index]
    return _all_ways(v, index, uv[index] + flow - now, options.own_flow_weight)


def _by_drawn_flow(
    model: Model, film: Film, v: int, t: int, shot: Shot, picked: I64, options: CorrespondenceOptions
) -> Correspondences:
    """Flow from the drawn model, over the frame itself where there is no model, to the frame."""
    drawn = shot.drawn
    cover = drawn.alpha[v].sum(-1, keepdims=True)
    ours = grey(drawn.rgb[v] + (1 - np.clip(cover, 0, 1)) * film.rgb[v, t])
    window = around((cover[..., 0] > options.least_cover) | (film.masks[v, t] != 0), options=film.options)
    flow = trusted_flow(ours, film.grey(v, t), window=window, options=film.options)
    uv = shot.at[v][0][picked]
    cell = np.floor(uv).astype(np.int64)
    by = flow[cell[:, 1], cell[:, 0]].astype(np.float64)
    # It must lead to where the frame shows the same entity.
    h, w = flow.shape[:2]
    to = np.floor(uv + np.nan_to_num(by)).astype(np.int64)
    to = np.clip(to, 0, [w - 1, h - 1])
    good = np.isfinite(by).all(1) & (film.masks[v, t][to[:, 1], to[:, 0]] == model.entity_of[picked] + 1)
    good &= film.valid[v, t][to[:, 1], to[:, 0]]
    return _all_ways(v, picked[good], by[good], options.drawn_flow_weight)


def _facing(
    model: Model, film: Film, v: int, t: int, shot: Shot, e: Entity, rng: np.random.Generator,
    options: CorrespondenceOptions,
) -> tuple[F64, F64, F64] | None:  # fmt: skip
    """Points [px] (P, 2) of the drawn outline, those of the frame's that face them, and the latter's normals."""
    drawn = shot.drawn
    there, there_normal = film.outline(v, t, e.id + 1)
    others = np.delete(drawn.alpha[v], e.id, axis=-1).sum(-1) > options.covered
    here, here_normal = outline(drawn.alpha[v][..., e.id], blocked=others, options=film.options)
    if min(len(there), len(here)) < options.fewest_outline_points:
        return None
    if len(there) > options.outline_points:
        pick = rng.choice(len(there), options.outline_points, replace=False)
        there, there_normal = there[pick], there_normal[pick]
    reach = options.outline_direction_px
    _, k = cKDTree(np.hstack([here, reach * here_normal])).query(np.hstack([there, reach * there_normal]))
    agree = (here_normal[k] * there_normal).sum(1) > options.outline_agreement
    return (here[k][agree], there[agree], there_normal[agree]) if agree.any() else None


def silhouette_biases(
    model: Model, film: Film, v: int, shot: Shot, *, options: CorrespondenceOptions = CorrespondenceOptions()
) -> dict[int, float]:
    """How much wider [px] each entity's outline is in the film than as drawn, in the first frame.

    Masks are a part of a pixel wider or narrower than what a renderer draws of the same thing, all round. The first
    frame's state is known; taken for a motion, the bias would blow the body up, which no later frame undoes.
    """
    out = {}
    for e in model.scene.entities if film.seen(v, 0) else ():
        found = _facing(model, film, v, 0, shot, e, np.random.default_rng(0), options)
        if found is not None:
            here, there, normal = found
            wider = np.median(((there - here) * normal).sum(1))
            out[e.id] = float(np.clip(wider, -options.most_bias_px, options.most_bias_px))
    return out


def _by_outline(
    model: Model, film: Film, v: int, t: int, shot: Shot, biases: dict[int, float], rng: np.random.Generator,
    options: CorrespondenceOptions,
) -> list[Correspondences]:  # fmt: skip
    """The drawn outline should lie on the frame's: along the normal only, an outline slides along itself freely."""
    out = []
    uv, z = shot.at[v]
    for e in model.scene.entities:
        found = _facing(model, film, v, t, shot, e, rng, options)
        if found is None:
            continue
        here, there, normal = found
        # Each point of the drawn outline belongs to the Gaussian that is nearest to it in the picture.
        mine = np.flatnonzero((model.entity_of == e.id) & (z > 0))
        mine = mine[_close(uv[mine], here, options.outline_px)]
        if not len(mine):
            continue
        gap, nearest = cKDTree(uv[mine]).query(here)
        good = gap < options.outline_px
        index, normal = mine[nearest[good]], normal[good]
        by = there[good] - here[good] - biases.get(e.id, 0.0) * normal
        axes = np.stack([normal, normal[:, ::-1] * [-1, 1]], 1)
        weight = np.tile([[options.outline_weight / max(len(index), 1), 0.0]], (len(index), 1))
        out.append(Correspondences(v, index, by, axes, np.minimum(weight, options.most_outline_point_weight)))
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


def _all_ways(v: int, index: I64, by: F64, weight: float) -> Correspondences:
    return Correspondences(v, index, by, np.tile(np.eye(2), (len(index), 1, 1)), np.full((len(index), 2), weight))
