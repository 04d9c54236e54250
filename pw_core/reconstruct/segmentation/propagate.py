"""Mask propagation: each entity's pixels in every view, from those in one view, through the sparse points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, I64
from pw_core.reconstruct.segmentation.grabcut import (
    ColorModels,
    GrabCutOptions,
    color_models,
    filled,
    grabcut,
    mark_discs,
)
from pw_core.reconstruct.segmentation.points import (
    PointOptions,
    add_votes,
    floor_height,
    in_mask,
    main_cluster,
    pixels_within,
)
from pw_core.reconstruct.segmentation.visual_hull import VisualHullOptions, propagate_by_visual_hull
from pw_core.reconstruct.types import Mask, Masks, Posed, View


@dataclass(frozen=True, kw_only=True)
class PropagationOptions:
    """How masks go from view to view."""

    few_points: int = 12
    """On an entity: below this its silhouettes are asked first."""
    min_points: int = 4
    """On an entity: fewer say nothing of where it is."""
    margin_ratio: float = 0.25
    """Of the extent of an entity's points in a view: how far beyond them it may reach."""
    occluder_distance_ratio: float = 0.012
    """Of the picture's width: how near an entity's point must be before another's to hide it."""
    occluder_depth_ratio: float = 0.995
    """Of the other's depth: how near to the camera it must be for that."""
    other_radius_ratio: float = 0.005
    """Of the picture's width: radius of what a point that is not the entity's says of its surroundings."""
    points: PointOptions = PointOptions()
    grabcut: GrabCutOptions = GrabCutOptions()
    visual_hull: VisualHullOptions = VisualHullOptions()


class _TooFew(Exception):
    """Points on an entity to propagate its mask by them."""

    def __init__(self, entity: EntityConfig, count: int) -> None:
        super().__init__(entity.name)
        self.entity, self.count = entity, count


@dataclass
class _Propagated:
    """What is known of one entity: its masks by view, for each point how many of them say yes or no, and the colours
    around and of it in the prompt's view."""

    entity: EntityConfig
    masks: dict[str, Mask]
    yes: I64
    no: I64
    models: ColorModels


def propagate(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], *, prompt_view: str,
    options: PropagationOptions = PropagationOptions(),
) -> Masks:  # fmt: skip
    """Each entity (by name) in every view (by name), from the masks that are `known` of it, which hold one in
    `prompt_view` and stay as they are; the plane is z = 0.

    Points inside a mask belong to its entity. In each further view, in the order of how many of their points it saw,
    their outlines seed GrabCut, the points of one entity against those of the others; what it finds says of further
    points whose they are. Where two claim a pixel, it goes to whose visible point is nearest. What hardly has points is
    propagated by its silhouettes (`visual_hull`) before the others, which then leave its pixels alone.

    Raises:
        ReconstructError (INVALID_PROMPT): too few points on an entity, and its silhouettes make no solid.
    """
    no_solid: set[str] = set()
    while True:
        try:
            return _by_points(posed, entities, known, prompt_view, no_solid, options)
        except _TooFew as short:
            name = short.entity.name
            found = (None if name in no_solid
                     else _by_silhouettes(posed, entities, known, short.entity, prompt_view, options))  # fmt: skip
            if found is not None:
                known = dict(known) | {name: found}
            elif name not in no_solid and short.count >= options.min_points:
                no_solid.add(name)
            else:
                raise ReconstructError(
                    f"entity '{name}': only {short.count} of the sparse points lie on it, too few to propagate its "
                    f"mask from {prompt_view} to other views, and what has its colours there makes no solid with that "
                    "mask; give masks, use SAM 2, or take more overlapping photos", code=ErrorCode.INVALID_PROMPT,
                ) from None  # fmt: skip


