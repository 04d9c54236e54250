"""One entity's mesh from its fitted Gaussians, its masks and, where it was given, depth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Gaussians
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.back_side import common_front, far_side, nearby, seen_from_one_side, sides
from pw_core.reconstruct.surface.median_depth import fronted
from pw_core.reconstruct.surface.tsdf import Fused, Look, bounds_of, fuse, fuse_between, hull_bounds
from pw_core.reconstruct.types import Masks, View

GAP_PX = 3
"""Between the masks of two entities that touch."""


def mesh_of(
    entity: EntityConfig, views: list[View], own: Gaussians, others: Gaussians, masks: Masks, settings: ViewsSettings,
    *, points: F64,
) -> Fused:  # fmt: skip
    """The closed mesh of an entity: what its Gaussians `own` show of it, or its depth where that was given, carved by
    its masks but where the Gaussians of something else, `others`, hide it. points (n, 3): that are known to be on it.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): it has hardly any Gaussians, or its surface does not close.
    """
    import torch

    name = entity.name
    if len(own) < 10:
        raise ReconstructError(f"entity '{name}': no Gaussians are its own; check its masks",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    cameras = {v.name: v.camera for v in views}
    # Another entity may hide this one, and a gap of some pixels between two masks must not carve a groove.
    free = {
        v.name: masks[name][v.name] | ndimage.binary_dilation(
            np.any([np.zeros(v.image.shape[:2], bool), *(m[v.name] for n, m in masks.items() if n != name)], axis=0),
            iterations=GAP_PX,
        ) for v in views
    }  # fmt: skip
    centre = np.median(own.means, axis=0).astype(np.float64)
    one_sided = seen_from_one_side([v.camera for v in views], centre)
    depths, before = {}, {}
    roomy = dict(free)
    with torch.no_grad():
        # Where a share of the light stops: a mean would lie behind thin veils and before what shines through. CPU
        # kernels alone have it.
        shell = own if one_sided else fronted(own)  # there no outline bounds a veil in front
        both = gaussian_tensors(shell), gaussian_tensors(others)
        for v in views:
            mask = masks[name][v.name]
            if v.depth is not None:
                depths[v.name] = np.where(mask, v.depth, 0).astype(np.float32)
                continue
            mine, other = (
                draw_tensors(t, v.camera, render_depth="median", sh_degree=own.sh_degree) for t in both
            )
            alpha, depth = mine.alpha[0, ..., 0].numpy(), mine.depth[0, ..., 0].numpy()
            depths[v.name] = np.where((alpha > 0.7) & mask, depth, 0).astype(np.float32)
            if one_sided:  # all views would be silent about what is behind the same things
                depths[v.name] = nearby(depths[v.name], mask, v.camera)
                continue
            # So may what is no entity: a leg behind a book is there, though no mask can show it.
            there = other.alpha[0, ..., 0].numpy() > 0.7
            before[v.name] = np.where(there, other.depth[0, ..., 0].numpy(), 0).astype(np.float32)
            roomy[v.name] = free[v.name] | (there & (alpha > 0.5) & (before[v.name] < depth))
    box = hull_bounds(roomy, cameras, bounds_of(own.means.astype(np.float64), grow=0.3))
    box[0, 2] = 0.0
    looks = [
        Look(v.camera, depths[v.name], free[v.name], own=masks[name][v.name], before=before.get(v.name)) for v in views
    ]
    if one_sided:
        middle = max(range(len(views)), key=lambda k: int((looks[k].depth > 0).sum()))
        camera, mask = views[middle].camera, masks[name][views[middle].name]
        if all(v.depth is None for v in views):
            front = common_front(looks, camera, mask, points)
            found = sides(camera, front, mask, depth_ratio=entity.depth_ratio)
            if found is not None:
                return fuse_between(camera, mask, *found, voxels=settings.voxels, name=name)
        back = far_side(camera, looks[middle].depth, mask, centre, depth_ratio=entity.depth_ratio)
        looks += [] if back is None else [back]
    return fuse(looks, box, voxels=settings.voxels, name=name)
