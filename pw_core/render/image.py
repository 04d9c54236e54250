"""One image on the CPU: projection, depth order, tile lists, blending, and all of it backward.

Work is cut into pieces whose size does not depend on the number of threads wherever sums run over pieces, and those
sums run in the pieces' order: the same input gives the same bits on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pw_core.kernels import threads
from pw_core.render.checks import Inputs, Options
from pw_core.render.kernels import bin as kernels_bin
from pw_core.render.kernels import blend as kernels_blend
from pw_core.render.kernels import project as kernels_project
from pw_core.render.kernels.blend import PAIR_GRADS, RECORD, TILE

_GAUSSIANS_PER_PIECE = 1024
_TILES_PER_PIECE = 4
# Each stretch of the depth order counts all tiles: few of them for few Gaussians, enough to share out.
_STRETCH_AT_LEAST, _STRETCHES = 4096, 64

# What one image is drawn from, with how many axes of each follow the batch's; absent ones are None.
TENSORS = {
    "means": 2, "quats": 2, "scales": 2, "covars": 3, "opacities": 1, "colors": 2, "features": 2, "viewmats": 3,
    "intr": 2,
}  # fmt: skip
Tensors = tuple[torch.Tensor | None, ...]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Settings:
    """What a call needs beside its tensors; sh_degree is -1 for plain colours."""

    batch: tuple[int, ...]
    width: int
    height: int
    sh_degree: int
    options: Options
    median: bool = False
    cover: bool = False

    @property
    def tiles(self) -> tuple[int, int]:
        """Columns and rows of tiles."""
        return -(-self.width // TILE), -(-self.height // TILE)

    def all_tiles(self) -> NDArray[np.int64]:
        """The numbers of all tiles, row by row."""
        across, down = self.tiles
        return np.arange(across * down)


@dataclass(frozen=True, eq=False)
class Seen:
    """Gaussians as a camera sees them, and the lists of the tiles that they touch.

    rec [N, 16], rects [N, 4], radii [N, 2] [px]: see `kernels_project`. A tile's Gaussians, by depth, are
    ids[offsets[t] : offsets[t + 1]]; Gaussian n's places in `ids` are slots[starts[n] : starts[n + 1]].
    """

    rec: NDArray[Any]
    rects: NDArray[np.int32]
    radii: NDArray[np.int32]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    slots: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Pictures:
    """What tiles are blended into, or its gradient: rgb [H, W, 3], alpha, depth (sum of weight times depth) and median
    [H, W], feats [H, W, F], cover [H, W]. Without a median depth, `median` is [1, 1] and not touched; so is `cover`
    where none is wanted."""

    rgb: NDArray[Any]
    alpha: NDArray[Any]
    depth: NDArray[Any]
    feats: NDArray[Any]
    median: NDArray[Any]
    cover: NDArray[Any]

    @staticmethod
    def of(rgb: Any, alpha: Any, depth: Any, feats: Any = None, median: Any = None, cover: Any = None) -> Pictures:
        """From arrays or CPU tensors [H, W, channels]; those left out are empty."""
        rgb, alpha, depth = np.asarray(rgb), np.asarray(alpha)[..., 0], np.asarray(depth)[..., 0]
        feats = np.empty((*alpha.shape, 0), rgb.dtype) if feats is None else np.asarray(feats)
        median, cover = (
            np.empty((1, 1), rgb.dtype) if x is None else np.asarray(x)[..., 0] for x in (median, cover)
        )
        return Pictures(rgb, alpha, depth, feats, median, cover)


def for_kernels(
    i: Inputs, options: Options, *, median: bool = False, cover: bool = False
) -> tuple[Settings, Tensors]:  # fmt: skip
    """Settings and the tensors of `TENSORS` for checked inputs."""
    degree = -1 if i.sh_degree is None else i.sh_degree
    settings = Settings(i.batch, i.width, i.height, degree, options, median, cover)
    intrinsics = torch.stack([i.Ks[..., 0, 0], i.Ks[..., 1, 1], i.Ks[..., 0, 2], i.Ks[..., 1, 2]], -1)
    colors = i.colors if i.sh_degree is None else i.colors.flatten(-2)
    return settings, (i.means, i.quats, i.scales, i.covars, i.opacities, colors, i.features, i.viewmats, intrinsics)


def one_image(tensors: Tensors, batch: tuple[int, ...], at: tuple[int, ...], cam: int) -> Arrays:
    """Numpy views of what one image needs of tensors that broadcast over `batch`; an absent one is an empty array of
    the right rank."""
    means = tensors[0]
    assert means is not None
    dtype, n = means.numpy().dtype, means.shape[-2]
    empty = {"quats": (0, 4), "scales": (0, 3), "covars": (0, 3, 3), "features": (n, 0)}
    out: Arrays = {}
    for (name, trailing), x in zip(TENSORS.items(), tensors, strict=True):
        if x is None:
            out[name] = np.empty(empty[name], dtype)
        else:
            out[name] = x.expand(batch + x.shape[x.dim() - trailing :])[at].numpy()
    out["view"], out["intr"] = out.pop("viewmats")[cam], out["intr"][cam]
    return out


def camera_position(view: NDArray[Any]) -> NDArray[Any]:
    """Where the camera is in the world [m], from its world-to-camera matrix (4, 4)."""
    return np.asarray(
        -np.linalg.solve(view[:3, :3].astype(np.float64), view[:3, 3].astype(np.float64)), dtype=view.dtype
    )


def project(args: Arrays, s: Settings) -> Seen:
    """Records of one image's Gaussians, and tile lists sorted by depth."""
    means, covars, o = args["means"], args["covars"], s.options
    n, f = means.shape[0], means.dtype.type
    rec = np.empty((n, RECORD), means.dtype)
    rects, radii = np.empty((n, 4), np.int32), np.empty((n, 2), np.int32)
    depths, counts = np.empty(n, means.dtype), np.empty(n, np.int32)
    threads.run(
        kernels_project.project_forward, n, _GAUSSIANS_PER_PIECE, means, args["quats"], args["scales"], covars,
        covars.shape[0] > 0, args["opacities"], args["colors"], s.sh_degree, args["view"],
        camera_position(args["view"]), args["intr"], s.width, s.height, f(o.near), f(o.far), f(o.eps2d),
        f(o.radius_clip), o.antialiased, rec, rects, radii, depths, counts,
    )  # fmt: skip
    if depths.dtype == np.float32:
        order = kernels_bin.radix_order(depths.view(np.uint32), counts)
    else:
        drawn = np.flatnonzero(counts > 0).astype(np.int32)
        order = drawn[np.argsort(depths[drawn], kind="stable")]
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    across, down = s.tiles
    stretch = max(_STRETCH_AT_LEAST, -(-len(order) // _STRETCHES))
    places = np.zeros((max(1, -(-len(order) // stretch)), across * down), np.int32)
    threads.run(kernels_bin.count_tiles, len(order), stretch, order, rects, across, places)
    offsets = np.empty(across * down + 1, np.int64)
    kernels_bin.places_of(places, offsets)
    ids, slots = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    threads.run(kernels_bin.fill_tiles, len(order), stretch, order, rects, across, places, starts, ids, slots)
    return Seen(rec, rects, radii, offsets, ids, starts, slots)


def blend(
    tiles: NDArray[np.int64], rec: NDArray[Any], feats: NDArray[Any], offsets: NDArray[np.int64],
    ids: NDArray[np.int32], s: Settings, into: Pictures, *, front: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:  # fmt: skip
    """Blend the tiles with these numbers; each pixel's last and median place in its tile's list, [all tiles * 256].
    front: the first of the Gaussians whose cover is wanted; None: no cover is."""
    pixels = (len(offsets) - 1) * TILE * TILE
    last, median_last = np.empty(pixels, np.int32), np.empty(pixels if s.median else 1, np.int32)
    threads.run(
        kernels_blend.blend_forward, len(tiles), _TILES_PER_PIECE, tiles, s.tiles[0], s.width, s.height, rec, feats,
        offsets, ids, s.median, front is not None, front or 0, into.rgb, into.alpha, into.depth, into.feats,
        into.median, into.cover, last, median_last,
    )  # fmt: skip
    return last, median_last


def blend_back(
    tiles: NDArray[np.int64], rec: NDArray[Any], feats: NDArray[Any], offsets: NDArray[np.int64],
    ids: NDArray[np.int32], s: Settings, alpha: NDArray[Any], last: NDArray[np.int32], median_last: NDArray[np.int32],
    v: Pictures,
) -> NDArray[Any]:  # fmt: skip
    """The gradient of every pair in these tiles' lists, [pairs, 10 + F]; `v` is that of the pictures, of which the
    backward pass needs `alpha` [H, W]."""
    pairs = np.empty((len(ids), PAIR_GRADS + feats.shape[1]), rec.dtype)
    threads.run(
        kernels_blend.blend_backward, len(tiles), _TILES_PER_PIECE, tiles, s.tiles[0], s.width, s.height, rec, feats,
        offsets, ids, s.median, alpha, last, median_last, v.rgb, v.alpha, v.depth, v.feats, v.median, pairs,
    )  # fmt: skip
    return pairs


def project_back(
    seen: Seen, slots: NDArray[np.int32], pairs: NDArray[Any], args: Arrays, into: Arrays, s: Settings
) -> None:
    """From the pairs' gradients, at `slots`, to those of one image's inputs, added to `into`."""
    dtype, n, view = seen.rec.dtype, args["means"].shape[0], args["view"]
    pieces = -(-n // _GAUSSIANS_PER_PIECE)
    campos = camera_position(view)
    v_views, v_campos = np.zeros((pieces, 4, 4), dtype), np.zeros((pieces, 3), dtype)
    threads.run(
        kernels_project.project_backward, n, _GAUSSIANS_PER_PIECE, v_views, v_campos, args["means"], args["quats"],
        args["scales"], args["covars"], args["covars"].shape[0] > 0, args["colors"], s.sh_degree, view, campos,
        args["intr"], s.width, s.height, dtype.type(s.options.eps2d), s.options.antialiased, seen.rec, seen.rects,
        seen.starts, slots, pairs, into["means"], into["quats"], into["scales"], into["covars"], into["opacities"],
        into["colors"], into["features"],
    )  # fmt: skip
    v_view = v_views.sum(axis=0)
    if s.sh_degree > 0:
        # campos = -R^-1 t
        v_t = -np.linalg.solve(view[:3, :3].T.astype(np.float64), v_campos.sum(axis=0).astype(np.float64))
        v_view[:3, :3] += np.outer(v_t, campos).astype(dtype)
        v_view[:3, 3] += v_t.astype(dtype)
    into["view"] += v_view
