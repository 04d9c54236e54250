"""The masks of the view that prompts belong to: GrabCut without weights from a box and points, or SAM 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.segmentation.grabcut import GrabCutOptions, cut, filled, grabcut, mark_discs
from pw_core.reconstruct.segmentation.points import PointOptions, floor_height, in_mask, pixels_within
from pw_core.reconstruct.types import Mask, Posed, Rgb, View


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """How an entity is cut out of the view that its prompt belongs to."""

    iterations: int = 6
    """Rounds of GrabCut."""
    likely_radius: float = 0.6
    """Of the box's sides, from its middle: the corners of a box round a rounded thing are rarely part of it."""
    strip_share: float = 0.15
    """Of the box's shorter side, from the points: of a long thing that lies askew, only the strip along its points is
    likely."""
    seed_share: float = 0.03
    """Of the box's shorter side: radius of the disc that a point seeds."""
    min_box_share: float = 0.05
    """Of the box: a smaller mask is as good as nothing."""
    min_seed_discs: float = 2.0
    """A point whose part of the mask is smaller than so many of the discs that it seeds found nothing like it near."""
    opening_px: int = 5
    """Width of what is opened away: threads between the thing and what has its colours."""
    smoothing_px: float = 1.2
    """Standard deviation of the blur that smooths the edge."""
    uncertain_outline_ratio: float = 0.02
    """Of the picture's width: how far from its outline the mask is cut anew where points on the ground are known."""
    ground_point_radius_px: int = 3
    """Radius of what a point on the ground says of its surroundings: a larger one would eat into the thing's foot."""
    max_ground_share: float = 0.5
    """Of the points within the mask: where more are the ground's, the thing is as flat as the plane's own points are
    uneven, and they decide nothing."""
    points: PointOptions = PointOptions()
    grabcut: GrabCutOptions = GrabCutOptions()


def prompted_masks(
    image: Rgb, entities: Sequence[EntityConfig], settings: ViewsSettings, *, scale: float
) -> list[Mask]:
    """Each entity's pixels (H, W) in one picture, by what the settings name; prompts are in pixels of the original,
    `scale` times as many.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS.
    """
    if settings.masks != "sam2":
        return [segment(image, e, scale=scale) for e in entities]
    from pw_core.reconstruct.segmentation.sam import segment_all
    from pw_core.reconstruct.splatting.draw import choose_device

    return segment_all(image, entities, settings.sam2, scale=scale, device=choose_device(settings))


def segment(photo: Rgb, entity: EntityConfig, *, scale: float, options: PromptOptions = PromptOptions()) -> Mask:
    """The entity's pixels (H, W) in the working photo; prompts are in pixels of the original, `scale` times as many.

    GrabCut (Rother et al. 2004) inside the box, seeded by the points; then the part that holds the points (or the
    largest), holes filled, edge smoothed.

    Raises:
        ReconstructError (INVALID_PROMPT): a prompt outside the photo, or nothing found in it.
    """
    import cv2

    height, width = photo.shape[:2]
    prompt = entity.prompt
    _check_prompts(entity, round(width / scale), round(height / scale), options)
    x0, y0, x1, y1 = (round(v * scale) for v in prompt.box)
    x0, y0, x1, y1 = max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, width), min(y1 + 1, height)
    points = [(x * scale, y * scale) for x, y in prompt.points]
    against = [(x * scale, y * scale) for x, y in prompt.negative_points]
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = cv2.GC_PR_FGD
    labels[~_likely(labels.shape, entity, (x0, y0, x1, y1), points, options) & (labels == cv2.GC_PR_FGD)] = (
        cv2.GC_PR_BGD
    )
    radius = max(2, round(options.seed_share * min(x1 - x0, y1 - y0)))
    mark_discs(labels, np.reshape(points, (-1, 2)), radius=radius, label=cv2.GC_FGD)
    mark_discs(labels, np.reshape(against, (-1, 2)), radius=radius, label=cv2.GC_BGD)
    try:
        cut(photo[..., ::-1].copy(), labels, options.iterations, options=options.grabcut)
    except cv2.error as error:
        raise ReconstructError(f"entity '{entity.name}': {error}", code=ErrorCode.INVALID_PROMPT) from None
    found, lost = _clean((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), points, against, radius, options)
    if found.sum() < options.min_box_share * (x1 - x0) * (y1 - y0):
        raise ReconstructError(
            f"entity '{entity.name}': nothing stands out from the background in box {list(prompt.box)}; draw it closer "
            "round the thing, or add points on it",
            code=ErrorCode.INVALID_PROMPT,
        )
    if lost:
        named = ", ".join(f"point {i + 1} {_pair(prompt.points[i])}" for i in lost)
        raise ReconstructError(
            f"entity '{entity.name}': {named} is on the background or apart from the rest of it; points must lie on it",
            code=ErrorCode.INVALID_PROMPT,
        )
    return found


