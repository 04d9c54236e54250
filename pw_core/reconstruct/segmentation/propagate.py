"""Each entity's pixels in every view: from prompts in one view, carried to the others through the sparse points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import I64
from pw_core.reconstruct.segmentation.grabcut import GAP, Models, colours, grabcut
from pw_core.reconstruct.segmentation.prompt import SEED, filled, segment
from pw_core.reconstruct.segmentation.visual_hull import carry_by_hull
from pw_core.reconstruct.types import Mask, Posed, Rgb, View

LIFT = 0.01
"""Points lower than this share of the nearest camera's height over the plane say nothing of the entity."""
MARGIN = 0.25
CERTAIN = 0.9
RIM = 0.02
"""Of the picture's width: how far from its outline a prompted mask is open to doubt."""
GROUND_PX = 3
"""Radius of what a point on the ground says of its surroundings: a larger one would eat into the foot of the thing."""
HIDES = 0.012
"""Of the picture's width: how near an entity's point must be before another's to hide it."""


PLAIN, FEW = 12, 4
"""Points on an entity, below which its silhouettes are asked first, and below which points tell nothing."""


class _TooFew(Exception):
    """Points on an entity to carry its mask by them."""

    def __init__(self, entity: EntityConfig, count: int) -> None:
        super().__init__(entity.name)
        self.entity, self.count = entity, count


@dataclass
class _Carried:
    """What is known of one entity: its masks by view, for each point how many of them say yes or no, and the colours
    around and of it in the prompt's view."""

    entity: EntityConfig
    masks: dict[str, Mask]
    yes: I64
    no: I64
    models: Models


def carry(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], *, prompt_view: str
) -> dict[str, dict[str, Mask]]:
    """Each entity (by name) in every view (by name), from the masks that are `known` of it, which hold one in
    `prompt_view` and stay as they are; the plane is z = 0.

    Points inside a mask belong to its entity. In each further view, in the order of how many of their points it saw,
    their outlines seed GrabCut, the points of one entity against those of the others; what it finds says of further
    points whose they are. Where two claim a pixel, it goes to whose visible point is nearest. What hardly has points is
    carried by its silhouettes (`hull`) before the others, which then leave its pixels alone.

    Raises:
        ReconstructError (INVALID_PROMPT): too few points on an entity, and its silhouettes make no solid.
    """
    no_hull: set[str] = set()
    while True:
        try:
            return _by_points(posed, entities, known, prompt_view, no_hull)
        except _TooFew as short:
            name = short.entity.name
            found = None if name in no_hull else _by_hull(posed, entities, known, short.entity, prompt_view)
            if found is not None:
                known = dict(known) | {name: found}
            elif name not in no_hull and short.count >= FEW:
                no_hull.add(name)
            else:
                raise ReconstructError(
                    f"entity '{name}': only {short.count} of the sparse points lie on it, too few to carry its mask "
                    f"from {prompt_view} to other views, and what has its colours there makes no solid with that mask; "
                    "give masks, use SAM 2, or take more overlapping photos", code=ErrorCode.INVALID_PROMPT,
                ) from None  # fmt: skip


def _by_points(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], prompt_view: str,
    no_hull: set[str],
) -> dict[str, dict[str, Mask]]:  # fmt: skip
    """As `carry`; no_hull: entities by name whose silhouettes make no solid.

    Raises:
        _TooFew: points on an entity.
    """
    points = posed.points
    floor = LIFT * min(abs(float(v.camera.centre[2])) for v in posed.views)
    raised = points[:, 2] > floor
    views = {v.name: v for v in posed.views}
    zeros = np.zeros(len(points), np.int64)
    every = [_Carried(e, dict(known[e.name]), zeros.copy(), zeros.copy(),
                      colours(views[prompt_view].image, known[e.name][prompt_view])) for e in entities]  # fmt: skip
    voted: set[str] = set()

    def vote(name: str) -> None:
        voted.add(name)
        seen = posed.seen[name]
        for c in every:
            if name in c.masks:
                inside = at(c.masks[name], views[name], points[seen])
                c.yes[seen[inside]] += 1
                c.no[seen[~inside]] += 1

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
            least = PLAIN if len(voted) == first and c.entity.name not in no_hull else FEW
            if len(mine) < least and any(n not in c.masks for n in views):
                raise _TooFew(c.entity, len(mine))
            own.append(mine[main_cluster(points[mine])] if len(mine) >= FEW else mine)
        left = [n for n in views if n not in voted]
        whole = np.concatenate(own)
        name = max(left, key=lambda n: int(np.isin(posed.seen[n], whole).sum()))
        _cut_all(posed, views[name], every, own, floor)
        vote(name)
    return {c.entity.name: {n: c.masks[n] for n in views} for c in every}


