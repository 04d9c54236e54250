"""What the entities hid: the plane they stand on, filled from the plane around, and what is behind it, so that a moved
entity leaves no hole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, F64, Gaussians
from pw_core.reconstruct.background import inpaint as continuation
from pw_core.reconstruct.background.ground_texture import Paving, fill_texture, pave, seen
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.splats import steps_of, surface_gaussians
from pw_core.reconstruct.surface.inflate import table_depth
from pw_core.reconstruct.surface.tsdf import Fused
from pw_core.reconstruct.types import Mask, View

RIM = 0.06
"""Of the entities' size: how far from what they hide the ground is taken to have some of their colour."""
BESIDE = 0.4
"""Of the entities' size: how far from their feet the ground is filled."""
HALO = 2.5
"""Voxels round an entity in which only those background Gaussians stay that most views have beside it."""
ITSELF = 0.5
WIDE = 3.0
"""Side of the plane's picture, in sizes of what stands on it."""
OPAQUE = 0.97
LEAST_PX = 20
"""Fewer pixels that can be seen through are no hole."""
FURTHER = (1.0, 1.3, 1.7, 2.5, 4.0, 8.0)
"""Times as far as what is round the hole that a backdrop is tried, where it would stand before what others see."""
BEFORE = 0.97
"""Nearer than this share of what another view sees there is before it."""
STEEP = 3.0
OVERLAP = 1.3
"""Of a pixel's step: how wide the Gaussian is that stands for it."""


def fill_behind(
    background: Gaussians, solids: Sequence[Fused], views: Sequence[View], union: Mapping[str, Mask]
) -> tuple[Gaussians, dict[str, float]]:
    """The background without what is left of the entities, with the ground below them and a backdrop where it could
    still be seen through; and a report.

    The plane is put together from the photos (`pave`); where none sees it past the entities it is filled from around
    (`fill_texture`), one Gaussian a pixel.
    """
    corners = np.concatenate([s.mesh.vertices for s in solids])
    low, high = corners.min(0), corners.max(0)
    size = float((high - low)[:2].max())
    means = background.means.astype(np.float64)
    beside, shown = seen(means, views, union)
    keep = (beside > 0) | (shown == 0)  # what only the entities' pixels show is of them
    for solid in solids:
        away = solid.distance(means)
        keep &= (away > HALO * solid.step) | ((away > 0) & (beside > ITSELF * shown))
    paving = pave((low + high)[:2] / 2, WIDE * size, views, union, background[keep])
    hole = _hole(paving, solids, views, union, size)
    row, column, inside = paving.index(means)
    # Over the filled ground, what lies on it goes, and what is left of the entities; a wall or a cushion behind stays.
    over = hole[row, column] & inside & (means[:, 2] < 1.2 * high[2])
    keep &= ~(over & ((means[:, 2] < RIM * size) | (beside <= ITSELF * shown)))
    patch = _patch(paving, hole, background.sh.shape[1])
    whole, hung = _hang(Gaussians.concatenate([background[keep], patch]), views, union, (low + high) / 2)
    report = {
        "filled_m2": round(float(hole.sum()) * paving.step**2, 6), "dropped": int((~keep).sum()), "added": len(patch),
        "hung": hung, "opaque": round(_opaque(whole, views, union), 4),
    }  # fmt: skip
    return whole, report


def _hole(paving: Paving, solids: Sequence[Fused], views: Sequence[View], union: Mapping[str, Mask], size: float
          ) -> Mask:  # fmt: skip
    """Pixels of the plane that are filled: what the entities hid, near their feet."""
    flat, shape = paving.points.reshape(-1, 3), paving.known.shape
    beside, _ = seen(flat, views, union)
    foot = np.zeros(shape, bool)
    for solid in solids:
        foot |= solid.distance(flat + np.array([0, 0, 0.5 * solid.step])).reshape(shape) < 0
    near = ndimage.distance_transform_edt(~foot) * paving.step <= BESIDE * size
    # The rim takes some of the entity's colour: masks are not exact to the pixel.
    hidden = (near & (beside.reshape(shape) == 0)) | foot
    return np.asarray(ndimage.distance_transform_edt(~hidden) * paving.step <= RIM * size)


def _patch(paving: Paving, hole: Mask, harmonics: int) -> Gaussians:
    filled = fill_texture(paving.picture, hole, paving.known) / 255
    n = int(hole.sum())
    across, down = np.zeros((n, 3)), np.zeros((n, 3))
    across[:, 1], down[:, 0] = -OVERLAP * paving.step, -OVERLAP * paving.step
    points = paving.points[hole]
    points[:, 2] = -0.2 * paving.step
    return _with_harmonics(surface_gaussians(points, across, down, filled[hole]), harmonics)


def _with_harmonics(g: Gaussians, count: int) -> Gaussians:
    sh = np.zeros((len(g), count, 3), np.float32)
    sh[:, :1] = g.sh
    return Gaussians(g.means, g.quats, g.log_scales, g.opacities, sh)