def from_prompt(
    view: View, entity: EntityConfig, *, original_width: int, posed: Posed | None = None,
    options: PromptOptions = PromptOptions(),
) -> Mask:  # fmt: skip
    """The entity in the view that its prompt belongs to, by GrabCut.

    With `posed`, whose plane is z = 0, the sparse points on the plane are taken not to be of it, and the outline is cut
    once more: colours alone do not tell a dark thing's own shade from its shadow.
    """
    mask = segment(view.image, entity, scale=view.camera.width / original_width, options=options)
    if posed is None:
        return mask
    return _without_ground(mask, view, entity, posed, scale=view.camera.width / original_width, options=options)


def _without_ground(
    mask: Mask, view: View, entity: EntityConfig, posed: Posed, *, scale: float, options: PromptOptions
) -> Mask:
    import cv2

    floor = floor_height(posed, options.points)
    seen = posed.points[posed.seen[view.name]]
    ground = seen[:, 2] < options.points.ground_share * floor
    uncertain = max(2, round(options.uncertain_outline_ratio * mask.shape[1]))
    core = ndimage.binary_erosion(mask, iterations=uncertain)
    within = in_mask(core, view, seen)
    if ground[within].sum() > options.max_ground_share * within.sum():
        return mask
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[ndimage.binary_dilation(mask, iterations=uncertain)] = cv2.GC_PR_BGD
    labels[mask] = cv2.GC_PR_FGD
    labels[core] = cv2.GC_FGD
    mark_discs(labels, pixels_within(view, seen[ground]), radius=options.ground_point_radius_px, label=cv2.GC_BGD)
    x0, y0, x1, y1 = entity.prompt.box
    radius = max(2, min(uncertain, round(options.seed_share * scale * min(x1 - x0, y1 - y0))))
    for points, label in ((entity.prompt.points, cv2.GC_FGD), (entity.prompt.negative_points, cv2.GC_BGD)):
        mark_discs(labels, np.reshape(points, (-1, 2)) * scale, radius=radius, label=label)
    return grabcut(view.image, labels, options=options.grabcut)


def _likely(
    shape: tuple[int, ...], entity: EntityConfig, box: tuple[int, int, int, int], points: list[tuple[float, float]],
    options: PromptOptions,
) -> Mask:  # fmt: skip
    """(H, W): what of a box [px] is likely the thing's."""
    import cv2

    height, width = shape
    x0, y0, x1, y1 = box
    yy, xx = np.mgrid[0:height, 0:width]
    r = np.hypot((xx + 0.5 - (x0 + x1) / 2) / (x1 - x0), (yy + 0.5 - (y0 + y1) / 2) / (y1 - y0))
    likely: Mask = r <= options.likely_radius
    if entity.shape == "revolve" and len(points) > 1:
        strip = np.ones((height, width), np.uint8)
        cv2.polylines(strip, [np.array(sorted(points), np.int32)], False, 0)
        likely &= cv2.distanceTransform(strip, cv2.DIST_L2, 5) < options.strip_share * min(x1 - x0, y1 - y0)
    return likely


