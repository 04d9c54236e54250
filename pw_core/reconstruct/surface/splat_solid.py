"""The solid within a shell of Gaussians that another tool made: a scan's object, of which only the outside is there.

Points drawn from the Gaussians mark voxels; what no way leads to from outside is within. Gaps, such as the underside of
what stood on a table, are closed first. Of a vessel whose walls were scanned from both sides the walls are the solid:
its mouth is an opening, not a gap. What was closed that is no matter of course is warned of.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
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
    neighbour: int = 4
    """Whose distance says how dense Gaussians lie."""
    dense_share: float = 0.25
    """Of the Gaussians, those that lie densest: the thing's, unless floaters are more than three times as many."""
    alone_ratio: float = 8.0
    """A Gaussian with its neighbour further than so many times as far as theirs, ..."""
    alone_sizes: float = 4.0
    """... and further than so many of its own standard deviations, is a floater: plain surfaces have few, but large."""
    spread: float = 0.7
    """Standard deviation of the drawn points, in the Gaussian's: their shell is about where it is half opaque."""
    points: tuple[int, int] = (6, 400)
    """Drawn from a Gaussian, at least and at most; between, so many as it covers voxels."""
    seed: int = 0
    """Of the drawing."""
    foot_share: float = 0.04
    """Of the height, from below: the outline of what is there is where it stands ..."""
    foot_voxels: int = 4
    """... and at least so much: the lowest points drawn are few, and scattered by the Gaussians' spread."""
    most_gap_voxels: int = 7
    """Half the width of the widest gap that is closed."""
    closed_share: float = 0.95
    """Of the volume within the shell with the widest gaps closed: from there on the shell counts as closed. As few gaps
    as that are closed, for that fills dents as well."""
    plateau: tuple[int, float] = (2, 0.05)
    """A vessel's walls are closed alone where so many more voxels of gap add less than this share of volume ..."""
    wall_reach_voxels: float = 5.0
    """... and so near to its cavity ..."""
    walled_share: float = 0.6
    """... there is something within the wall along so much of the cavity's surface."""
    unseen_reach_voxels: float = 2.0
    """Further from the shell than this, the solid's outside is the lid of an opening, not a gap between Gaussians."""
    least_lid_voxels: int = 8
    """Area of the lid of what was filled, that is worth a word."""
    most_points: int = 2_000_000
    """Drawn at once, for memory: large Gaussians have many each."""
    margin_voxels: int = 2
    """Round the box, beside the widest gap."""
    smoothing_voxels: float = 0.8
    """Standard deviation of the blur of the distance from the surface."""
    least_within: float = 0.25
    """Share of the solid that lies within its shell: less is a sheet, or dust."""
    thin_within: float = 0.45
    """That share, below which there is little but walls."""
    thin_voxels: float = 1.5
    """Of either side of a wall: closer together they are one sheet."""


def solid_within(
    splats: Gaussians, *, name: str, fill: bool = False, options: SplatSolidOptions = SplatSolidOptions()
) -> TsdfMesh:  # fmt: skip
    """The largest solid that the Gaussians enclose [metres]. Warns of an opening that it closed or left open.

    Args:
        fill: a vessel's inside too, behind a mouth that is narrow enough to be closed.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): they enclose nothing, as an open sheet does.
    """
    dense = without_strays(splats, name=name, options=options)
    low, high = dense.means.min(0).astype(np.float64), dense.means.max(0).astype(np.float64)
    if not (high - low).max() > 0:
        raise _failed(name, "its Gaussians lie in one place")
    step = float((high - low).max()) / options.voxels
    margin = (options.most_gap_voxels + options.margin_voxels) * step
    low, high = low - margin, high + margin
    shape = tuple(int(n) for n in np.ceil((high - low) / step))
    shell = np.zeros(shape, bool)
    for points in _points(dense, step, options):
        index = np.floor((points - low) / step).astype(np.int64)
        shell[tuple(index[((index >= 0) & (index < shape)).all(axis=1)].T)] = True
    shell = _with_foot(largest_component(ndimage.binary_dilation(shell)) & shell, options)
    solid, told = _closed(shell, step, fill, options)
    within = _within(solid, shell)
    if within < options.least_within:
        raise _failed(
            name, "its Gaussians enclose no volume; expected the outside of one thing, cut out of its scan; of a bowl "
            f"or a cup the inside too, and a wall of {2e3 * options.thin_voxels * step:.1f} mm or more",
        )  # fmt: skip
    if not told and within < options.thin_within:
        told = "hollow, only its thin walls are filled; if it is full, close the holes of its scan"
    if told:
        warnings.warn(f"entity '{name}': {told}", stacklevel=2)
    # Zero near the middle of the outermost voxels, where on the average the surface is, not at their outer side; and
    # not just there, where triangles of a flat side would have no area.
    away = np.where(solid, 0.99 - ndimage.distance_transform_edt(solid), ndimage.distance_transform_edt(~solid))
    field = ndimage.gaussian_filter(away * step, options.smoothing_voxels)
    return close_volume(field, low=low + step / 2, step=step, reach=float(margin), name=name)