def _by_hull(
    posed: Posed, entities: Sequence[EntityConfig], known: Mapping[str, Mapping[str, Mask]], entity: EntityConfig,
    prompt_view: str,
) -> dict[str, Mask] | None:  # fmt: skip
    """One of the entities in every view; None where its silhouettes make no solid. What the others take for theirs at
    first may hide it, or be wrong."""
    rest = [e for e in entities if e is not entity]
    first = carry(posed, rest, {e.name: known[e.name] for e in rest}, prompt_view=prompt_view) if rest else {}
    taken = {
        v.name: np.any([np.zeros(v.image.shape[:2], bool), *(m[v.name] for m in first.values())], axis=0)
        for v in posed.views
    }  # fmt: skip
    view = next(v for v in posed.views if v.name == prompt_view)
    points = posed.points[posed.seen[prompt_view]]
    own = points[at(known[entity.name][prompt_view], view, points)]
    return carry_by_hull(posed, known[entity.name], taken, prompt_view=prompt_view, own=own)


def _cut_all(posed: Posed, view: View, every: list[_Carried], own: list[NDArray[np.intp]], floor: float) -> None:
    """The entities that have no mask in this view yet."""
    points = posed.points
    shown = _in_front(view, [points[i] for i in own])
    fixed = [c.masks.get(view.name) for c in every]
    taken = np.any([np.zeros(view.image.shape[:2], bool), *(m for m in fixed if m is not None)], axis=0)
    found: list[Mask] = []
    for i, c in enumerate(every):
        known = fixed[i]
        if known is not None:
            found.append(known)
            continue
        rivals = np.concatenate([points[:0], *(s for j, s in enumerate(shown) if j != i)])
        others = points[_others(posed, view.name, c.yes, c.no, floor)]
        found.append(_cut(view, points[own[i]], shown[i], others, rivals, models=c.models) & ~taken)
    twice = np.sum(found, axis=0) > 1
    if twice.any():
        nearest = np.argmin([_distance_to(view, s) for s in shown], axis=0)
        found = [m if fixed[i] is not None else m & (~twice | (nearest == i)) for i, m in enumerate(found)]
    for c, m in zip(every, found):
        c.masks[view.name] = m


