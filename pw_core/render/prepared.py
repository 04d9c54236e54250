"""A static background drawn once: later frames through the same camera pay for their foreground alone.

`prepare` projects, sorts, bins and blends the background. `rasterize_over` projects the frame's foreground, merges it
by depth
into the tile lists it touches, and blends those tiles again; every other tile is the background's, copied. The result
has the
same bits as `rasterize` of both sets together. For pictures, not for gradients: fitting goes through `rasterize`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.checks import check_inputs
from pw_core.render.rasterize import Rendered, rasterize


@dataclass(frozen=True)
class Prepared:
    """A camera's view of a background; opaque, made by `prepare`. `parts` holds its inputs where CUDA draws."""

    viewmat: Tensor
    K: Tensor
    width: int
    height: int
    options: dict[str, Any]
    parts: dict[str, Tensor | None]
    settings: Any
    rec: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    rgb: NDArray[Any]
    alpha: NDArray[Any]
    depth: NDArray[Any]


def prepare(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    viewmat: Tensor,
    K: Tensor,
    width: int,
    height: int,
    *,
    covars: Tensor | None = None,
    sh_degree: int | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    antialiased: bool = False,
    radius_clip: float = 0.0,
) -> Prepared:
    """The background as camera `viewmat` (4, 4), `K` (3, 3) sees it; the arguments are those of `rasterize`, without
    [...].

    Raises:
        pw_core.errors.RenderError: as `rasterize`, and when the Gaussians have leading dimensions.
    """
    from pw_core.render import cpu

    options = {"near": near, "far": far, "eps2d": eps2d, "antialiased": antialiased, "radius_clip": radius_clip}
    parts = {
        "means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors, "covars": covars,
    }  # fmt: skip
    none, no_lists = np.empty(0), (np.empty(0, np.int64), np.empty(0, np.int32))
    if means.is_cuda:
        parts = {k: None if v is None else v.detach() for k, v in parts.items()}
        return Prepared(viewmat, K, width, height, {**options, "sh_degree": sh_degree}, parts, None, none,
                        *no_lists, none, none, none)  # fmt: skip
    args, settings = _checked(parts, sh_degree, viewmat, K, width, height, options)
    shape = (height, width)
    dtype = args["means"].dtype
    rgb, alpha, depth = np.empty((*shape, 3), dtype), np.empty(shape, dtype), np.empty(shape, dtype)
    image = cpu._forward_image(args, settings, rgb, alpha, depth, np.empty((*shape, 0), dtype), np.empty((1, 1), dtype))
    return Prepared(
        viewmat, K, width, height, options, {}, settings, image.rec, image.offsets, image.ids, rgb, alpha, depth
    )


