"""Shadows on the plane that masks took for the thing: where the fit's surface lies on the plane, the thing is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera, Gaussians
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.inflate import pixel_centres
from pw_core.reconstruct.types import Mask, Masks, View

LOW = 0.03
"""Share of its height below which a thing's surface counts as the plane's."""
THIN_PX = 3
"""Half of the width of what is cut off at the least: a thing's own foot is low, too, along its rim."""
FLAT = 0.5
"""A thing of which so much is low is a flat one, and stays."""
LEAST = 0.01
"""Share of a mask that is worth cutting off."""


def without_ground(
    views: Sequence[View], masks: Masks, gaussians: Gaussians, *, given: Mapping[str, Mapping[str, Mask]]
) -> bool:
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
                kept = _off(of[v.name], height)
                changed |= kept is not of[v.name]
                of[v.name] = kept
    return changed


def heights(camera: Camera, depth: F64) -> F64:
    """Above z = 0 [m] (H, W) of what a camera sees at a depth [m] (H, W)."""
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    return np.asarray(points[..., 2])


def _off(mask: Mask, height: F64) -> Mask:
    """The mask without what is low and no thin rim; itself where that is little or nearly all."""
    if not mask.any():
        return mask
    low = mask & (height < LOW * np.percentile(height[mask], 95))
    if low.sum() > FLAT * mask.sum():
        return mask
    # Outside of the mask is as good as low: the rim of a shadow is no foot.
    wide = ndimage.binary_opening(low | ~mask, iterations=THIN_PX) & low
    if wide.sum() < LEAST * mask.sum():
        return mask
    left = ndimage.binary_opening(mask & ~wide)
    parts, count = ndimage.label(left)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    return np.isin(parts, 1 + np.flatnonzero(sizes > 0.05 * sizes.max()))
