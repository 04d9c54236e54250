"""What the entities hid: the plane they stand on, filled from the plane around, and what is behind it, so that a moved
entity leaves no hole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F32, F64, Gaussians
from pw_core.reconstruct.background.ground_texture import (
    GroundOrthophoto,
    GroundTextureOptions,
    fill_texture,
    ground_orthophoto,
    seen_beside,
)
from pw_core.reconstruct.background.poisson import smooth
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.surface.tsdf import TsdfMesh
from pw_core.reconstruct.types import Mask, View


@dataclass(frozen=True, kw_only=True)
class BackdropOptions:
    """Gaussians put where one still sees through the background."""

    opaque: float = 0.97
    """Opacity from which nothing is seen through."""
    least_pixels: int = 20
    """Fewer that can be seen through are no hole."""
    distance_factors: tuple[float, ...] = (1.0, 1.3, 1.7, 2.5, 4.0, 8.0)
    """Times as far as what is round the hole that a backdrop is tried, where it would stand before what others see."""
    before_ratio: float = 0.97
    """Nearer than this share of what another view sees there is before it."""
    most_step_ratio: float = 3.0
    """Of a plain step: what is behind an edge is not smeared to what is before it."""
    overlap: float = 1.3
    """Of a pixel's step: how wide the Gaussian is that stands for it."""
    least_alpha: float = 0.05
    """By which drawn colours are divided at the least, to be what they would be if all were opaque."""


@dataclass(frozen=True, kw_only=True)
class HiddenRegionOptions:
    """What of the background is left out, and what of the ground is filled. Sizes are shares of the entities' largest
    horizontal one."""

    colored_margin_ratio: float = 0.06
    """How far from what they hide the ground is taken to have some of their colour, and how high what lies on it is
    taken to be of it."""
    filled_margin_ratio: float = 0.4
    """How far from their feet the ground is filled."""
    halo_voxels: float = 2.5
    """Round an entity, in which only those background Gaussians stay that most views have beside it."""
    least_beside_share: float = 0.5
    """Of the views that show a Gaussian: those that must have it beside the entities."""
    orthophoto_side_ratio: float = 3.0
    """Side of the ground orthophoto."""
    cleared_height_ratio: float = 1.2
    """Of the entities' top: up to there what is left of them over the filled ground goes; a wall behind stays."""
    patch_depth_pixels: float = 0.2
    """Of the orthophoto: how far under the plane the filled ground lies, behind what is really seen of it."""
    backdrop: BackdropOptions = BackdropOptions()
    """Behind what is filled."""
    ground: GroundTextureOptions = GroundTextureOptions()
    """The orthophoto, and how what is unknown of ground and backdrop is filled."""


def fill_hidden_region(
    background: Gaussians, solids: Sequence[TsdfMesh], views: Sequence[View], union: Mapping[str, Mask], *,
    ground: bool = True, options: HiddenRegionOptions = HiddenRegionOptions(),
) -> tuple[Gaussians, dict[str, float]]:  # fmt: skip
    """The background without what is left of the entities, with the ground below them and a backdrop where it could
    still be seen through; and a report.

    The ground is put together from the photos (`ground_orthophoto`); where none sees it past the entities it is filled
    from around (`fill_texture`), one Gaussian a pixel.

    union: by view, the pixels of all entities. ground: whether they stand on the plane z = 0; without, there is the
    backdrop alone.
    """
    corners = np.concatenate([s.mesh.vertices for s in solids])
    low, high = corners.min(0), corners.max(0)
    size = float((high - low)[:2].max())
    means = background.means.astype(np.float64)
    beside, shown = seen_beside(means, views, union, options=options.ground)
    keep = (beside > 0) | (shown == 0)  # what only the entities' pixels show is of them
    for solid in solids:
        away = solid.distance(means)
        keep &= (away > options.halo_voxels * solid.step) | ((away > 0) & (beside > options.least_beside_share * shown))
    patch, filled_m2 = background[:0], 0.0
    if ground:
        side = options.orthophoto_side_ratio * size
        photo = ground_orthophoto((low + high)[:2] / 2, side, views, union, background[keep], options=options.ground)
        hole = _hole(photo, solids, views, union, size, options)
        row, column, inside = photo.index(means)
        # Over the filled ground, what lies on it goes, and what is left of the entities; a wall behind stays.
        over = hole[row, column] & inside & (means[:, 2] < options.cleared_height_ratio * high[2])
        low_down = means[:, 2] < options.colored_margin_ratio * size
        keep &= ~(over & (low_down | (beside <= options.least_beside_share * shown)))
        patch = _patch(photo, hole, background.sh.shape[1], options)
        filled_m2 = round(float(hole.sum()) * photo.step**2, 6)
    middle = (low + high) / 2
    whole, added = _with_backdrop(Gaussians.concatenate([background[keep], patch]), views, union, middle, options)
    report = {
        "filled_m2": filled_m2, "dropped": int((~keep).sum()), "added": len(patch),
        "hung": added, "opaque": round(_opaque(whole, views, union, options.backdrop), 4),
    }  # fmt: skip
    return whole, report


