"""A vote of views with depth on which entity each place that they see belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F64
from pw_core.reconstruct.components import large_components
from pw_core.reconstruct.types import Mask, Masks, View


@dataclass(frozen=True, kw_only=True)
class VotingOptions:
    """How views with depth vote."""

    same_place_ratio: float = 0.01
    """Of the distance: how near two views' depths are to be of one place."""
    surroundings_ratio: float = 0.125
    """Of the extent of all masks: how far outside of them a view is asked, too."""
    extent_percentiles: tuple[float, float] = (1.0, 99.0)
    """Of what the masks cover, in a view: what lies beyond is strays."""
    sample_every: int = 7
    """One masked pixel in so many stands for the extent of all masks."""
    min_part_share: float = 0.05
    """Of a mask's largest part: smaller ones are specks."""
    max_hole_share: float = 0.002
    """Of a mask: smaller holes are pinholes."""


def vote(
    views: Sequence[View], masks: Mapping[str, Mapping[str, Mask]], *, fixed: Mapping[str, Mapping[str, Mask]],
    options: VotingOptions = VotingOptions(),
) -> Masks:  # fmt: skip
    """The masks of views with depth, by entity and view, after a vote: what a pixel shows belongs to the entity that
    most of the views have it in that see the same place, itself among them.

    Pixels without depth, and masks that are `fixed`, stay.
    """
    names = list(masks)
    labels = {v.name: _labels([masks[n][v.name] for n in names]) for v in views}
    out: Masks = {n: dict(of) for n, of in masks.items()}
    whole = np.concatenate([_masked(v, labels[v.name] > 0, options.sample_every) for v in views])
    for view in views:
        if len(whole) == 0 or view.depth is None:
            continue
        # Where any of the masks may be in this view: it may be missing from the view's own.
        uv, z = view.camera.project(whole)
        low, high = np.percentile(uv[z > 0], options.extent_percentiles, axis=0)
        grow = options.surroundings_ratio * max(high - low)
        near = labels[view.name] > 0
        x0, y0 = np.maximum(low - grow, 0).astype(int)
        x1, y1 = np.maximum(high + grow + 1, 0).astype(int)
        near[y0:y1, x0:x1] = True
        y, x = np.nonzero(near & (view.depth > 0))
        points = view.camera.unproject(
            np.stack([x, y], 1).astype(np.float64) + 0.5, view.depth[y, x].astype(np.float64)
        )
        votes = np.zeros((len(points), 1 + len(names)), np.int16)
        for other in views:
            if other.depth is None:
                continue
            uv, z = other.camera.project(points)
            inside = (z > 0) & (uv > 0).all(1) & (uv[:, 0] < other.camera.width) & (uv[:, 1] < other.camera.height)
            i = np.flatnonzero(inside)
            at = uv[i, 1].astype(int), uv[i, 0].astype(int)
            same = np.abs(other.depth[at] - z[i]) < options.same_place_ratio * z[i]
            votes[i[same], labels[other.name][at][same]] += 1
        best = votes.argmax(1)
        for k, n in enumerate(names):
            if view.name in fixed.get(n, {}):
                continue
            mask = masks[n][view.name].copy()
            mask[y, x] = best == 1 + k
            out[n][view.name] = _steady(mask, options)
    return out


def _masked(view: View, mask: Mask, every: int) -> F64:
    """One in `every` of the places [m] (n, 3) that a mask covers in a view with depth."""
    if view.depth is None:
        return np.zeros((0, 3))
    y, x = (a[::every] for a in np.nonzero(mask & (view.depth > 0)))
    return view.camera.unproject(np.stack([x, y], 1).astype(np.float64) + 0.5, view.depth[y, x].astype(np.float64))


def _labels(masks: Sequence[Mask]) -> NDArray[np.uint8]:
    """0: none of them, 1 + i: the i-th."""
    out = np.zeros(masks[0].shape, np.uint8)
    for i, m in enumerate(masks):
        out[m] = 1 + i
    return out


def _steady(mask: Mask, options: VotingOptions) -> Mask:
    """Without specks and pinholes."""
    mask = large_components(mask, share=options.min_part_share)
    holes, _ = ndimage.label(~mask)
    sizes = np.bincount(holes.ravel())
    return np.asarray(mask | ((sizes[holes] < options.max_hole_share * mask.sum()) & ~mask))
