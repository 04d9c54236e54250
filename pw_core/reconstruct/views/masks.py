"""Each entity's pixels in every view: from prompts in one view, carried to the others through the sparse points."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import I64
from pw_core.reconstruct.image import Rgb
from pw_core.reconstruct.masks import Mask, segment
from pw_core.reconstruct.views.poses import Posed, View

LIFT = 0.01
"""Points lower than this share of the nearest camera's height over the plane say nothing of the entity."""
MARGIN = 0.25
CERTAIN = 0.9


def carry(posed: Posed, entity: EntityConfig, first: Mask, *, prompt_view: str) -> dict[str, Mask]:
    """The entity in every view (by name), from its mask in `prompt_view`; the plane is z = 0.

    Points inside the mask belong to the entity. In each further view, in the order of how many of its points it saw,
    their outline seeds GrabCut; what that finds says of further points whether they belong.
    """
    points = posed.points
    floor = LIFT * min(abs(float(v.camera.centre[2])) for v in posed.views)
    yes, no = np.zeros(len(points), int), np.zeros(len(points), int)
    masks = {prompt_view: first}
    views = {v.name: v for v in posed.views}
    raised = points[:, 2] > floor

    def vote(name: str) -> None:
        seen = posed.seen[name]
        inside = _at(masks[name], views[name], points[seen])
        yes[seen[inside]] += 1
        no[seen[~inside]] += 1

    vote(prompt_view)
    while len(masks) < len(views):
        own = np.flatnonzero((yes > no) & raised)
        if len(own) < 4:
            raise ReconstructError(
                f"entity '{entity.name}': only {len(own)} of the sparse points lie on it, too few to carry its mask "
                f"from {prompt_view} to the other views; give masks, or more overlapping photos",
                code=ErrorCode.INVALID_PROMPT,
            )
        own = own[_main_cluster(points[own])]
        left = [n for n in views if n not in masks]
        name = max(left, key=lambda n: int(np.isin(posed.seen[n], own).sum()))
        masks[name] = _cut(views[name], points[own], points[_others(posed, name, yes, no, floor)])
        vote(name)
    return {n: masks[n] for n in views}


def from_prompt(view: View, entity: EntityConfig, *, original_width: int) -> Mask:
    """The entity in the view that its prompt belongs to, by GrabCut."""
    return segment(view.image, entity, scale=view.camera.width / original_width)


def cut_again(image: Rgb, likely: np.ndarray) -> Mask:
    """GrabCut once more, seeded by a rendered probability (H, W): certain inside and outside stay, the rim is free."""
    import cv2

    labels = np.full(likely.shape, cv2.GC_BGD, np.uint8)
    wide = ndimage.binary_dilation(likely > 0.2, iterations=5)
    labels[wide] = cv2.GC_PR_BGD
    labels[likely > 0.5] = cv2.GC_PR_FGD
    labels[ndimage.binary_erosion(likely > CERTAIN, iterations=4)] = cv2.GC_FGD
    if not (labels == cv2.GC_FGD).any():
        return np.asarray(likely > 0.5)
    return _grabcut(image, labels)


def _at(mask: Mask, view: View, points: np.ndarray) -> np.ndarray:
    uv, depth = view.camera.project(points)
    x = np.clip(uv[:, 0].astype(int), 0, view.camera.width - 1)
    y = np.clip(uv[:, 1].astype(int), 0, view.camera.height - 1)
    return np.asarray(mask[y, x] & (depth > 0))


def _others(posed: Posed, name: str, yes: np.ndarray, no: np.ndarray, floor: float) -> I64:
    seen = posed.seen[name]
    return np.asarray(seen[((no[seen] > yes[seen]) | (posed.points[seen, 2] < 0.5 * floor)) & (yes[seen] == 0)])


def _main_cluster(points: np.ndarray) -> np.ndarray:
    """Without stray points: those near enough to the median, in units of the median distance from it."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return np.asarray(distance < 4 * np.median(distance) + 1e-9)


def _cut(view: View, own: np.ndarray, others: np.ndarray) -> Mask:
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
    radius = max(1, round(0.008 * width))
    for x, y in view.camera.project(others)[0] if len(others) else ():
        if 0 <= x < width and 0 <= y < height and not hull[int(y), int(x)]:
            cv2.circle(labels, (int(x), int(y)), radius, int(cv2.GC_BGD), -1)
    for x, y in uv:
        cv2.circle(labels, (int(x), int(y)), 1, int(cv2.GC_FGD), -1)
    found = _grabcut(view.image, labels)
    parts, count = ndimage.label(found)
    if count == 0:
        return found
    hits = np.bincount(parts[uv[:, 1].astype(int), uv[:, 0].astype(int)], minlength=count + 1)
    hits[0] = 0
    return np.asarray(ndimage.binary_fill_holes(parts == hits.argmax()))


def _grabcut(image: Rgb, labels: np.ndarray) -> Mask:
    import cv2

    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    if not (np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any() and np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any()):
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    cv2.grabCut(image[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, 5, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    opened = ndimage.binary_opening(found, iterations=1)
    parts, count = ndimage.label(opened)
    if count > 1:
        sizes = np.bincount(parts.ravel())[1:]
        opened = np.isin(parts, 1 + np.flatnonzero(sizes > 0.05 * sizes.max()))
    return np.asarray(ndimage.binary_fill_holes(opened))
