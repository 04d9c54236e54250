"""GrabCut (Rother et al. 2004) with labels for every pixel, and with the colours that another view tells apart.

A thing that fills most of a photo takes seconds a cut. It is cut on a picture half as wide first, and its outline there
is where the whole picture's begins (multilevel graph cuts: Lombaert et al. 2005, whose bands would lose a spoon).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F64
from pw_core.reconstruct.components import large_components
from pw_core.reconstruct.types import Mask, Rgb

ColorModels = tuple[F64, F64]
"""GrabCut's mixtures of colours, of the background and of the thing, as OpenCV keeps them."""


@dataclass(frozen=True, kw_only=True)
class GrabCutOptions:
    """How a view is cut."""

    iterations: int = 5
    """Rounds, where there are no colours of another view."""
    iterations_after_models: int = 3
    """Rounds with colours of the view itself, after one with those of the prompt's view."""
    opening_px: int = 1
    """Threads up to twice as thin are taken away."""
    min_part_share: float = 0.05
    """Of the largest part: smaller ones are specks."""
    max_hole_px: int = 80
    """A smaller hole [pixels] may be no more than what one stray point seeded."""
    coarse_from_px: int = 60_000
    """Unsure pixels from which all rounds are made on a picture half as wide first."""
    rounds_after_coarse: int = 2
    """On the whole picture then, with the colours that were learned: one puts the outline, one learns by it."""


def empty_models() -> ColorModels:
    """Mixtures that GrabCut is to fill: five Gaussians of 13 numbers each."""
    return np.zeros((1, 65)), np.zeros((1, 65))


def cut(pixels: Rgb, labels: NDArray[np.uint8], iterations: int, *, options: GrabCutOptions = GrabCutOptions()) -> None:
    """GrabCut of a picture (H, W, 3), BGR, from labels (H, W): those that are unsure are overwritten.

    Raises:
        cv2.error: nothing can be the thing's, or nothing the background's.
    """
    import cv2

    cv2.setRNGSeed(0)  # its k-means draws: the same photo must give the same scene
    models, frame = empty_models(), (0, 0, 1, 1)
    unsure = (labels == cv2.GC_PR_BGD) | (labels == cv2.GC_PR_FGD)
    few = np.ascontiguousarray(labels[1::2, 1::2])
    if unsure.sum() < options.coarse_from_px or not _has_both(few):
        cv2.grabCut(pixels, labels, frame, *models, iterations, cv2.GC_INIT_WITH_MASK)
        return
    height, width = labels.shape
    small = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    cv2.grabCut(small, few, frame, *models, iterations, cv2.GC_INIT_WITH_MASK)
    likely = np.where(np.isin(few, (cv2.GC_FGD, cv2.GC_PR_FGD)), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[unsure] = cv2.resize(likely, (width, height), interpolation=cv2.INTER_NEAREST)[unsure]
    cv2.grabCut(pixels, labels, frame, *models, options.rounds_after_coarse, cv2.GC_EVAL)


def _has_both(labels: NDArray[np.uint8]) -> bool:
    """Whether some labels may be the thing's and some the background's."""
    import cv2

    things = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return bool(things.any() and not things.all())


def color_models(image: Rgb, mask: Mask) -> ColorModels:
    """The colours of what is not in the mask, and of what is."""
    import cv2

    cv2.setRNGSeed(0)
    models = empty_models()
    labels = np.where(mask, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.grabCut(image[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, 0, cv2.GC_INIT_WITH_MASK)
    return models


def grabcut(
    image: Rgb, labels: NDArray[np.uint8], beyond: Mask | None = None, *, models: ColorModels | None = None,
    options: GrabCutOptions = GrabCutOptions(),
) -> Mask:  # fmt: skip
    """The thing's pixels (H, W) from labels (H, W), which are overwritten.

    Holes are filled, but for gaps in which the labels, or points `beyond` (H, W), are sure of the background. With
    `models` of another view the first cut is by those colours, whatever the labels hold to be likely.
    """
    import cv2

    sure = (labels == cv2.GC_BGD) if beyond is None else (labels == cv2.GC_BGD) | beyond
    if not _has_both(labels):
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    pixels = image[..., ::-1].copy()
    if models is None:
        cut(pixels, labels, options.iterations, options=options)
    else:
        own = models[0].copy(), models[1].copy()
        cv2.grabCut(pixels, labels, (0, 0, 1, 1), *own, 1, cv2.GC_EVAL_FREEZE_MODEL)
        if np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
            cv2.grabCut(pixels, labels, (0, 0, 1, 1), *own, options.iterations_after_models, cv2.GC_EVAL)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    opened = ndimage.binary_opening(found, iterations=options.opening_px)
    return filled(large_components(opened, share=options.min_part_share), sure, least=options.max_hole_px)


def mark_discs(labels: NDArray[np.uint8], pixels: NDArray[np.floating], *, radius: int, label: int) -> None:
    """Write a label into discs of that radius [px] about those of the `pixels` [px] (n, 2) that are in the picture."""
    import cv2

    height, width = labels.shape
    for x, y in pixels:
        if 0 <= x < width and 0 <= y < height:
            cv2.circle(labels, (int(x), int(y)), radius, int(label), -1)


def filled(mask: Mask, against: Mask, *, least: int = 0) -> Mask:
    """The mask (H, W) with its holes filled, but for those of more than `least` pixels in which something speaks
    `against` it (H, W)."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    size, held = (ndimage.sum_labels(a, holes, np.arange(count + 1)) for a in (np.ones(mask.shape), against))
    fill = (held == 0) | (size <= least)
    fill[0] = False
    return np.asarray(mask | fill[holes])
