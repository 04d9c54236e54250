"""`rasterize`: Gaussians to pictures, on whatever the tensors and the machine allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.checks import Arguments, Inputs, Options, check_inputs

Backend = Literal["auto", "cpu", "gsplat", "reference"]
Model = Literal["3dgs", "2dgs"]


@dataclass(frozen=True)
class Rendered:
    """Pictures of shape [..., C, H, W, channels].

    rgb: 3 channels (D when `colors` has D); alpha: 1, how much of the pixel is covered, 0 to 1; depth [m]: 1, along
    the camera's axis, 0 where nothing is seen, None when not asked for; features: F, None when none were given. radii
    [px], shape [..., C, N, 2]: half extents of each Gaussian's box, 0 where it is not drawn; carries no gradient.
    cover: 1, how much of the pixel the foreground covers over a prepared background, None when not asked for; carries
    no gradient.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor | None
    features: Tensor | None
    radii: Tensor
    cover: Tensor | None = None


def rasterize(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    covars: Tensor | None = None,
    sh_degree: int | None = None,
    features: Tensor | None = None,
    render_depth: Literal["expected", "median"] | None = None,
    background: Tensor | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    antialiased: bool = False,
    radius_clip: float = 0.0,
    model: Model = "3dgs",
    backend: Backend = "auto",
) -> Rendered:
    """Draw 3D Gaussians, or flat ones. Differentiable in every tensor but `Ks`; leading dimensions [...] broadcast
    against each other.

    Args:
        means: centres [m], shape [..., N, 3].
        quats: axes, wxyz, need not be of unit length, shape [..., N, 4]; None with `covars`.
        scales: standard deviations along the axes [m] (not their logarithms), shape [..., N, 3]; None with `covars`.
        opacities: 0 to 1 (not logits), shape [..., N].
        colors: shape [..., N, D], or spherical harmonics [..., N, K, 3] with `sh_degree`; then colour = 0.5 + sum, at
        least 0.
        viewmats: world to camera (x right, y down, z forward), shape [..., C, 4, 4].
        Ks: intrinsics [px], shape [..., C, 3, 3]; pixel (column i, row j) is centred on (i + 0.5, j + 0.5).
        width, height: size of the pictures [px].
        covars: covariances [m^2], shape [..., N, 3, 3], instead of quats and scales; the upper triangle counts.
        sh_degree: 0 to 3; how many of the given bands to use.
        features: more channels to blend, shape [..., N, F].
        render_depth: "expected" (weighted mean) or "median" (depth of the Gaussian at which transmittance passes one
            half; its gradient goes to that Gaussian's depth). gsplat's 3DGS has no median depth: that backend then
            raises; its 2DGS has.
        background: colour behind everything, broadcastable to [..., C, H, W, D] from the right: [D], or whole pictures.
        near, far: depths [m] outside which a Gaussian is left out.
        eps2d: blur added to the projected covariance [px^2]; 2DGS has a fixed one (half a pixel's variance) instead.
        antialiased: scale opacity by what the blur adds (Yu et al. 2024, "Mip-Splatting"). 2DGS has none: raises.
        radius_clip: leave out Gaussians whose half extents are not above this [px].
        model: "3dgs", or "2dgs": each Gaussian is a disc in the plane of its first two axes (the third scale is not
            used; of `covars` the two larger axes count), met by each pixel's ray where it passes. Drawn by "gsplat"
            and "reference"; the CPU kernels have none and raise. gsplat's depth of a surfel is its centre's.
        backend: "cpu" (our kernels), "gsplat" (CUDA), "reference" (slow, plain torch); "auto" takes gsplat for CUDA
            tensors and the CPU kernels otherwise.

    Raises:
        pw_core.errors.RenderError: an argument has the wrong shape, type or device; says which, where, and what was
            expected.
    """
    inputs = check_inputs(Arguments(
        means, quats, scales, covars, opacities, colors, sh_degree, features, viewmats, Ks, width, height, render_depth,
        background, backend, model,
    ))  # fmt: skip
    if antialiased and model == "2dgs":
        raise RenderError("antialiased: model '2dgs' has a screen-space filter of its own; leave it False")
    options = Options(near, far, eps2d, antialiased, radius_clip)
    rgb, alpha, depth_sum, median, extra, radii = _drawn(inputs, options, render_depth)
    depth: Tensor | None = None
    if render_depth == "expected" and depth_sum is not None:
        depth = depth_sum / alpha.clamp_min(1e-10)
    elif render_depth == "median":
        depth = median
    if inputs.extra_colors and extra is not None:
        rgb, extra = torch.cat([rgb, extra[..., : inputs.extra_colors]], -1), extra[..., inputs.extra_colors :]
    if inputs.n_colors < 3:
        rgb = rgb[..., : inputs.n_colors]
    if background is not None:
        rgb = rgb + (1 - alpha) * background
    return Rendered(rgb=rgb, alpha=alpha, depth=depth, features=None if features is None else extra, radii=radii)