def _by_points(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], prompt_view: str,
    no_solid: set[str], options: PropagationOptions,
) -> Masks:  # fmt: skip
    """As `propagate`; no_solid: entities by name whose silhouettes make no solid.

    Raises:
        _TooFew: points on an entity.
    """
    points = posed.points
    floor = floor_height(posed, options.points)
    raised = points[:, 2] > floor
    views = {v.name: v for v in posed.views}
    zeros = np.zeros(len(points), np.int64)
    image = views[prompt_view].image
    every = [
        _Propagated(e, dict(known[e.name]), zeros.copy(), zeros.copy(), color_models(image, known[e.name][prompt_view]))
        for e in entities
    ]
    voted: set[str] = set()

    def vote(name: str) -> None:
        voted.add(name)
        for c in every:
            if name in c.masks:
                add_votes(posed, views[name], c.masks[name], c.yes, c.no)

    vote(prompt_view)
    for name in views:
        if name not in voted and all(name in c.masks for c in every):
            vote(name)
    first = len(voted)
    while len(voted) < len(views):
        own = []
        for c in every:
            rivals = np.max([zeros, *(o.yes for o in every if o is not c)], axis=0)
            mine = np.flatnonzero((c.yes > c.no) & (c.yes > rivals) & raised)
            ask_silhouettes = len(voted) == first and c.entity.name not in no_solid
            least = options.few_points if ask_silhouettes else options.min_points
            if len(mine) < least and any(n not in c.masks for n in views):
                raise _TooFew(c.entity, len(mine))
            enough = len(mine) >= options.min_points
            own.append(mine[main_cluster(points[mine], options=options.points)] if enough else mine)
        left = [n for n in views if n not in voted]
        whole = np.concatenate(own)
        name = max(left, key=lambda n: int(np.isin(posed.seen[n], whole).sum()))
        _cut_all(posed, views[name], every, own, floor, options)
        vote(name)
    return {c.entity.name: {n: c.masks[n] for n in views} for c in every}


def _by_silhouettes(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], entity: EntityConfig,
    prompt_view: str, options: PropagationOptions,
) -> dict[str, Mask] | None:  # fmt: skip
    """One of the entities in every view; None where its silhouettes make no solid. What the others take for theirs at
    first may hide it, or be wrong."""
    rest = [e for e in entities if e is not entity]
    first: Masks = {}
    if rest:
        first = propagate(posed, rest, {e.name: known[e.name] for e in rest}, prompt_view=prompt_view, options=options)
    taken = {
        v.name: np.any([v.unseen, *(m[v.name] for m in first.values())], axis=0)
        for v in posed.views
    }  # fmt: skip
    view = next(v for v in posed.views if v.name == prompt_view)
    points = posed.points[posed.seen[prompt_view]]
    own = points[in_mask(known[entity.name][prompt_view], view, points)]
    return propagate_by_visual_hull(posed, known[entity.name], taken, prompt_view=prompt_view, own=own,
                                    options=options.visual_hull)  # fmt: skip


def _cut_all(
    posed: Posed, view: View, every: list[_Propagated], own: list[NDArray[np.intp]], floor: float,
    options: PropagationOptions,
) -> None:  # fmt: skip
    """The entities that have no mask in this view yet."""
    points = posed.points
    shown = _in_front(view, [points[i] for i in own], options)
    fixed = [c.masks.get(view.name) for c in every]
    taken = np.any([view.unseen, *(m for m in fixed if m is not None)], axis=0)
    found: list[Mask] = []
    for i, c in enumerate(every):
        known = fixed[i]
        if known is not None:
            found.append(known)
            continue
        rivals = np.concatenate([points[:0], *(s for j, s in enumerate(shown) if j != i)])
        others = points[_others(posed, view.name, c, options.points.ground_share * floor)]
        cut = _cut(view, points[own[i]], shown[i], others, rivals, models=c.models, options=options)
        found.append(cut & ~taken)
    twice = np.sum(found, axis=0) > 1
    if twice.any():
        nearest = np.argmin([_distance_to(view, s) for s in shown], axis=0)
        found = [m if fixed[i] is not None else m & (~twice | (nearest == i)) for i, m in enumerate(found)]
    for c, m in zip(every, found):
        c.masks[view.name] = m