def _drawn(g: Gaussians, view: View) -> tuple[F32, F32, F32]:
    """Colours (H, W, 3) as they would be if all were opaque, opacity (H, W), depth [m] (H, W)."""
    drawn = draw_gaussians(g, view.camera, render_depth="median")
    alpha = drawn.alpha[0, ..., 0].numpy()
    rgb = np.clip(drawn.rgb[0].numpy() / np.maximum(alpha, 0.05)[..., None], 0, 1)
    return rgb, alpha, drawn.depth[0, ..., 0].numpy()


def _hang(g: Gaussians, views: Sequence[View], union: Mapping[str, Mask], middle: F64) -> tuple[Gaussians, int]:
    """With a backdrop, view after view, where one sees through the background at the entities' pixels: as far away as
    what is round the hole and beyond the entities' `middle` [m] (3,), but not below the plane. And how many Gaussians
    that took."""
    hung = 0
    shown = {v.name: _drawn(g, v)[1:] for v in views}  # before anything is hung
    for v in views:
        rgb, alpha, depth = _drawn(g, v)
        hole = union[v.name] & (alpha < OPAQUE)
        if hole.sum() < LEAST_PX:
            continue
        known = (alpha > OPAQUE) & (depth > 0)
        if not known.any():
            continue
        beyond = known & (depth > v.camera.project(middle)[1])  # what is nearer than the entities is not behind them
        beyond = beyond if beyond.any() else known
        far = continuation.smooth((1 / np.where(beyond, depth, 1))[..., None].astype(np.float32), hole, beyond)[..., 0]
        most = 1.001 * table_depth(v.camera)[hole]
        away = np.minimum(1 / np.maximum(far[hole].astype(np.float64), 1e-9), most)
        away = _out_of_the_way(v, hole, away, most, [w for w in views if w is not v], shown, union)
        y, x = np.nonzero(hole)
        colors = fill_texture(255 * rgb, hole, known)[hole] / 255
        sheet = np.full((*hole.shape, 3), np.nan)
        sheet[hole] = v.camera.unproject(np.stack([x, y], 1).astype(np.float64) + 0.5, away)
        plain = (away / v.camera.K[0, 0])[:, None]
        across, down = (
            OVERLAP * _reaching(step[hole], plain * v.camera.viewmat[i, :3]) for i, step in enumerate(steps_of(sheet))
        )
        more = surface_gaussians(sheet[hole], across, down, colors)
        g = Gaussians.concatenate([g, _with_harmonics(more, g.sh.shape[1])])
        hung += len(more)
    return g, hung


def _out_of_the_way(
    view: View, hole: Mask, away: F64, most: F64, others: Sequence[View], shown: Mapping[str, tuple[F32, F32]],
    union: Mapping[str, Mask],
) -> F64:  # fmt: skip
    """How far away [m] (n,) a backdrop hangs at the pixels of a hole: as given, but further where it would stand before
    what others see, until it does not, up to `most` [m] (n,); where it always would, as given.

    shown: by view, opacity and depth [m] (H, W) of what is there without it.
    """
    y, x = np.nonzero(hole)
    pixels = np.stack([x, y], 1).astype(np.float64) + 0.5
    out, left = away.copy(), np.ones(len(away), bool)
    for further in FURTHER:
        tried = np.minimum(further * away, most)
        points = view.camera.unproject(pixels[left], tried[left])
        stands = np.zeros(len(points), bool)
        for w in others:
            uv, z = w.camera.project(points)
            u, v = np.floor(uv).astype(int).T
            i = np.flatnonzero((z > 0) & (u >= 0) & (u < w.camera.width) & (v >= 0) & (v < w.camera.height))
            alpha, depth = (a[v[i], u[i]] for a in shown[w.name])
            stands[i] |= ~union[w.name][v[i], u[i]] & (alpha > OPAQUE) & (z[i] < BEFORE * depth)
        done = np.flatnonzero(left)[~stands]
        out[done], left[done] = tried[done], False
    return out


def _reaching(step: F64, plain: F64) -> F64:
    """Steps (n, 3) to the next sample, but none longer than STEEP times the `plain` (n, 3) one of a sheet that faces
    the camera, which also stands in where there is no next sample: what is behind an edge is not smeared to what is
    before it."""
    length = np.linalg.norm(step, axis=1, keepdims=True)
    most = STEEP * np.linalg.norm(plain, axis=1, keepdims=True)
    return np.where(np.isfinite(length), step * np.minimum(1, most / np.maximum(length, 1e-12)), plain)


def _opaque(g: Gaussians, views: Sequence[View], union: Mapping[str, Mask]) -> float:
    """Of the entities' pixels in all views, the share behind which the background lets no light through."""
    alphas = [_drawn(g, v)[1][union[v.name]] for v in views]
    return float((np.concatenate(alphas) > OPAQUE).mean())