def _hole(
    ground: GroundOrthophoto, solids: Sequence[TsdfMesh], views: Sequence[View], union: Mapping[str, Mask], size: float,
    options: HiddenRegionOptions,
) -> Mask:  # fmt: skip
    """Pixels of the ground that are filled: what the entities hid, near their feet."""
    flat, shape = ground.points.reshape(-1, 3), ground.known.shape
    beside, _ = seen_beside(flat, views, union, options=options.ground)
    foot = np.zeros(shape, bool)
    for solid in solids:
        foot |= solid.distance(flat + np.array([0, 0, 0.5 * solid.step])).reshape(shape) < 0
    near = ndimage.distance_transform_edt(~foot) * ground.step <= options.filled_margin_ratio * size
    # The margin takes some of the entity's colour: masks are not exact to the pixel.
    hidden = (near & (beside.reshape(shape) == 0)) | foot
    return np.asarray(ndimage.distance_transform_edt(~hidden) * ground.step <= options.colored_margin_ratio * size)


def _patch(ground: GroundOrthophoto, hole: Mask, harmonics: int, options: HiddenRegionOptions) -> Gaussians:
    filled = fill_texture(ground.picture, hole, ground.known, options=options.ground) / 255
    n = int(hole.sum())
    across, down = np.zeros((n, 3)), np.zeros((n, 3))
    across[:, 1], down[:, 0] = -options.backdrop.overlap * ground.step, -options.backdrop.overlap * ground.step
    points = ground.points[hole]
    points[:, 2] = -options.patch_depth_pixels * ground.step
    return _with_harmonics(surface_gaussians(points, across, down, filled[hole]), harmonics)


def _with_harmonics(g: Gaussians, count: int) -> Gaussians:
    sh = np.zeros((len(g), count, 3), np.float32)
    sh[:, :1] = g.sh
    return Gaussians(g.means, g.quats, g.log_scales, g.opacities, sh)


def _drawn(g: Gaussians, view: View, options: BackdropOptions) -> tuple[F32, F32, F32]:
    """Colours (H, W, 3) as they would be if all were opaque, opacity (H, W), depth [m] (H, W)."""
    drawn = draw_gaussians(g, view.camera, render_depth="median")
    alpha = drawn.alpha[0, ..., 0].numpy()
    rgb = np.clip(drawn.rgb[0].numpy() / np.maximum(alpha, options.least_alpha)[..., None], 0, 1)
    return rgb, alpha, drawn.depth[0, ..., 0].numpy()