def _in_front(view: View, points: list[F64], options: PropagationOptions) -> list[F64]:
    """Of each entity's points those that no other entity's point hides."""
    from scipy.spatial import cKDTree

    seen = [view.camera.project(p) for p in points]
    near_px = options.occluder_distance_ratio * view.camera.width
    out = []
    for i, (uv, depth) in enumerate(seen):
        free = depth > 0
        for j, (other, nearer) in enumerate(seen):
            if j != i and len(other):
                distance, index = cKDTree(other).query(uv)
                free &= ~((distance < near_px) & (nearer[index] < options.occluder_depth_ratio * depth))
        out.append(points[i][free])
    return out


def _distance_to(view: View, points: F64) -> F64:
    """[px] (H, W) of each pixel from the nearest of the points."""
    away = np.ones(view.image.shape[:2], bool)
    cells, _, seen = view.camera.pixels(points)
    away[cells[seen, 1], cells[seen, 0]] = False
    return np.asarray(ndimage.distance_transform_edt(away))


def _others(posed: Posed, name: str, c: _Propagated, ground: float) -> I64:
    """Of the points that a view saw, those that no mask says are the entity's, and that one says are not, or that lie
    lower than `ground`."""
    seen = posed.seen[name]
    return np.asarray(seen[((c.no[seen] > c.yes[seen]) | (posed.points[seen, 2] < ground)) & (c.yes[seen] == 0)])


def _cut(
    view: View, own: F64, shown: F64, others: F64, rivals: F64, *, models: ColorModels, options: PropagationOptions
) -> Mask:
    """GrabCut inside the outline of `own`; what is `shown` of them is certain, and so is that others and rivals are not
    of them: others where they are outside the outline, rivals, which are in front, everywhere."""
    import cv2

    height, width = view.image.shape[:2]
    uv = pixels_within(view, own)
    if len(uv) < 3:
        return np.zeros((height, width), bool)
    outline = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(outline, cv2.convexHull(uv.astype(np.float32)).astype(np.int32), 1)
    low, high = uv.min(0), uv.max(0)
    grow = options.margin_ratio * max(high - low)
    x0, y0 = np.maximum(low - grow, 0).astype(int)
    x1, y1 = np.minimum(high + grow, [width, height]).astype(int)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = cv2.GC_PR_BGD
    labels[outline > 0] = cv2.GC_PR_FGD
    radius = max(1, round(options.other_radius_ratio * width))
    beside = view.camera.project(others)[0]
    beside = beside[(beside >= 0).all(1) & (beside < [width, height]).all(1)]
    x, y = beside.astype(int).T
    within = outline[y, x] > 0  # seen between parts of the thing: good for a pixel or two, no more
    mark_discs(labels, beside[within], radius=1, label=cv2.GC_BGD)
    mark_discs(labels, beside[~within], radius=radius, label=cv2.GC_BGD)
    mark_discs(labels, view.camera.project(rivals)[0], radius=radius, label=cv2.GC_BGD)
    certain = pixels_within(view, shown)
    if len(certain) == 0:
        return np.zeros((height, width), bool)
    mark_discs(labels, certain, radius=1, label=cv2.GC_FGD)
    beyond = np.zeros((height, width), bool)
    beyond[y, x] = True
    found = grabcut(view.image, labels, beyond, models=models, options=options.grabcut)
    parts, count = ndimage.label(found)
    if count == 0:
        return found
    hits = np.bincount(parts[certain[:, 1].astype(int), certain[:, 0].astype(int)], minlength=count + 1)
    hits[0] = 0
    return filled(parts == hits.argmax(), beyond, least=options.grabcut.max_hole_px)
