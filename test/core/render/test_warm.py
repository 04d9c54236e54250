"""What is compiled ahead is all that pictures need."""

from __future__ import annotations

import torch

from pw_core import skinning
from pw_core.render import rasterize
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from pw_core.render.kernels import bin as kernels_bin
from pw_core.render.kernels import blend as kernels_blend
from pw_core.render.kernels import project as kernels_project
from pw_core.render.reference import covariances
from pw_core.render.warm import compile_kernels
from support.gaussian_sets import VIEW, H, K, W, gaussians


def test_compiling_ahead_leaves_nothing_to_compile() -> None:
    assert compile_kernels() > 0
    kernels = [
        kernels_blend.blend_forward, kernels_blend.blend_backward, kernels_project.project_forward,
        kernels_project.project_backward, kernels_bin.radix_order, kernels_bin.count_tiles,
        kernels_bin.places_of, kernels_bin.fill_tiles, kernels_bin.merge_tiles,
        skinning._deform_all, skinning._follow_all,
    ]  # fmt: skip
    before = [len(k.signatures) for k in kernels]
    assert min(before) >= 1
    # What a fit and a node draw: harmonics and given covariances, with gradients, and frames over a background.
    means, quats, scales, opacities, _ = gaussians(20, 3, 0.5)
    covars, sh = covariances(quats, scales).requires_grad_(), torch.zeros(20, 16, 3, requires_grad=True)
    r = rasterize(
        means, None, None, opacities, sh, VIEW[None], K[None], W, H, covars=covars, sh_degree=3, render_depth="expected"
    )
    r.rgb.sum().backward()
    prepared = prepare(means, None, None, opacities, sh, VIEW, K, W, H, covars=covars, sh_degree=3)
    rasterize_over(prepared, means, None, None, opacities, sh, covars=covars, sh_degree=3, render_depth="expected")
    assert [len(k.signatures) for k in kernels] == before
