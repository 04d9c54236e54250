"""The solid within a shell of Gaussians that another tool made: a scan's object, of which only the outside is there.

Points drawn from the Gaussians mark voxels; what no way leads to from outside is within. Gaps, such as the underside of
what stood on a table, are closed first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Gaussians
from pw_core.reconstruct.components import largest_component
from pw_core.reconstruct.surface.tsdf import TsdfMesh, close_volume

Cells = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SplatSolidOptions:
    """How the solid is found."""

    voxels: int = 72
    """Along the longest side."""
    least_opacity: float = 0.1
    """Of a Gaussian that counts: fainter ones are haze."""
    stray_share: float = 0.01
    """Of the Gaussians at either end of each axis that say nothing of the size, for they may be floaters."""
    stray_reach: float = 0.1
    """Of the size that the others say: what is further beyond them is a floater."""
    spread: float = 0.7
    """Standard deviation of the drawn points, in the Gaussian's: their shell is about where it is half opaque."""
    points: tuple[int, int] = (6, 400)
    """Drawn from a Gaussian, at least and at most; between, so many as it covers voxels."""
    seed: int = 0
    """Of the drawing."""
    foot_share: float = 0.04
    """Of the height, from below: the outline of what is there is where it stands."""
    most_gap_voxels: int = 7
    """Half the width of the widest gap that is closed."""
    closed_share: float = 0.95
    """Of the volume within the shell with the widest gaps closed: from there on the shell counts as closed. As few gaps
    as that are closed, for that fills dents as well."""
    margin_voxels: int = 2
    """Round the box, beside the widest gap."""
    smoothing_voxels: float = 0.8
    """Standard deviation of the blur of the distance from the surface."""
    least_within: float = 0.25
    """Share of the solid that lies within its shell: less is a sheet, or dust."""


def solid_within(
    splats: Gaussians, *, name: str, options: SplatSolidOptions = SplatSolidOptions()
) -> TsdfMesh:  # fmt: skip
    """The largest solid that the Gaussians enclose [their unit].

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): they enclose nothing, as an open sheet does.
    """
    dense = splats[1 / (1 + np.exp(-splats.opacities.astype(np.float64))) >= options.least_opacity]
    if len(dense) == 0:
        raise _failed(name, f"none of its {len(splats)} Gaussians has an opacity of {options.least_opacity:g} or more")
    ends = [options.stray_share, 1 - options.stray_share]
    low, high = np.quantile(dense.means.astype(np.float64), ends, axis=0)
    low, high = low - options.stray_reach * (high - low), high + options.stray_reach * (high - low)
    dense = dense[((dense.means >= low) & (dense.means <= high)).all(axis=1)]
    low, high = dense.means.min(0).astype(np.float64), dense.means.max(0).astype(np.float64)
    if not (high - low).max() > 0:
        raise _failed(name, "its Gaussians lie in one place")
    step = float((high - low).max()) / options.voxels
    margin = (options.most_gap_voxels + options.margin_voxels) * step
    low, high = low - margin, high + margin
    shape = tuple(int(n) for n in np.ceil((high - low) / step))
    shell = np.zeros(shape, bool)
    index = np.floor((_points(dense, step, options) - low) / step).astype(np.int64)
    shell[tuple(index[((index >= 0) & (index < shape)).all(axis=1)].T)] = True
    shell = _with_foot(largest_component(ndimage.binary_dilation(shell)) & shell, options)
    solid = _closed(shell, options)
    if (solid & ~shell).sum() < options.least_within * solid.sum():
        raise _failed(name, "its Gaussians enclose no volume; expected the outside of one thing, cut out of its scan")
    # Zero in the middle of the outermost voxels, where on the average the surface is, not at their outer side.
    away = np.where(solid, 1 - ndimage.distance_transform_edt(solid), ndimage.distance_transform_edt(~solid))
    field = ndimage.gaussian_filter(away * step, options.smoothing_voxels)
    return close_volume(field, low=low + step / 2, step=step, reach=float(margin), name=name)


def _points(splats: Gaussians, step: float, o: SplatSolidOptions) -> F64:
    """Points (n, 3) of the Gaussians, the more of one the more voxels it covers."""
    from scipy.spatial.transform import Rotation

    scales = np.exp(splats.log_scales.astype(np.float64))
    widest = np.sort(scales, axis=1)[:, 1:].prod(axis=1) / step**2
    counts = np.clip(np.ceil(4 * np.pi * widest), *o.points).astype(int)
    which = np.repeat(np.arange(len(splats)), counts)
    drawn = np.random.default_rng(o.seed).normal(size=(len(which), 3)) * o.spread * scales[which]
    turn = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]].astype(np.float64))
    return np.asarray(splats.means[which] + turn[which].apply(drawn))


def _with_foot(shell: Cells, o: SplatSolidOptions) -> Cells:
    """With a floor where it stands: no scan sees that side."""
    used = np.flatnonzero(shell.any(axis=(0, 1)))
    if len(used) == 0:
        return shell
    high = used[0] + max(1, round(o.foot_share * (used[-1] - used[0] + 1)))
    outline = ndimage.binary_closing(shell[:, :, used[0] : high + 1].any(axis=2), _ball(o.most_gap_voxels, 2))
    out = shell.copy()
    out[:, :, used[0]] |= np.asarray(ndimage.binary_fill_holes(outline))
    return out


def _closed(shell: Cells, o: SplatSolidOptions) -> Cells:
    """The shell and what is within, its gaps closed as little as will do."""

    def filled(gap: int) -> Cells:
        if gap == 0:
            return np.asarray(ndimage.binary_fill_holes(shell))
        # Thick enough that the gaps close, filled, and made as thin again.
        thick = ndimage.distance_transform_edt(~shell) <= gap
        return np.asarray(ndimage.distance_transform_edt(ndimage.binary_fill_holes(thick)) > gap) | shell

    widest = filled(o.most_gap_voxels)
    for gap in range(o.most_gap_voxels):
        solid = filled(gap)
        if solid.sum() >= o.closed_share * widest.sum():
            return solid
    return widest


def _ball(radius: int, axes: int) -> Cells:
    grid = np.indices((2 * radius + 1,) * axes) - radius
    return np.asarray((grid**2).sum(axis=0) <= radius**2)


def _failed(name: str, text: str) -> ReconstructError:
    return ReconstructError(f"entity '{name}': {text}", code=ErrorCode.RECONSTRUCT_FAILED)
