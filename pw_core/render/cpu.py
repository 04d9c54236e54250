"""The CPU rasteriser as one differentiable torch function: projection, depth order, tile lists, blending; and all of
it backward.

The kernels are compiled by numba without the GIL and run on a pool of plain threads, as many as
`torch.get_num_threads()`. Work is
cut into pieces whose size does not depend on the number of threads, and sums over pieces run in their order: the same
input gives
the same bits on any number of threads, and calls from several threads at once are safe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pw_core.render import kernels_bin, kernels_blend, kernels_project
from pw_core.render.kernels_blend import PAIR_GRADS, RECORD, TILE

_GAUSSIANS_PER_PIECE = 4096
_TILES_PER_PIECE = 32
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


@dataclass(frozen=True)
class Settings:
    """What a call needs beside its tensors."""

    batch: tuple[int, ...]
    width: int
    height: int
    sh_degree: int
    near: float
    far: float
    eps2d: float
    radius_clip: float
    antialiased: bool
    median: bool


@dataclass
class Image:
    """One image's projected, sorted and blended Gaussians: what the backward pass starts from."""

    rec: NDArray[Any]
    rects: NDArray[np.int32]
    radii: NDArray[np.int32]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    slots: NDArray[np.int32]
    last: NDArray[np.int32]
    median_last: NDArray[np.int32]


def run_pieces(work: Callable[[int, int], None], total: int, piece: int) -> None:
    """Call work(first, last) for consecutive ranges of `piece` items that cover range(total), on torch's number of
    threads."""
    bounds = [(a, min(a + piece, total)) for a in range(0, total, piece)]
    threads = min(torch.get_num_threads(), len(bounds))
    if threads <= 1:
        for a, b in bounds:
            work(a, b)
        return
    key = (os.getpid(), threads)  # a forked child has none of its parent's threads
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(threads - 1, thread_name_prefix="pw-render")
        pool = _pools[key]
    queue = iter(bounds)
    lock = threading.Lock()

    def drain() -> None:
        while True:
            with lock:
                bound = next(queue, None)
            if bound is None:
                return
            work(*bound)

    helpers = [pool.submit(drain) for _ in range(threads - 1)]
    drain()
    for helper in helpers:
        helper.result()


def project(
    means: NDArray[Any], quats: NDArray[Any], scales: NDArray[Any], covars: NDArray[Any], opacities: NDArray[Any],
    colors: NDArray[Any], view: NDArray[Any], intr: NDArray[Any], settings: Settings,
) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:  # fmt: skip
    """One camera's records, tile rectangles and pixel radii; see `kernels_project.project_forward`."""
    n = means.shape[0]
    rec = np.empty((n, RECORD), means.dtype)
    rects = np.empty((n, 4), np.int32)
    radii = np.empty((n, 2), np.int32)
    campos = camera_position(view)
    s = settings
    f = means.dtype.type

    def work(first: int, last: int) -> None:
        kernels_project.project_forward(
            first, last, means, quats, scales, covars, covars.shape[0] > 0, opacities, colors, s.sh_degree, view,
            campos,
            intr, s.width, s.height, f(s.near), f(s.far), f(s.eps2d), f(s.radius_clip), s.antialiased, rec, rects,
            radii,
        )  # fmt: skip

    run_pieces(work, n, _GAUSSIANS_PER_PIECE)
    return rec, rects, radii


