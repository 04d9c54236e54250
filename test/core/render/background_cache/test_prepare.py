"""Frames over a prepared background have the bits, and gradients, of drawing both."""

from __future__ import annotations

import pytest
import torch

from pw_core.errors import RenderError
from pw_core.render import rasterize
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from support.gaussian_sets import VIEW, H, K, W, gaussians


def test_frames_over_a_prepared_background_equal_drawing_both() -> None:
    back = gaussians(800, 0, 2.0)
    prepared = prepare(*back, VIEW, K, W, H)
    untouched = 0
    for seed in (1, 2):
        front = gaussians(60, seed, 0.4)
        joined = [torch.cat(pair) for pair in zip(back, front, strict=True)]
        whole = rasterize(*joined, VIEW[None], K[None], W, H, render_depth="expected", background=torch.ones(3))
        over = rasterize_over(prepared, *front, render_depth="expected", background=torch.ones(3))
        assert torch.equal(over.rgb, whole.rgb) and torch.equal(over.alpha, whole.alpha)
        assert over.depth is not None and whole.depth is not None and torch.equal(over.depth, whole.depth)
        alone = rasterize(*back, VIEW[None], K[None], W, H, background=torch.ones(3))
        untouched += int((alone.rgb == over.rgb).all(-1).sum())
        assert not torch.equal(alone.rgb, over.rgb)
    assert untouched > 0
    with pytest.raises(RenderError, match="one set"):
        prepare(*[x.expand(2, *x.shape) for x in gaussians(5, 0, 1.0)], VIEW, K, W, H)
    with pytest.raises(RenderError, match="agree in size"):
        rasterize_over([prepared, prepare(*back, VIEW, K, W, H + 1)], *gaussians(5, 0, 1.0))
    with pytest.raises(RenderError, match="background_colors: expected"):
        rasterize_over(prepared, *gaussians(5, 0, 1.0), background_colors=torch.zeros(3, 3))


def test_cover_is_what_ones_blended_beside_the_foreground_s_colours_come_to() -> None:
    prepared = prepare(*gaussians(800, 0, 2.0), VIEW, K, W, H)
    for seed, size in ((1, 0.4), (2, 3.0)):  # in few tiles; in all, before and behind what is still
        front = gaussians(60, seed, size)
        marks = torch.rand(60, 2, generator=torch.Generator().manual_seed(seed))
        ones = rasterize_over(prepared, *front, features=torch.ones(60, 1))
        assert ones.features is not None and ones.features.max() > 0.5 and ones.cover is None
        both = rasterize_over(prepared, *front, features=marks, cover=True)
        assert both.cover is not None and both.features is not None and both.features.shape[-1] == 2
        torch.testing.assert_close(both.cover, ones.features, rtol=0, atol=1e-6)
        assert torch.equal(both.rgb, ones.rgb) and torch.equal(both.alpha, ones.alpha)


@pytest.mark.parametrize("harmonics", [False, True])
def test_gradients_over_a_prepared_background_equal_drawing_both(harmonics: bool) -> None:
    """Three frames through two cameras: foreground and background colours, features, depth, a colour behind all."""
    degree = 1 if harmonics else None
    back, front = ([x.double() for x in gaussians(*a)] for a in ((300, 0, 2.0), (40, 1, 0.4)))
    g = torch.Generator().manual_seed(7)
    if harmonics:
        back[4], front[4] = (torch.randn(n, 4, 3, generator=g, dtype=torch.float64) * 0.4 for n in (300, 40))
    turned = torch.eye(4, dtype=torch.float64)
    turned[:3, 3] = torch.tensor([0.3, -0.1, 0.1])
    views, k = [VIEW.double(), turned], K.double()
    moves = torch.tensor([[0.0, 0, 0], [0.2, 0, 0.5], [-0.3, 0.1, -0.4]], dtype=torch.float64)[:, None]
    feats = torch.rand(40, 2, generator=g, dtype=torch.float64)
    cameras = [prepare(*back, v, k, W, H, sh_degree=degree) for v in views]
    results = []
    for over in (True, False):
        means = (front[0] + moves).requires_grad_()
        rest = [x.clone().requires_grad_() for x in front[1:]]
        still, f = back[4].clone().requires_grad_(), feats.clone().requires_grad_()
        behind = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
        if over:
            r = rasterize_over(cameras, means, *rest, sh_degree=degree, features=f, render_depth="expected",
                               background=behind, background_colors=still)  # fmt: skip
        else:
            joined = [torch.cat([a.expand(3, *a.shape), b.expand(3, *(b.shape[-a.dim():]))], 1)
                      for a, b in zip([*back[:4], still], [means, *rest], strict=True)]  # fmt: skip
            wide = torch.cat([torch.zeros(300, 2, dtype=torch.float64), f])
            r = rasterize(*joined, torch.stack(views), k.repeat(2, 1, 1), W, H, sh_degree=degree, features=wide,
                          render_depth="expected", background=behind)  # fmt: skip
        assert r.depth is not None and r.features is not None and r.rgb.shape == (3, 2, H, W, 3)
        parts = [r.rgb, r.alpha, r.depth, r.features]
        mix = [torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape) for x in parts]
        loss = sum((x * m).sum() for x, m in zip(parts, mix, strict=True))
        assert isinstance(loss, torch.Tensor)
        grads = torch.autograd.grad(loss, [means, *rest, still, f, behind])
        results.append((parts, grads))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(a, b) or harmonics  # harmonics are evaluated by torch, not by the kernel
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max()))
