"""Masks without weights: GrabCut from a box and points."""

from __future__ import annotations

import numpy as np

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.types import Mask, Rgb

ITERATIONS = 6
MIN_SHARE = 0.05
SEED = 0.03
"""Of the box's shorter side: radius of the disc that a point seeds."""
STRIP = 0.15
ALONE = 2.0
"""A point whose part of the mask is smaller than so many of the discs that it seeds found nothing like it nearby."""


def segment(photo: Rgb, entity: EntityConfig, *, scale: float) -> Mask:
    """The entity's pixels (H, W) in the working photo; prompts are in pixels of the original, `scale` times as many.

    GrabCut (Rother et al. 2004) inside the box, seeded by the points; then the part that holds the points (or the
    largest), holes filled, edge smoothed.

    Raises:
        ReconstructError (INVALID_PROMPT): a prompt outside the photo, or nothing found in it.
    """
    import cv2

    height, width = photo.shape[:2]
    prompt = entity.prompt
    box = [v * scale for v in prompt.box]
    points = [(x * scale, y * scale) for x, y in prompt.points]
    against = [(x * scale, y * scale) for x, y in prompt.negative_points]
    _check_prompts(entity, round(width / scale), round(height / scale))
    x0, y0, x1, y1 = (round(v) for v in box)
    x0, y0, x1, y1 = max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, width), min(y1 + 1, height)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = cv2.GC_PR_FGD
    # The corners of a box round a rounded thing are rarely part of it; of a long one that lies askew, only the strip
    # along its points is likely.
    yy, xx = np.mgrid[0:height, 0:width]
    r = np.hypot((xx + 0.5 - (x0 + x1) / 2) / (x1 - x0), (yy + 0.5 - (y0 + y1) / 2) / (y1 - y0))
    likely = r <= 0.6
    if entity.shape == "revolve" and len(points) > 1:
        strip = np.ones((height, width), np.uint8)
        cv2.polylines(strip, [np.array(sorted(points), np.int32)], False, 0)
        likely &= cv2.distanceTransform(strip, cv2.DIST_L2, 5) < STRIP * min(x1 - x0, y1 - y0)
    labels[~likely & (labels == cv2.GC_PR_FGD)] = cv2.GC_PR_BGD
    radius = max(2, round(SEED * min(x1 - x0, y1 - y0)))
    for seeds, label in ((points, cv2.GC_FGD), (against, cv2.GC_BGD)):
        for x, y in seeds:
            cv2.circle(labels, (int(x), int(y)), radius, int(label), -1)
    cv2.setRNGSeed(0)  # GrabCut's k-means draws: the same photo must give the same scene
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(photo[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise ReconstructError(f"entity '{entity.name}': {error}", code=ErrorCode.INVALID_PROMPT) from None
    found, lost = _clean((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), points, against, radius)
    if found.sum() < MIN_SHARE * (x1 - x0) * (y1 - y0):
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


def _pair(point: tuple[float, float]) -> str:
    return f"({point[0]:g}, {point[1]:g})"


def _check_prompts(entity: EntityConfig, width: int, height: int) -> None:
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
    beside = [
        f"point {i} {_pair(p)}" for i, p in enumerate(prompt.points, 1) if not (x0 <= p[0] <= x1 and y0 <= p[1] <= y1)
    ]
    if beside:
        raise ReconstructError(
            f"entity '{entity.name}': {', '.join(beside)} must lie in its box {list(prompt.box)}",
            code=ErrorCode.INVALID_PROMPT,
        )


def filled(mask: Mask, against: Mask, *, least: int = 0) -> Mask:
    """The mask (H, W) with its holes filled, but for those of more than `least` pixels in which something speaks
    `against` it (H, W)."""
    from scipy import ndimage

    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    size, held = (ndimage.sum_labels(a, holes, np.arange(count + 1)) for a in (np.ones(mask.shape), against))
    fill = (held == 0) | (size <= least)
    fill[0] = False
    return np.asarray(mask | fill[holes])


def _clean(
    mask: Mask, points: list[tuple[float, float]], against: list[tuple[float, float]], radius: int
) -> tuple[Mask, list[int]]:
    """The largest part and those that hold points, without holes but for those that hold points against it; the points
    [their indices] with nothing round them but what they themselves seeded."""
    import cv2
    from scipy import ndimage

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
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
    seeded = ALONE * np.pi * (radius + 0.5) ** 2
    largest = sizes.max()
    lost = [i for i, (x, y) in enumerate(points) if sizes[parts[int(y), int(x)]] < min(seeded, largest)]
    soft = cv2.GaussianBlur(out.astype(np.float32), (0, 0), 1.2)
    return np.asarray(soft > 0.5), lost