def without_strays(
    splats: Gaussians, *, name: str, options: SplatSolidOptions = SplatSolidOptions()
) -> Gaussians:  # fmt: skip
    """Those that are no haze and no floaters.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there are none.
    """
    dense = splats[1 / (1 + np.exp(-splats.opacities.astype(np.float64))) >= options.least_opacity]
    if len(dense) == 0:
        raise _failed(name, f"none of its {len(splats)} Gaussians has an opacity of {options.least_opacity:g} or more")
    dense = _touching(dense, options)
    ends = [options.stray_share, 1 - options.stray_share]
    low, high = np.quantile(dense.means.astype(np.float64), ends, axis=0)
    low, high = low - options.stray_reach * (high - low), high + options.stray_reach * (high - low)
    return dense[((dense.means >= low) & (dense.means <= high)).all(axis=1)]


def _touching(splats: Gaussians, o: SplatSolidOptions) -> Gaussians:
    """Those that touch others, or lie about as dense as the densest: single ones in the air are of no surface."""
    from scipy.spatial import cKDTree

    if len(splats) <= o.neighbour:
        return splats
    distance = cKDTree(splats.means).query(splats.means, k=[o.neighbour + 1])[0][:, 0]
    usual = float(np.quantile(distance, o.dense_share))
    own = np.exp(splats.log_scales.max(axis=1).astype(np.float64))
    return splats[(distance <= o.alone_ratio * usual) | (distance <= o.alone_sizes * own)]


def _points(splats: Gaussians, step: float, o: SplatSolidOptions) -> Iterator[F64]:
    """Points (n, 3) of the Gaussians, the more of one the more voxels it covers; some of the Gaussians at a time."""
    from scipy.spatial.transform import Rotation

    scales = np.exp(splats.log_scales.astype(np.float64))
    widest = np.sort(scales, axis=1)[:, 1:].prod(axis=1) / step**2
    counts = np.clip(np.ceil(4 * np.pi * widest), *o.points).astype(int)
    turn = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]].astype(np.float64))
    random = np.random.default_rng(o.seed)
    part = np.cumsum(counts) // o.most_points
    for begin, end in itertools.pairwise([*np.flatnonzero(np.diff(part, prepend=-1)), len(splats)]):
        which = np.repeat(np.arange(begin, end), counts[begin:end])
        drawn = random.normal(size=(len(which), 3)) * o.spread * scales[which]
        yield np.asarray(splats.means[which] + turn[which].apply(drawn))


def _with_foot(shell: Cells, o: SplatSolidOptions) -> Cells:
    """With a floor where it stands: no scan sees that side."""
    used = np.flatnonzero(shell.any(axis=(0, 1)))
    if len(used) == 0:
        return shell
    high = used[0] + max(o.foot_voxels, round(o.foot_share * (used[-1] - used[0] + 1)))
    lowest = shell[:, :, used[0] : high + 1]
    floor = _filled(np.asarray(lowest.any(axis=2)), o.most_gap_voxels)
    counts = lowest.sum(axis=(0, 1))
    out = shell.copy()
    out[:, :, used[0] + int(np.argmax(counts >= counts.max() / 2))] |= floor
    return out


