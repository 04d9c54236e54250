"""The CUDA path: the same inputs and outputs through gsplat 1.5.3, frames and cameras in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.checks import Inputs


def rasterize_gsplat(
    inputs: Inputs,
    *,
    depth: bool,
    near: float,
    far: float,
    eps2d: float,
    antialiased: bool,
    radius_clip: float,
    median: bool,
) -> tuple[Tensor, Tensor, Tensor | None, None, Tensor | None, Tensor]:
    """Colour [..., C, H, W, 3], alpha, sum of weight times depth, (empty) median, features and radii; see
    `rasterize`."""
    if median:
        raise RenderError(
            "render_depth 'median': gsplat's 3D Gaussian kernels have none; use 'expected', or backend 'cpu'"
        )
    if inputs.means.dtype != torch.float32:
        raise RenderError(f"means: backend 'gsplat' draws float32 only, got {inputs.means.dtype}")
    try:
        from gsplat import rasterization, spherical_harmonics
    except ImportError as error:
        raise RenderError(
            f"backend 'gsplat' needs the package gsplat 1.5.3 (pip install gsplat==1.5.3): {error}"
        ) from error
    i, b = inputs, inputs.batch
    n, c = i.means.shape[-2], i.viewmats.shape[-3]

    def full(x: Tensor | None, trailing: int) -> Tensor | None:
        if x is None or (x.dim() == len(b) + trailing and x.shape[: len(b)] == b and x.is_contiguous()):
            return x
        return x.expand(*b, *x.shape[x.dim() - trailing :]).contiguous()

    means, views = full(i.means, 2), full(i.viewmats, 3)
    colors, sh_degree = full(i.colors, 2 if i.sh_degree is None else 3), i.sh_degree
    assert means is not None and views is not None and colors is not None
    if i.features is not None:
        feats = full(i.features, 2)
        assert feats is not None
        if sh_degree is not None:
            # Harmonics depend on the camera and features do not: evaluate the first, then blend both as plain channels.
            campos = -torch.linalg.solve(views[..., :3, :3], views[..., :3, 3:])[..., 0]
            dirs = means[..., None, :, :] - campos[..., None, :]
            sh = colors[..., None, :, :, :].expand(*b, c, n, *colors.shape[-2:])
            colors = torch.clamp_min(spherical_harmonics(sh_degree, dirs.contiguous(), sh.contiguous()) + 0.5, 0.0)
            feats, sh_degree = feats[..., None, :, :].expand(*b, c, n, feats.shape[-1]), None
        colors = torch.cat([colors, feats], -1)
    pictures, alpha, meta = rasterization(
        means, full(i.quats, 2), full(i.scales, 2), full(i.opacities, 1), colors, views, full(i.Ks, 3), i.width,
        i.height,
        near_plane=near, far_plane=far, radius_clip=radius_clip, eps2d=eps2d, sh_degree=sh_degree, packed=False,
        render_mode="RGB+D" if depth else "RGB", rasterize_mode="antialiased" if antialiased else "classic",
        covars=full(i.covars, 3),
    )  # fmt: skip
    # Each slice costs microseconds, which count beside a frame of half a millisecond.
    if not depth and i.features is None:
        return pictures, alpha, None, None, None, meta["radii"]
    end = pictures.shape[-1] - depth
    depth_sum = pictures[..., end:] if depth else None
    return pictures[..., :3], alpha, depth_sum, None, pictures[..., 3:end], meta["radii"]