def _pair(point: tuple[float, float]) -> str:
    return f"({point[0]:g}, {point[1]:g})"


def _check_contradictions(entity: EntityConfig, options: PromptOptions) -> None:
    """Raises ReconstructError (INVALID_PROMPT) for a place that is told to be the thing's and not to be."""
    x0, y0, x1, y1 = entity.prompt.box
    radius = options.seed_share * min(x1 - x0, y1 - y0)
    for i, point in enumerate(entity.prompt.points, 1):
        for k, other in enumerate(entity.prompt.negative_points, 1):
            if np.hypot(point[0] - other[0], point[1] - other[1]) < max(radius, 1.0):
                raise ReconstructError(
                    f"entity '{entity.name}': point {i} {_pair(point)} and negative point {k} {_pair(other)} are the "
                    "same place: it is either on the thing or beside it",
                    code=ErrorCode.INVALID_PROMPT,
                )


def _check_prompts(entity: EntityConfig, width: int, height: int, options: PromptOptions) -> None:
    """Raises ReconstructError (INVALID_PROMPT), which names every prompt that is outside a photo of that size [px], or
    outside its box."""
    prompt = entity.prompt
    x0, y0, x1, y1 = prompt.box
    outside = []
    if not (-1 <= x0 < x1 <= width + 1 and -1 <= y0 < y1 <= height + 1):
        outside.append(f"box {list(prompt.box)}")
    for what, points in (("point", prompt.points), ("negative point", prompt.negative_points)):
        outside += [
            f"{what} {i} {_pair(p)}" for i, p in enumerate(points, 1) if not (0 <= p[0] < width and 0 <= p[1] < height)
        ]
    if outside:
        verb = "reaches" if len(outside) == 1 else "reach"
        raise ReconstructError(
            f"entity '{entity.name}': {', '.join(outside)} {verb} outside the photo, which is {width} x {height} px",
            code=ErrorCode.INVALID_PROMPT,
        )
    _check_contradictions(entity, options)
    beside = [
        f"point {i} {_pair(p)}" for i, p in enumerate(prompt.points, 1) if not (x0 <= p[0] <= x1 and y0 <= p[1] <= y1)
    ]
    if beside:
        raise ReconstructError(
            f"entity '{entity.name}': {', '.join(beside)} must lie in its box {list(prompt.box)}",
            code=ErrorCode.INVALID_PROMPT,
        )


def _clean(
    mask: Mask, points: list[tuple[float, float]], against: list[tuple[float, float]], radius: int,
    options: PromptOptions,
) -> tuple[Mask, list[int]]:  # fmt: skip
    """The largest part and those that hold points, without holes but for those that hold points against it; the points
    [their indices] with nothing round them but what they themselves seeded."""
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (options.opening_px, options.opening_px))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    parts, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(mask), []
    sizes = ndimage.sum_labels(opened, parts, np.arange(1, count + 1))
    keep = {int(np.argmax(sizes)) + 1}
    keep |= {int(parts[int(y), int(x)]) for x, y in points} - {0}
    other = np.zeros(mask.shape, bool)
    for x, y in against:
        other[int(y), int(x)] = True
    out = filled(np.isin(parts, list(keep)), other)
    parts, count = ndimage.label(out)
    sizes = ndimage.sum_labels(out, parts, np.arange(count + 1))
    seeded = options.min_seed_discs * np.pi * (radius + 0.5) ** 2
    largest = sizes.max()
    lost = [i for i, (x, y) in enumerate(points) if sizes[parts[int(y), int(x)]] < min(seeded, largest)]
    soft = cv2.GaussianBlur(out.astype(np.float32), (0, 0), options.smoothing_px)
    return np.asarray(soft > 0.5), lost
