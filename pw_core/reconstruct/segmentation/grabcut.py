"""GrabCut with labels for every pixel, and with the colours that another view tells apart."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64
from pw_core.reconstruct.segmentation.prompt import filled
from pw_core.reconstruct.types import Mask, Rgb

GAP = 80
"""Pixels; a smaller hole may be no more than what one stray point seeded."""
REFINE = 3
"""Rounds of GrabCut with colours of the view itself, after one with those of the prompt's view."""
Models = tuple[F64, F64]


def colours(image: Rgb, mask: Mask) -> Models:
    """What is in the mask and what is not, as GrabCut's mixtures of colours: background and thing."""
    import cv2

    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    labels = np.where(mask, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.grabCut(image[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, 0, cv2.GC_INIT_WITH_MASK)
    return models


def grabcut(image: Rgb, labels: np.ndarray, beyond: Mask | None = None, *, models: Models | None = None) -> Mask:
    """Holes are filled, but for gaps in which the labels, or points `beyond` (H, W), are sure of the background. With
    `models` of another view the first cut is by those colours, whatever the labels hold to be likely."""
    import cv2

    sure = (labels == cv2.GC_BGD) if beyond is None else (labels == cv2.GC_BGD) | beyond

    cv2.setRNGSeed(0)
    if not (np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any() and np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any()):
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    pixels = image[..., ::-1].copy()
    if models is None:
        cv2.grabCut(pixels, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    else:
        own = models[0].copy(), models[1].copy()
        cv2.grabCut(pixels, labels, (0, 0, 1, 1), *own, 1, cv2.GC_EVAL_FREEZE_MODEL)
        if np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
            cv2.grabCut(pixels, labels, (0, 0, 1, 1), *own, REFINE, cv2.GC_EVAL)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    opened = ndimage.binary_opening(found, iterations=1)
    parts, count = ndimage.label(opened)
    if count > 1:
        sizes = np.bincount(parts.ravel())[1:]
        opened = np.isin(parts, 1 + np.flatnonzero(sizes > 0.05 * sizes.max()))
    return filled(np.asarray(opened), sure, least=GAP)
