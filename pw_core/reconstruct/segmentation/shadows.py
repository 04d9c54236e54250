"""Shadows on the plane that masks took for the thing: where the fit's surface lies on the plane, the thing is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct.components import large_components
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.types import Mask, Masks, View


@dataclass(frozen=True, kw_only=True)
class ShadowOptions:
    """What of a mask is a shadow on the plane."""

    low_share: float = 0.03
    """Of its height: below this a thing's surface counts as the plane's."""
    height_percentile: float = 95.0
    """Of what a mask shows: that height is the thing's."""
    thin_px: int = 3
    """Half of the width of what is cut off at the least: a thing's own foot is low, too, along its outline."""
    max_low_share: float = 0.5
    """Of a mask: a thing of which more is low is a flat one, and stays."""
    min_cut_share: float = 0.01
    """Of a mask: less is not worth cutting off."""
    min_part_share: float = 0.05
    """Of the largest part that is left: smaller ones are specks."""


def without_ground(
    views: Sequence[View], masks: Masks, gaussians: Gaussians, *, given: Mapping[str, Mapping[str, Mask]],
    options: ShadowOptions = ShadowOptions(),
) -> bool:  # fmt: skip
    """Take out of the masks (by entity and view, in place) what the fitted Gaussians show on the plane z = 0; whether
    there was any. Masks that were `given` stay.

    A shadow at the foot of a thing has its colours in every view; but colours do not lift it off the table.
    """
    import torch

    changed = False
    with torch.no_grad():
        tensors = gaussian_tensors(gaussians)
        for v in views:
            if all(v.name in given.get(name, {}) for name in masks):
                continue
            drawn = draw_tensors(tensors, v.camera, render_depth="median", sh_degree=gaussians.sh_degree)
            height = heights(v.camera, drawn.depth[0, ..., 0].numpy().astype(np.float64))
            for name, of in masks.items():
                if v.name in given.get(name, {}):
                    continue
                kept = _off(of[v.name], height, options)
                changed |= kept is not of[v.name]
                of[v.name] = kept
    return changed


def heights(camera: Camera, depth: F64) -> F64:
    """Above z = 0 [m] (H, W) of what a camera sees at a depth [m] (H, W)."""
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    return np.asarray(points[..., 2])


def _off(mask: Mask, height: F64, options: ShadowOptions) -> Mask:
    """The mask without what is low, unless that is thin; itself where that is little or nearly all."""
    if not mask.any():
        return mask
    low = mask & (height < options.low_share * np.percentile(height[mask], options.height_percentile))
    if low.sum() > options.max_low_share * mask.sum():
        return mask
    # Outside of the mask is as good as low: the outline of a shadow is no foot.
    wide = ndimage.binary_opening(low | ~mask, iterations=options.thin_px) & low
    if wide.sum() < options.min_cut_share * mask.sum():
        return mask
    left = ndimage.binary_opening(mask & ~wide)
    return large_components(left, share=options.min_part_share) if left.any() else mask