def _with_backdrop(
    g: Gaussians, views: Sequence[View], union: Mapping[str, Mask], middle: F64, options: HiddenRegionOptions
) -> tuple[Gaussians, int]:
    """With a backdrop, view after view, where one sees through the background at the entities' pixels: as far away as
    what is round the hole and beyond the entities' `middle` [m] (3,), but not below the plane. And how many Gaussians
    that took."""
    added, backdrop = 0, options.backdrop
    shown = {v.name: _drawn(g, v, backdrop)[1:] for v in views}  # before any backdrop
    for v in views:
        rgb, alpha, depth = _drawn(g, v, backdrop)
        hole = union[v.name] & (alpha < backdrop.opaque)
        if hole.sum() < backdrop.least_pixels:
            continue
        known = (alpha > backdrop.opaque) & (depth > 0)
        if not known.any():
            continue
        beyond = known & (depth > v.camera.project(middle)[1])  # what is nearer than the entities is not behind them
        beyond = beyond if beyond.any() else known
        far = smooth((1 / np.where(beyond, depth, 1))[..., None].astype(np.float32), hole, beyond)[..., 0]
        most = 1.001 * table_depth(v.camera)[hole]
        away = np.minimum(1 / np.maximum(far[hole].astype(np.float64), 1e-9), most)
        others = [w for w in views if w is not v]
        away = _out_of_the_way(v, hole, away, most, others, shown, union, backdrop)
        colors = fill_texture(255 * rgb, hole, known, options=options.ground)[hole] / 255
        more = _backdrop(v, hole, away, colors, backdrop)
        g = Gaussians.concatenate([g, _with_harmonics(more, g.sh.shape[1])])
        added += len(more)
    return g, added


def _backdrop(
    view: View, hole: Mask, away: F64, colors: NDArray[np.floating], options: BackdropOptions
) -> Gaussians:  # fmt: skip
    """A Gaussian a pixel of the hole, that far away [m] (n,), of those colours (n, 3)."""
    y, x = np.nonzero(hole)
    points = np.full((*hole.shape, 3), np.nan)
    points[hole] = view.camera.unproject(np.stack([x, y], 1).astype(np.float64) + 0.5, away)
    plain = (away / view.camera.K[0, 0])[:, None]
    across, down = (
        options.overlap * _limited(step[hole], plain * view.camera.viewmat[i, :3], options)
        for i, step in enumerate(steps_of(points))
    )
    return surface_gaussians(points[hole], across, down, colors)


def _out_of_the_way(
    view: View, hole: Mask, away: F64, most: F64, others: Sequence[View], shown: Mapping[str, tuple[F32, F32]],
    union: Mapping[str, Mask], options: BackdropOptions,
) -> F64:  # fmt: skip
    """How far away [m] (n,) a backdrop is put at the pixels of a hole: as given, but further where it would stand
    before what others see, until it does not, up to `most` [m] (n,); where it always would, as given.

    shown: by view, opacity and depth [m] (H, W) of what is there without it.
    """
    y, x = np.nonzero(hole)
    pixels = np.stack([x, y], 1).astype(np.float64) + 0.5
    out, left = away.copy(), np.ones(len(away), bool)
    for factor in options.distance_factors:
        tried = np.minimum(factor * away, most)
        points = view.camera.unproject(pixels[left], tried[left])
        stands = np.zeros(len(points), bool)
        for w in others:
            at, z, inside = w.camera.pixels(points)
            i = np.flatnonzero(inside)
            u, v = at[i].T
            alpha, depth = (a[v, u] for a in shown[w.name])
            stands[i] |= ~union[w.name][v, u] & (alpha > options.opaque) & (z[i] < options.before_ratio * depth)
        done = np.flatnonzero(left)[~stands]
        out[done], left[done] = tried[done], False
    return out


def _limited(step: F64, plain: F64, options: BackdropOptions) -> F64:
    """Steps (n, 3) to the next sample, but none longer than a few times the `plain` (n, 3) one of a surface that faces
    the camera, which also stands in where there is no next sample."""
    length = np.linalg.norm(step, axis=1, keepdims=True)
    most = options.most_step_ratio * np.linalg.norm(plain, axis=1, keepdims=True)
    return np.where(np.isfinite(length), step * np.minimum(1, most / np.maximum(length, 1e-12)), plain)


def _opaque(g: Gaussians, views: Sequence[View], union: Mapping[str, Mask], options: BackdropOptions) -> float:
    """Of the entities' pixels in all views, the share behind which the background lets no light through."""
    alphas = [_drawn(g, v, options)[1][union[v.name]] for v in views]
    return float((np.concatenate(alphas) > options.opaque).mean())