def _closed(shell: Cells, step: float, fill: bool, o: SplatSolidOptions) -> tuple[Cells, str]:
    """The shell and what is within, its gaps closed as little as will do; what is to be said of its openings."""
    solids = [_filled(shell, gap) for gap in range(o.most_gap_voxels + 1)]
    enough = o.closed_share * solids[-1].sum()
    closed = next(s for s in solids if s.sum() >= enough)
    lid = largest_component(_lid(closed, shell, o))
    walls = None if fill or not lid.any() else _walls(solids, shell, enough, o)
    if walls is None and lid.sum() < o.least_lid_voxels:
        return closed, ""
    cavity = int((closed & ~(shell if walls is None else walls)).sum()) * step**3 * 1e6
    wide = 2e3 * step * (np.sqrt(lid.sum() / np.pi) + o.unseen_reach_voxels)
    where = f"an opening about {wide:.0f} mm wide {_side(lid, closed)}"
    if walls is None:
        why = "" if fill else ": scan its inside too if it is hollow"
        return closed, f"{where} was closed, and {cavity:.0f} cm3 behind it filled{why}"
    return walls, f"a vessel: its walls are filled, {where} and {cavity:.0f} cm3 behind it stay open (fill closes it)"


def _filled(shell: Cells, gap: int) -> Cells:
    """With what is within when gaps of twice `gap` voxels are closed; of a solid, or of an outline."""
    if gap == 0:
        return np.asarray(ndimage.binary_fill_holes(shell))
    # Thick enough that the gaps close, filled, and made as thin again: of which the margin must not be in the way.
    padded = np.pad(shell, gap + 1)
    thick = ndimage.distance_transform_edt(~padded) <= gap
    thin = ndimage.distance_transform_edt(ndimage.binary_fill_holes(thick)) > gap
    return np.asarray(thin[(slice(gap + 1, -gap - 1),) * shell.ndim]) | shell


def _within(solid: Cells, shell: Cells) -> float:
    """Share of the solid that is not shell."""
    return float((solid & ~shell).sum() / solid.sum())


def _walls(solids: Sequence[Cells], shell: Cells, enough: float, o: SplatSolidOptions) -> Cells | None:
    """The walls of a vessel: a solid that closing its gaps further leaves as it is, long before its mouth closes, and
    that has two sides all round the cavity; None where there is none. Of a lone wall, seen from one side, nothing lies
    within; what noise encloses goes on growing."""
    more, growth = o.plateau
    for gap, solid in enumerate(solids[:-more]):
        later = solids[gap + more]
        if later.sum() >= enough:
            return None
        within = largest_component(later & ~shell)  # a rough shell has pockets, each of its own
        if later.sum() <= (1 + growth) * solid.sum() and within.any():
            cavity_side = solids[-1] & ~later & ndimage.binary_dilation(later)
            near = ndimage.distance_transform_edt(~within)[cavity_side] <= o.wall_reach_voxels
            if near.size and near.mean() >= o.walled_share:
                return later
    return None


def _lid(solid: Cells, shell: Cells, o: SplatSolidOptions) -> Cells:
    """The outside of the solid that no Gaussian is near."""
    outside = solid & ~ndimage.binary_erosion(solid)
    return np.asarray(outside & (ndimage.distance_transform_edt(~shell) > o.unseen_reach_voxels))


def _side(part: Cells, solid: Cells) -> str:
    """Where on the solid that part of its outside is, in words."""
    ends = [(i.min(), i.max()) for i in np.nonzero(solid)]
    away = [2 * i.mean() - low - high for i, (low, high) in zip(np.nonzero(part), ends)]
    if abs(away[2]) < max(abs(away[0]), abs(away[1])):
        return "at a side"
    return "on top" if away[2] > 0 else "below"


def _failed(name: str, text: str) -> ReconstructError:
    return ReconstructError(f"entity '{name}': {text}", code=ErrorCode.RECONSTRUCT_FAILED)