def _in_front(view: View, points: list[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
    """Of each entity's points those that no other entity's point hides."""
    from scipy.spatial import cKDTree

    seen = [view.camera.project(p) for p in points]
    out = []
    for i, (uv, depth) in enumerate(seen):
        free = depth > 0
        for j, (other, nearer) in enumerate(seen):
            if j != i and len(other):
                distance, index = cKDTree(other).query(uv)
                free &= ~((distance < HIDES * view.camera.width) & (nearer[index] < 0.995 * depth))
        out.append(points[i][free])
    return out


def _distance_to(view: View, points: NDArray[np.floating]) -> NDArray[np.floating]:
    """[px] (H, W) of each pixel from the nearest of the points."""
    height, width = view.image.shape[:2]
    away = np.ones((height, width), bool)
    uv, depth = view.camera.project(points)
    at = np.floor(uv[depth > 0]).astype(int)
    at = at[(at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)]
    away[at[:, 1], at[:, 0]] = False
    return np.asarray(ndimage.distance_transform_edt(away))


def from_prompt(view: View, entity: EntityConfig, *, original_width: int, posed: Posed | None = None) -> Mask:
    """The entity in the view that its prompt belongs to, by GrabCut.

    With `posed`, whose plane is z = 0, the sparse points on the plane are taken not to be of it, and the rim is cut
    once more: colours alone do not tell a dark thing's own shade from its shadow.
    """
    mask = segment(view.image, entity, scale=view.camera.width / original_width)
    if posed is None:
        return mask
    return _without_ground(mask, view, entity, posed, scale=view.camera.width / original_width)


def _without_ground(mask: Mask, view: View, entity: EntityConfig, posed: Posed, *, scale: float) -> Mask:
    import cv2

    height, width = mask.shape
    floor = LIFT * min(abs(float(v.camera.centre[2])) for v in posed.views)
    seen = posed.points[posed.seen[view.name]]
    ground = seen[:, 2] < 0.5 * floor
    rim = max(2, round(RIM * width))
    core = ndimage.binary_erosion(mask, iterations=rim)
    within = at(core, view, seen)
    if ground[within].sum() > 0.5 * within.sum():
        return mask  # as flat as the plane's own points are uneven: they tell nothing apart
    uv, depth = view.camera.project(seen[ground])
    uv = uv[(depth > 0) & (uv > 0).all(1) & (uv[:, 0] < width) & (uv[:, 1] < height)]
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[ndimage.binary_dilation(mask, iterations=rim)] = cv2.GC_PR_BGD
    labels[mask] = cv2.GC_PR_FGD
    labels[core] = cv2.GC_FGD
    for x, y in uv:
        cv2.circle(labels, (int(x), int(y)), GROUND_PX, int(cv2.GC_BGD), -1)
    x0, y0, x1, y1 = entity.prompt.box
    radius = max(2, min(rim, round(SEED * scale * min(x1 - x0, y1 - y0))))
    for points, label in ((entity.prompt.points, cv2.GC_FGD), (entity.prompt.negative_points, cv2.GC_BGD)):
        for x, y in points:
            cv2.circle(labels, (int(x * scale), int(y * scale)), radius, int(label), -1)
    return grabcut(view.image, labels)


def cut_again(image: Rgb, likely: np.ndarray, rivals: np.ndarray) -> Mask:
    """GrabCut once more, seeded by a rendered probability (H, W): certain inside and outside stay, the rim is free, and
    where another entity is likelier (H, W) is outside."""
    import cv2

    labels = np.full(likely.shape, cv2.GC_BGD, np.uint8)
    wide = ndimage.binary_dilation(likely > 0.2, iterations=5)
    labels[wide] = cv2.GC_PR_BGD
    labels[likely > 0.5] = cv2.GC_PR_FGD
    labels[ndimage.binary_erosion(likely > CERTAIN, iterations=4)] = cv2.GC_FGD
    labels[rivals > np.maximum(likely, 0.5)] = cv2.GC_BGD
    if not (labels == cv2.GC_FGD).any():
        return np.asarray(likely > 0.5)
    return grabcut(image, labels)


def at(mask: Mask, view: View, points: np.ndarray) -> np.ndarray:
    """(n,): which of the points (n, 3) are before the camera and in its mask."""
    uv, depth = view.camera.project(points)
    x = np.clip(uv[:, 0].astype(int), 0, view.camera.width - 1)
    y = np.clip(uv[:, 1].astype(int), 0, view.camera.height - 1)
    return np.asarray(mask[y, x] & (depth > 0))


def _others(posed: Posed, name: str, yes: np.ndarray, no: np.ndarray, floor: float) -> I64:
    seen = posed.seen[name]
    return np.asarray(seen[((no[seen] > yes[seen]) | (posed.points[seen, 2] < 0.5 * floor)) & (yes[seen] == 0)])


def main_cluster(points: np.ndarray) -> np.ndarray:
    """Without stray points: those near enough to the median, in units of the median distance from it."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return np.asarray(distance < 4 * np.median(distance) + 1e-9)


def _cut(
    view: View, own: np.ndarray, shown: np.ndarray, others: np.ndarray, rivals: np.ndarray, *, models: Models
) -> Mask:
    """GrabCut inside the outline of `own`; what is `shown` of them is certain, and so is that others and rivals are not
    of them: others where they are outside the outline, rivals, which are in front, everywhere."""
    import cv2

    height, width = view.image.shape[:2]
    uv, depth = view.camera.project(own)
    uv = uv[(depth > 0) & (uv > 0).all(1) & (uv[:, 0] < width) & (uv[:, 1] < height)]
    if len(uv) < 3:
        return np.zeros((height, width), bool)
    hull = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(uv.astype(np.float32)).astype(np.int32), 1)
    low, high = uv.min(0), uv.max(0)
    grow = MARGIN * max(high - low)
    x0, y0 = np.maximum(low - grow, 0).astype(int)
    x1, y1 = np.minimum(high + grow, [width, height]).astype(int)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = cv2.GC_PR_BGD
    labels[hull > 0] = cv2.GC_PR_FGD
    radius = max(1, round(0.005 * width))
    for x, y in view.camera.project(others)[0] if len(others) else ():
        if 0 <= x < width and 0 <= y < height:
            within = hull[int(y), int(x)]  # seen between parts of the thing: good for a pixel or two, no more
            cv2.circle(labels, (int(x), int(y)), 1 if within else radius, int(cv2.GC_BGD), -1)
    for x, y in view.camera.project(rivals)[0] if len(rivals) else ():
        if 0 <= x < width and 0 <= y < height:
            cv2.circle(labels, (int(x), int(y)), radius, int(cv2.GC_BGD), -1)
    uv, depth = view.camera.project(shown)
    uv = uv[(depth > 0) & (uv > 0).all(1) & (uv[:, 0] < width) & (uv[:, 1] < height)]
    if len(uv) == 0:
        return np.zeros((height, width), bool)
    for x, y in uv:
        cv2.circle(labels, (int(x), int(y)), 1, int(cv2.GC_FGD), -1)
    beyond = np.zeros((height, width), bool)
    for x, y in view.camera.project(others)[0] if len(others) else ():
        if 0 <= x < width and 0 <= y < height:
            beyond[int(y), int(x)] = True
    found = grabcut(view.image, labels, beyond, models=models)
    parts, count = ndimage.label(found)
    if count == 0:
        return found
    hits = np.bincount(parts[uv[:, 1].astype(int), uv[:, 0].astype(int)], minlength=count + 1)
    hits[0] = 0
    return filled(parts == hits.argmax(), beyond, least=GAP)