def bin_tiles(
    rec: NDArray[Any], rects: NDArray[np.int32], settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Depth-sorted tile lists: offsets [tiles + 1] and starts [N + 1] int64, ids and slots [pairs] int32.

    A tile's Gaussians are ids[offsets[t] : offsets[t + 1]]; for slots see `kernels_bin.fill_tiles`.
    """
    depth = np.ascontiguousarray(rec[:, kernels_blend.Z])
    visible = np.ascontiguousarray(rects[:, 1])
    if depth.dtype == np.float32:
        order = kernels_bin.radix_order(depth.view(np.uint32), visible)
    else:
        drawn = np.flatnonzero(visible > 0).astype(np.int32)
        order = drawn[np.argsort(depth[drawn], kind="stable")]
    tiles_x, tiles_y = -(-settings.width // TILE), -(-settings.height // TILE)
    starts = np.zeros(len(rects) + 1, np.int64)
    np.cumsum((rects[:, 1] - rects[:, 0]) * (rects[:, 3] - rects[:, 2]), out=starts[1:])
    # Counts, then each stretch's first place in every list.
    stretch = max(4096, -(-len(order) // 64))
    places = np.zeros((max(1, -(-len(order) // stretch)), tiles_x * tiles_y), np.int64)

    def count(first: int, last: int) -> None:
        kernels_bin.count_tiles(first, last, order, rects, tiles_x, places[first // stretch])

    run_pieces(count, len(order), stretch)
    offsets = np.zeros(tiles_x * tiles_y + 1, np.int64)
    np.cumsum(places.sum(axis=0), out=offsets[1:])
    ends = np.cumsum(places, axis=0)
    places = ends - places + offsets[:-1]
    ids, slots = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)

    def fill(first: int, last: int) -> None:
        cursor = places[first // stretch]
        kernels_bin.fill_tiles(first, last, order, rects, tiles_x, cursor, starts, ids, slots)

    run_pieces(fill, len(order), stretch)
    return offsets, ids, starts, slots


def camera_position(view: NDArray[Any]) -> NDArray[Any]:
    """Where the camera is in the world [m], from its world-to-camera matrix (4, 4)."""
    return np.asarray(
        -np.linalg.solve(view[:3, :3].astype(np.float64), view[:3, 3].astype(np.float64)), dtype=view.dtype
    )


def _slice(x: torch.Tensor | None, batch: tuple[int, ...], trailing: int, at: tuple[int, ...]) -> NDArray[Any]:
    """The numpy view of one batch element of a tensor that broadcasts over `batch`."""
    assert x is not None
    tail = x.shape[x.dim() - trailing :]
    view: NDArray[Any] = x.expand(batch + tail)[at].numpy()
    return view


class Rasterize(torch.autograd.Function):
    """Blend Gaussians into images; the inputs' leading dimensions broadcast over `settings.batch`.

    means [..., N, 3], quats [..., N, 4] and scales [..., N, 3] or covars [..., N, 3, 3], opacities [..., N], colors
    [..., N, D]
    (D = 3, or 3 K harmonics), features [..., N, F], viewmats [..., C, 4, 4], intrinsics [..., C, 4].
    Returns colour [*batch, C, H, W, 3], alpha [*batch, C, H, W, 1], sum of weight times depth and median depth
    likewise, features
    [*batch, C, H, W, F] and radii [*batch, C, N, 2].
    """

    @staticmethod
    def forward(
        ctx: Any,
        settings: Settings,
        means: torch.Tensor,
        quats: torch.Tensor | None,
        scales: torch.Tensor | None,
        covars: torch.Tensor | None,
        opacities: torch.Tensor,
        colors: torch.Tensor,
        features: torch.Tensor | None,
        viewmats: torch.Tensor,
        intrinsics: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        s = settings
        given = (means, quats, scales, covars, opacities, colors, features, viewmats, intrinsics)
        inputs = tuple(None if x is None else x.detach().contiguous() for x in given)
        cams, n = viewmats.shape[-3], means.shape[-2]
        n_feats = 0 if features is None else features.shape[-1]
        shape = (*s.batch, cams, s.height, s.width)
        dt = means.dtype
        rgb = torch.empty((*shape, 3), dtype=dt)
        alpha = torch.empty((*shape, 1), dtype=dt)
        depth = torch.empty((*shape, 1), dtype=dt)
        feats = torch.empty((*shape, n_feats), dtype=dt)
        median = torch.empty((*shape, 1), dtype=dt) if s.median else torch.empty((0, 1, 1), dtype=dt)
        radii = torch.empty((*s.batch, cams, n, 2), dtype=torch.int32)
        keep = any(ctx.needs_input_grad)
        images: list[Image] = []
        for at in np.ndindex(s.batch):
            for cam in range(cams):
                args = _one_image(inputs, s.batch, at, cam)
                out = (*at, cam)
                med = median[out].numpy()[..., 0] if s.median else np.empty((1, 1), args["means"].dtype)
                image = _forward_image(
                    args,
                    s,
                    rgb[out].numpy(),
                    alpha[out].numpy()[..., 0],
                    depth[out].numpy()[..., 0],
                    feats[out].numpy(),
                    med,
                )
                radii[out] = torch.from_numpy(image.radii)
                if keep:
                    images.append(image)
        ctx.settings, ctx.images, ctx.cams = s, images, cams
        ctx.save_for_backward(*[x for x in inputs if x is not None], alpha)
        ctx.present = [x is not None for x in inputs]
        ctx.mark_non_differentiable(radii)
        return rgb, alpha, depth, median, feats, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        s: Settings = ctx.settings
        saved = list(ctx.saved_tensors)
        inputs = tuple(saved.pop(0) if there else None for there in ctx.present)
        alpha = saved.pop(0)
        v_rgb, v_alpha, v_depth, v_median, v_feats = (g.contiguous() for g in grads[:5])
        wanted = ctx.needs_input_grad[1:]
        sums = tuple(None if x is None else torch.zeros_like(x) for x in inputs)
        images = iter(ctx.images)
        cams = ctx.cams
        for at in np.ndindex(s.batch):
            for cam in range(cams):
                out = (*at, cam)
                args = _one_image(inputs, s.batch, at, cam)
                into = _one_image(sums, s.batch, at, cam)
                _backward_image(
                    next(images), args, into, s, alpha[out].numpy()[..., 0], v_rgb[out].numpy(),
                    v_alpha[out].numpy()[..., 0],
                    v_depth[out].numpy()[..., 0], v_feats[out].numpy(),
                    v_median[out].numpy()[..., 0] if s.median else np.empty((1, 1), args["means"].dtype),
                )  # fmt: skip
        return (None, *(g if want else None for g, want in zip(sums[:8], wanted[:8], strict=True)), None)


_TRAILING = {
    "means": 2, "quats": 2, "scales": 2, "covars": 3, "opacities": 1, "colors": 2, "features": 2,
    "viewmats": 3, "intr": 2,
}  # fmt: skip


def _one_image(
    tensors: tuple[torch.Tensor | None, ...], batch: tuple[int, ...], at: tuple[int, ...], cam: int
) -> dict[str, NDArray[Any]]:
    """Numpy views of what one image needs; an absent input is an empty array of the right rank."""
    dtype = tensors[0].numpy().dtype if tensors[0] is not None else np.dtype(np.float32)
    empty = {"quats": (0, 4), "scales": (0, 3), "covars": (0, 3, 3), "features": (0, 0)}
    out: dict[str, NDArray[Any]] = {}
    for (name, trailing), x in zip(_TRAILING.items(), tensors, strict=True):
        out[name] = np.empty(empty[name], dtype) if x is None else _slice(x, batch, trailing, at)
    out["view"], out["intr"] = out.pop("viewmats")[cam], out["intr"][cam]
    if tensors[6] is None and tensors[0] is not None:
        out["features"] = np.empty((tensors[0].shape[-2], 0), dtype)
    return out


def _forward_image(
    args: dict[str, NDArray[Any]], s: Settings, rgb: NDArray[Any], alpha: NDArray[Any], depth: NDArray[Any],
    feats: NDArray[Any], median: NDArray[Any],
) -> Image:  # fmt: skip
    rec, rects, radii = project(
        args["means"], args["quats"], args["scales"], args["covars"], args["opacities"], args["colors"], args["view"],
        args["intr"], s,
    )  # fmt: skip
    offsets, ids, starts, slots = bin_tiles(rec, rects, s)
    tiles = offsets.shape[0] - 1
    last = np.empty(tiles * TILE * TILE, np.int32)
    median_last = np.empty(tiles * TILE * TILE if s.median else 1, np.int32)
    tiles_x = -(-s.width // TILE)

    def work(first: int, end: int) -> None:
        kernels_blend.blend_forward(
            first, end, tiles_x, s.width, s.height, rec, args["features"], offsets, ids, s.median,
            rgb, alpha, depth, feats, median, last, median_last,
        )  # fmt: skip

    run_pieces(work, tiles, _TILES_PER_PIECE)
    return Image(rec, rects, radii, offsets, ids, starts, slots, last, median_last)


def _backward_image(
    image: Image, args: dict[str, NDArray[Any]], into: dict[str, NDArray[Any]], s: Settings, alpha: NDArray[Any],
    v_rgb: NDArray[Any], v_alpha: NDArray[Any], v_depth: NDArray[Any], v_feats: NDArray[Any], v_median: NDArray[Any],
) -> None:  # fmt: skip
    dtype = image.rec.dtype
    n_feats = args["features"].shape[1]
    pairs = np.empty((image.ids.shape[0], PAIR_GRADS + n_feats), dtype)
    tiles_x = -(-s.width // TILE)

    def blend(first: int, end: int) -> None:
        kernels_blend.blend_backward(
            first, end, tiles_x, s.width, s.height, image.rec, args["features"], image.offsets, image.ids, s.median,
            alpha, image.last, image.median_last, v_rgb, v_alpha, v_depth, v_feats, v_median, pairs,
        )  # fmt: skip

    run_pieces(blend, image.offsets.shape[0] - 1, _TILES_PER_PIECE)
    carry_back(image.rec, image.rects, image.starts, image.slots, pairs, args, into, s)


def carry_back(
    rec: NDArray[Any], rects: NDArray[np.int32], starts: NDArray[np.int64], slots: NDArray[Any], pairs: NDArray[Any],
    args: dict[str, NDArray[Any]], into: dict[str, NDArray[Any]], s: Settings,
) -> None:  # fmt: skip
    """From the pairs' gradients to those of one image's inputs, added to `into`."""
    dtype = rec.dtype
    n = args["means"].shape[0]
    pieces = -(-n // _GAUSSIANS_PER_PIECE)
    view = args["view"]
    campos = camera_position(view)
    v_views = np.zeros((pieces, 4, 4), dtype)
    v_campos = np.zeros((pieces, 3), dtype)

    def carry(first: int, end: int) -> None:
        piece = first // _GAUSSIANS_PER_PIECE
        kernels_project.project_backward(
            first, end, args["means"], args["quats"], args["scales"], args["covars"], args["covars"].shape[0] > 0,
            args["colors"], s.sh_degree, view, campos, args["intr"], s.width, s.height, dtype.type(s.eps2d),
            s.antialiased, rec, rects, starts, slots, pairs,
            into["means"], into["quats"], into["scales"], into["covars"], into["opacities"], into["colors"],
            into["features"], v_views[piece], v_campos[piece],
        )  # fmt: skip

    run_pieces(carry, n, _GAUSSIANS_PER_PIECE)
    v_view = v_views.sum(axis=0)
    if s.sh_degree > 0:
        # campos = -R^-1 t
        v_t = -np.linalg.solve(view[:3, :3].T.astype(np.float64), v_campos.sum(axis=0).astype(np.float64))
        v_view[:3, :3] += np.outer(v_t, campos).astype(dtype)
        v_view[:3, 3] += v_t.astype(dtype)
    into["view"] += v_view
