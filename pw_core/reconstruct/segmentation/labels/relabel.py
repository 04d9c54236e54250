"""Masks relabelled by the Gaussians that were fitted: what other views of the same Gaussians say of a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32
from pw_core.reconstruct.segmentation.grabcut import GrabCutOptions, grabcut
from pw_core.reconstruct.segmentation.matting import MattingOptions, at_half
from pw_core.reconstruct.types import Mask, Masks, Rgb, View


@dataclass(frozen=True, kw_only=True)
class RelabelOptions:
    """When and how masks are cut again."""

    agreement: float = 0.9
    """Of what either says is the entity's: where mask and Gaussians have so much in common, the Gaussians' is taken as
    it is; else it is cut anew."""
    possible: float = 0.2
    """Rendered probability above which a pixel may be the entity's."""
    likely: float = 0.5
    """Above which it likely is."""
    certain: float = 0.9
    """Above which it certainly is."""
    widening_px: int = 5
    """How far beyond what is possible a pixel may still be the entity's."""
    narrowing_px: int = 4
    """How far within what is certain it must be to stay so."""
    grabcut: GrabCutOptions = GrabCutOptions()
    matting: MattingOptions = MattingOptions()


def relabel(
    views: Sequence[View], masks: Masks, probabilities: Mapping[str, F32], *, given: Mapping[str, Mapping[str, Mask]],
    options: RelabelOptions = RelabelOptions(),
) -> bool:  # fmt: skip
    """Take what the fitted Gaussians say of the masks (by entity and view), in place, but for those that were `given`;
    cut anew where that is something else. Whether there were any.

    What a view's colours alone leave open, a shadow or a like-coloured edge, other views of the same Gaussians decide.
    probabilities: rendered (H, W, classes) by view, the background first, then the entities in the masks' order.
    """
    changed = False
    for i, entity in enumerate(masks):
        for v in views:
            if v.name in given.get(entity, {}):
                continue
            p = probabilities[v.name][..., 1 + i]
            mine = masks[entity][v.name]
            theirs = (p > options.likely) & (probabilities[v.name].argmax(-1) == 1 + i)
            either = int((mine | theirs).sum())
            if not either:
                continue
            if (mine & theirs).sum() < options.agreement * either:
                rivals = np.delete(probabilities[v.name][..., 1:], i, axis=-1).max(-1, initial=0.0)
                theirs = cut_again(v.image, p, rivals, options=options)
            others = np.any([np.zeros_like(mine), *(m[v.name] for n, m in masks.items() if n != entity)], axis=0)
            masks[entity][v.name] = at_half(v.image, theirs, others, options=options.matting)
            changed = True
    return changed


def cut_again(image: Rgb, probability: F32, rivals: F32, *, options: RelabelOptions = RelabelOptions()) -> Mask:
    """GrabCut once more, seeded by a rendered probability (H, W): certain inside and outside stay, what lies between is
    free, and where another entity is likelier (H, W) is outside."""
    import cv2

    labels = np.full(probability.shape, cv2.GC_BGD, np.uint8)
    wide = ndimage.binary_dilation(probability > options.possible, iterations=options.widening_px)
    labels[wide] = cv2.GC_PR_BGD
    labels[probability > options.likely] = cv2.GC_PR_FGD
    sure = ndimage.binary_erosion(probability > options.certain, iterations=options.narrowing_px)
    labels[sure] = cv2.GC_FGD
    labels[rivals > np.maximum(probability, options.likely)] = cv2.GC_BGD
    if not (labels == cv2.GC_FGD).any():
        return np.asarray(probability > options.likely)
    return grabcut(image, labels, options=options.grabcut)