def rasterize_over(
    prepared: Prepared,
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    *,
    covars: Tensor | None = None,
    sh_degree: int | None = None,
    render_depth: Literal["expected"] | None = None,
    background: Tensor | None = None,
) -> Rendered:
    """One frame: the foreground (arguments as in `rasterize`, without [...]) with the prepared background, no
    gradients.

    Returns pictures [1, H, W, channels] of the one camera; `radii` [1, N, 2] are the foreground's.
    """
    from pw_core.render import cpu, kernels_bin, kernels_blend

    p = prepared
    if render_depth not in (None, "expected"):
        raise RenderError(f"render_depth: expected None or 'expected' over a prepared background, got {render_depth!r}")
    parts = {
        "means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors, "covars": covars,
    }  # fmt: skip
    if means.is_cuda:
        with torch.no_grad():
            return _on_cuda(p, parts, sh_degree, render_depth, background)
    args, settings = _checked(parts, sh_degree, p.viewmat, p.K, p.width, p.height, p.options)
    rec, rects, radii = cpu.project(
        args["means"], args["quats"], args["scales"], args["covars"], args["opacities"], args["colors"], args["view"],
        args["intr"], settings,
    )  # fmt: skip
    offsets, ids, _, _ = cpu.bin_tiles(rec, rects, settings)
    merged, merged_offsets, touched = kernels_bin.merge_tiles(p.offsets, p.ids, p.rec, offsets, ids, rec)
    both = np.concatenate([p.rec, rec])
    dtype = both.dtype
    rgb, alpha, depth = p.rgb.copy(), p.alpha.copy(), p.depth.copy()
    feats, no_feats = np.empty((p.height, p.width, 0), dtype), np.empty((both.shape[0], 0), dtype)
    tiles_x = -(-p.width // kernels_blend.TILE)
    last = np.empty((offsets.shape[0] - 1) * kernels_blend.TILE**2, np.int32)
    spare, one = np.empty((1, 1), dtype), np.empty(1, np.int32)

    def work(first: int, end: int) -> None:
        for tile in touched[first:end]:
            kernels_blend.blend_forward(
                tile, tile + 1, tiles_x, p.width, p.height, both, no_feats, merged_offsets, merged, False,
                rgb, alpha, depth, feats, spare, last, one,
            )  # fmt: skip

    cpu.run_pieces(work, len(touched), 16)
    rgb_t, alpha_t = torch.from_numpy(rgb)[None], torch.from_numpy(alpha)[None, ..., None]
    depth_t = None
    if render_depth == "expected":
        depth_t = torch.from_numpy(depth)[None, ..., None] / alpha_t.clamp_min(1e-10)
    if background is not None:
        rgb_t = rgb_t + (1 - alpha_t) * background
    return Rendered(rgb=rgb_t, alpha=alpha_t, depth=depth_t, features=None, radii=torch.from_numpy(radii)[None])


def _checked(
    parts: dict[str, Tensor | None],
    sh_degree: int | None,
    viewmat: Tensor,
    K: Tensor,
    width: int,
    height: int,
    options: dict[str, Any],
) -> tuple[dict[str, NDArray[Any]], Any]:
    from pw_core.render import cpu

    means, opacities, colors = parts["means"], parts["opacities"], parts["colors"]
    assert means is not None and opacities is not None and colors is not None
    i = check_inputs(
        means, parts["quats"], parts["scales"], parts["covars"], opacities, colors, sh_degree, None, viewmat[None],
        K[None], width, height, None, None, "cpu",
    )  # fmt: skip
    if i.batch or i.n_colors != 3:
        raise RenderError("a prepared background takes one set of Gaussians with three colour channels")
    settings = cpu.Settings(batch=(), width=width, height=height, sh_degree=-1 if sh_degree is None else sh_degree,
                            median=False, **options)  # fmt: skip
    intr = torch.stack([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])[None]
    given = (
        i.means, i.quats, i.scales, i.covars, i.opacities, i.colors if sh_degree is None else i.colors.flatten(-2),
        None, i.viewmats, intr,
    )  # fmt: skip
    tensors = tuple(None if x is None else x.detach().contiguous() for x in given)
    return cpu._one_image(tensors, (), (), 0), settings


def _on_cuda(
    p: Prepared,
    parts: dict[str, Tensor | None],
    sh_degree: int | None,
    render_depth: Literal["expected"] | None,
    background: Tensor | None,
) -> Rendered:
    """gsplat's projection and sort cost less than a merge would: draw both sets together."""
    options = dict(p.options)
    if options.pop("sh_degree") != sh_degree:
        raise RenderError(
            f"sh_degree: background and foreground must agree on CUDA, got {p.options['sh_degree']} and {sh_degree}"
        )
    joined: dict[str, Any] = {}
    for name, front in parts.items():
        back = p.parts[name]
        if (front is None) != (back is None):
            raise RenderError(f"{name}: background and foreground must both have it, or neither")
        joined[name] = None if front is None or back is None else torch.cat([back, front])
    r = rasterize(viewmats=p.viewmat[None], Ks=p.K[None], width=p.width, height=p.height, sh_degree=sh_degree,
                  render_depth=render_depth, background=background, **joined, **options)  # fmt: skip
    back_means = p.parts["means"]
    assert back_means is not None
    return Rendered(r.rgb, r.alpha, r.depth, None, r.radii[:, back_means.shape[0] :])
