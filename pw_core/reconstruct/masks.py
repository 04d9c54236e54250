"""Masks without weights: GrabCut from a box and points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.image import Rgb

Mask = NDArray[np.bool_]
ITERATIONS = 6
MIN_SHARE = 0.05
STRIP = 0.15


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
    original = (round(width / scale), round(height / scale))
    inside = -1 <= box[0] < box[2] <= width + 1 and -1 <= box[1] < box[3] <= height + 1
    points = [(x * scale, y * scale) for x, y in prompt.points]
    against = [(x * scale, y * scale) for x, y in prompt.negative_points]
    if not inside or any(not (0 <= x < width and 0 <= y < height) for x, y in points + against):
        raise ReconstructError(
            f"entity '{entity.name}': box {list(prompt.box)} or its points reach outside the photo, "
            f"which is {original[0]} x {original[1]} px",
            code=ErrorCode.INVALID_PROMPT,
        )
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
    radius = max(2, round(0.03 * min(x1 - x0, y1 - y0)))
    for seeds, label in ((points, cv2.GC_FGD), (against, cv2.GC_BGD)):
        for x, y in seeds:
            cv2.circle(labels, (int(x), int(y)), radius, int(label), -1)
    cv2.setRNGSeed(0)  # GrabCut's k-means draws: the same photo must give the same scene
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(photo[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise ReconstructError(f"entity '{entity.name}': {error}", code=ErrorCode.INVALID_PROMPT) from None
    found = _clean((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), points, radius)
    if found.sum() < MIN_SHARE * (x1 - x0) * (y1 - y0):
        raise ReconstructError(
            f"entity '{entity.name}': nothing stands out from the background in box {list(prompt.box)}; draw it closer "
            "round the thing, or add points on it",
            code=ErrorCode.INVALID_PROMPT,
        )
    return found


def _clean(mask: Mask, points: list[tuple[float, float]], radius: int) -> Mask:
    import cv2
    from scipy import ndimage

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    parts, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(mask)
    sizes = ndimage.sum_labels(opened, parts, np.arange(1, count + 1))
    keep = {int(np.argmax(sizes)) + 1}
    keep |= {int(parts[int(y), int(x)]) for x, y in points} - {0}
    out = ndimage.binary_fill_holes(np.isin(parts, list(keep)))
    soft = cv2.GaussianBlur(out.astype(np.float32), (0, 0), 1.2)
    return np.asarray(soft > 0.5)