def _drawn(
    inputs: Inputs, options: Options, depth: str | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """Three channels of colour, alpha, sum of weight times depth, median depth, further channels, radii."""
    wants_median = depth == "median"
    if inputs.backend == "gsplat":
        from pw_core.render.gsplat_backend import rasterize_gsplat

        return rasterize_gsplat(inputs, options, depth=depth is not None, median=wants_median)
    if inputs.backend == "reference":
        return _by_reference(inputs, options)
    from pw_core.render.cpu import Rasterize
    from pw_core.render.image import for_kernels

    settings, tensors = for_kernels(inputs, options, median=wants_median)
    drawn: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor] = Rasterize.apply(settings, *tensors)
    return drawn


def _by_reference(inputs: Inputs, o: Options) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    import numpy as np

    from pw_core.render import reference

    b, n, c = inputs.batch, inputs.means.shape[-2], inputs.viewmats.shape[-3]
    covars, axes = inputs.covars, (inputs.quats, inputs.scales)
    if inputs.model == "2dgs" and covars is not None:
        from pw_core.render.surfels import axes_of

        axes = axes_of(covars)
    quats, scales = axes
    if inputs.model == "3dgs" and covars is None:
        assert quats is not None and scales is not None
        covars = reference.covariances(quats, scales)

    def shape_at(at: tuple[int, ...]) -> Tensor | tuple[Tensor, Tensor]:
        if inputs.model == "3dgs":
            assert covars is not None
            return covars.expand(*b, n, 3, 3)[at]
        assert quats is not None and scales is not None
        return quats.expand(*b, n, 4)[at], scales.expand(*b, n, 3)[at]

    means = inputs.means.expand(*b, n, 3)
    opacities = inputs.opacities.expand(*b, n)
    colors = inputs.colors.expand(*b, *inputs.colors.shape[-2 if inputs.sh_degree is None else -3 :])
    features = None if inputs.features is None else inputs.features.expand(*b, *inputs.features.shape[-2:])
    views, ks = inputs.viewmats.expand(*b, c, 4, 4), inputs.Ks.expand(*b, c, 3, 3)
    images = [
        reference.rasterize_one(
            means[at], shape_at(at), opacities[at], colors[at], None if features is None else features[at],
            views[at][cam], ks[at][cam], inputs.width, inputs.height, sh_degree=inputs.sh_degree, near=o.near,
            far=o.far, eps2d=o.eps2d, radius_clip=o.radius_clip, antialiased=o.antialiased,
        )
        for at in np.ndindex(b)
        for cam in range(c)
    ]  # fmt: skip
    rgb, alpha, depth_sum, median, extra, radii = (
        torch.stack(parts).reshape(*b, c, *parts[0].shape) for parts in zip(*images, strict=True)
    )
    return rgb, alpha, depth_sum, median, extra, radii
