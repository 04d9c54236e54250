"""One entity's mesh from its fitted Gaussians, its masks and, where it was given, depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Gaussians
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.surface.back_side import (
    BackSideOptions,
    common_front,
    far_side,
    front_and_back,
    nearby,
    seen_from_one_side,
)
from pw_core.reconstruct.surface.bounds import BoundsOptions, bounds_of, visual_hull_bounds
from pw_core.reconstruct.surface.median_depth import MedianDepthOptions, fronted
from pw_core.reconstruct.surface.tsdf import DepthView, TsdfMesh, TsdfOptions, fuse_tsdf, tsdf_between
from pw_core.reconstruct.types import Mask, Masks, View


@dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """What of Gaussians and masks an entity is made of."""

    min_gaussians: int = 10
    """Fewer are no entity."""
    touching_gap_px: int = 3
    """Between the masks of two entities that touch: it must not carve a groove."""
    min_opacity: float = 0.7
    """Of what is drawn: where it is less there is no surface."""
    min_hidden_opacity: float = 0.5
    """Of an entity where something else stands before it: where it is less it does not go on behind that."""
    box_growth: float = 0.3
    """Of the longest side of its Gaussians' box: so much wider the entity is looked for."""
    bounds: BoundsOptions = BoundsOptions()
    median_depth: MedianDepthOptions = MedianDepthOptions()
    back_side: BackSideOptions = BackSideOptions()
    tsdf: TsdfOptions = TsdfOptions()


def mesh_of(
    entity: EntityConfig, views: Sequence[View], own: Gaussians, others: Gaussians, masks: Masks,
    settings: ViewsSettings, *, points: F64, floor: bool = True, options: MeshOptions = MeshOptions(),
) -> TsdfMesh:  # fmt: skip
    """The closed mesh of an entity: what its Gaussians `own` show of it, or its depth where that was given, carved by
    its masks but where the Gaussians of something else, `others`, hide it. points (n, 3): that are known to be on it.
    floor: whether it stands on the plane z = 0.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): it has hardly any Gaussians, or its surface does not close.
    """
    name = entity.name
    if len(own) < options.min_gaussians:
        raise ReconstructError(f"entity '{name}': no Gaussians are its own; check its masks",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    centre = np.median(own.means, axis=0).astype(np.float64)
    one_sided = seen_from_one_side([v.camera for v in views], centre, options=options.back_side)
    shown, roomy = _depth_views(name, views, own, others, masks, one_sided, options)
    around = bounds_of(own.means.astype(np.float64), grow=options.box_growth, floor=floor, options=options.bounds)
    box = visual_hull_bounds(roomy, {v.name: v.camera for v in views}, around, options=options.bounds)
    if floor:
        box[0, 2] = 0.0
    if one_sided:
        middle = max(range(len(views)), key=lambda k: int((shown[k].depth > 0).sum()))
        camera, mask = views[middle].camera, masks[name][views[middle].name]
        if all(v.depth is None for v in views):
            front = common_front(shown, camera, mask, points, options=options.back_side)
            found = front_and_back(camera, front, mask, depth_ratio=entity.depth_ratio, options=options.back_side)
            if found is not None:
                return tsdf_between(
                    camera, mask, *found, voxels=settings.voxels, name=name, floor=floor, options=options.tsdf
                )
        back = far_side(camera, shown[middle].depth, mask, centre, depth_ratio=entity.depth_ratio,
                        options=options.back_side)  # fmt: skip
        shown += [] if back is None else [back]
    return fuse_tsdf(shown, box, voxels=settings.voxels, name=name, floor=floor, options=options.tsdf)


def _depth_views(
    name: str, views: Sequence[View], own: Gaussians, others: Gaussians, masks: Masks, one_sided: bool,
    options: MeshOptions,
) -> tuple[list[DepthView], dict[str, Mask]]:  # fmt: skip
    """What each view says of an entity; and by view, where the entity may be seen or hidden."""
    import torch

    # Another entity may hide this one.
    free = {
        v.name: masks[name][v.name] | ndimage.binary_dilation(
            np.any([np.zeros(v.image.shape[:2], bool), *(m[v.name] for n, m in masks.items() if n != name)], axis=0),
            iterations=options.touching_gap_px,
        ) | v.unseen for v in views
    }  # fmt: skip
    depths, before = {}, {}
    roomy = dict(free)
    with torch.no_grad():
        # Where a share of the light stops: a mean would lie behind thin veils and before what shines through. CPU
        # kernels alone have it. From one side no outline bounds a veil in front.
        shell = own if one_sided else fronted(own, options=options.median_depth)
        both = gaussian_tensors(shell), gaussian_tensors(others)
        for v in views:
            mask = masks[name][v.name]
            if v.depth is not None:
                depths[v.name] = np.where(mask, v.depth, 0).astype(np.float32)
                continue
            mine, other = (draw_tensors(t, v.camera, render_depth="median", sh_degree=own.sh_degree) for t in both)
            alpha, depth = mine.alpha[0, ..., 0].numpy(), mine.depth[0, ..., 0].numpy()
            depths[v.name] = np.where((alpha > options.min_opacity) & mask, depth, 0).astype(np.float32)
            if one_sided:  # all views would be silent about what is behind the same things
                depths[v.name] = nearby(depths[v.name], mask, v.camera)
                continue
            # So may what is no entity: a leg behind a book is there, though no mask can show it.
            there = other.alpha[0, ..., 0].numpy() > options.min_opacity
            before[v.name] = np.where(there, other.depth[0, ..., 0].numpy(), 0).astype(np.float32)
            hidden = there & (alpha > options.min_hidden_opacity) & (before[v.name] < depth)
            roomy[v.name] = free[v.name] | hidden
    shown = [
        DepthView(v.camera, depths[v.name], free[v.name], own=masks[name][v.name], before=before.get(v.name))
        for v in views
    ]
    return shown, roomy
