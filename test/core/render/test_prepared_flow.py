"""Frames over a prepared background, and optical flow against its analytic value."""

from __future__ import annotations

import pytest
import torch

from pw_core.errors import RenderError
from pw_core.render import rasterize
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from pw_core.render.flow import local_deformations, optical_flow
from pw_core.render.reference import covariances

W, H = 160, 120
K = torch.tensor([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
VIEW = torch.eye(4)


def gaussians(n: int, seed: int, spread: float) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    means = (torch.rand(n, 3, generator=g) - 0.5) * spread + torch.tensor([0.0, 0.0, 2.0])
    return [means, torch.randn(n, 4, generator=g), 0.01 + 0.05 * torch.rand(n, 3, generator=g),
            torch.rand(n, generator=g), torch.rand(n, 3, generator=g)]  # fmt: skip


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


def plate(n: int = 90) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An opaque textured plate of small flat Gaussians facing the camera at 2 m."""
    xs = torch.linspace(-0.3, 0.3, n)
    means = torch.stack([*torch.meshgrid(xs, xs, indexing="xy"), torch.zeros(n, n)], -1).reshape(-1, 3)
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    return (
        means,
        covariances(quats, torch.tensor([0.006, 0.006, 0.001]).expand(len(means), 3)),
        torch.full((n * n,), 0.9),
    )


@pytest.mark.parametrize("given", [True, False])
def test_flow_of_a_moved_turned_and_scaled_plate(given: bool) -> None:
    shape, cov, opacity = plate()
    a = torch.tensor(0.15)
    turn = torch.tensor([[torch.cos(a), -torch.sin(a), 0], [torch.sin(a), torch.cos(a), 0], [0, 0, 1.0]])
    A = 1.08 * turn
    shift = torch.tensor([0.0, 0.0, 2.0])
    move = torch.tensor([0.04, -0.03, 0.05])
    means, after = shape + shift, shape @ A.T + shift + move
    flow = optical_flow(means, cov, after, A @ cov @ A.T, opacity, VIEW[None], K[None], W, H,
                        deformations=A.expand(len(shape), 3, 3) if given else None)  # fmt: skip
    ys, xs = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    world = torch.stack([(xs - 80) / 150 * 2, (ys - 60) / 150 * 2, torch.full_like(xs, 0.0)], -1)
    goal = world @ A.T + shift + move
    truth = torch.stack([goal[..., 0] / goal[..., 2] * 150 + 80 - xs, goal[..., 1] / goal[..., 2] * 150 + 60 - ys], -1)
    seen = flow.forward_visible[0]
    assert 1000 < seen.sum() < W * H / 2
    error = (flow.forward[0] - truth).norm(dim=-1)[seen]
    assert truth[seen].norm(dim=-1).median() > 3
    assert error.median() < 0.05, float(error.median())
    assert error.quantile(0.99) < 0.2, float(error.quantile(0.99))


def test_local_deformations_hold_bodies_apart() -> None:
    """Two blocks that slide past each other, face to face; one also turns. And too few points to say anything."""
    g = torch.Generator().manual_seed(3)
    a = torch.rand(400, 3, generator=g, dtype=torch.float64)
    b = torch.rand(400, 3, generator=g, dtype=torch.float64) + torch.tensor([1.0, 0, 0])
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.4, 0.1], [0.4, 0, 0.2], [-0.1, -0.2, 0]], dtype=torch.float64))
    found = local_deformations(torch.cat([a, b]), torch.cat([a @ (1.1 * turn).T, b + torch.tensor([0, 9.0, 0])]))
    off = torch.linalg.matrix_norm(found - torch.cat([(1.1 * turn).expand(400, 3, 3), torch.eye(3).expand(400, 3, 3)]))
    assert off.max() < 0.02, float(off.max())
    for n in (0, 1, 2):
        few = local_deformations(a[:n], a[:n] + 1)
        torch.testing.assert_close(few, torch.eye(3, dtype=torch.float64).expand(n, 3, 3))


def test_what_gets_covered_is_not_visible() -> None:
    shape, cov, opacity = plate()
    wall, bar = shape + torch.tensor([0.0, 0, 2.4]), shape * 0.4 + torch.tensor([-0.1, 0, 2.0])
    moved = bar + torch.tensor([0.2, 0, 0])
    both = torch.cat([wall, bar]), torch.cat([wall, moved])
    covs, op = torch.cat([cov, cov * 0.16]), torch.cat([opacity, opacity])
    flow = optical_flow(both[0], covs, both[1], covs, op, VIEW[None], K[None], W, H)
    # The wall at the bar's goal is hidden afterwards; the wall far from both stays.
    assert not flow.forward_visible[0, 60, 87:92].any()
    assert flow.forward_visible[0, 47, 75:85].all() and flow.forward[0, 47, 75:85].abs().max() < 0.05
    # Where the bar was, the second picture shows wall that the first did not.
    assert not flow.backward_visible[0, 60, 66:72].any()


def test_what_is_behind_the_camera_or_thin_spoils_no_flow() -> None:
    """Neither is drawn, or hardly; a matrix of theirs once had no inverse in float32."""
    means, covs, opacity = plate()
    means = means + torch.tensor([0.0, 0.0, 2.0])
    extra = torch.tensor([[-0.16, 0.06, -0.2], [0.3, 0.1, -1e-3], [0.0, 0.0, 0.0], [0.9, 0.9, 2.0], [0.1, 0.1, 2.0]])
    thin = torch.diag(torch.tensor([1e-4, 0.0, 0.0]))
    round_ = 3e-5 * torch.eye(3)
    more = torch.cat([means, extra]), torch.cat([covs, torch.stack([round_, round_, round_, thin, 0 * thin])])
    both = torch.cat([opacity, torch.full((5,), 0.5)])
    move = torch.tensor([0.05, 0.0, 0.0])
    plain = optical_flow(means, covs, means + move, covs, opacity, VIEW[None], K[None], W, H)
    flow = optical_flow(more[0], more[1], more[0] + move, more[1], both, VIEW[None], K[None], W, H)
    assert flow.forward.isfinite().all() and flow.backward.isfinite().all()
    seen = plain.forward_visible[0] & flow.forward_visible[0]
    assert seen.sum() > 0.9 * plain.forward_visible.sum()
    assert (flow.forward - plain.forward)[0][seen].abs().quantile(0.99) < 0.05


def test_compiling_ahead_leaves_nothing_to_compile() -> None:
    from pw_core import skinning as moving
    from pw_core.render.kernels import bin as kernels_bin
    from pw_core.render.kernels import blend as kernels_blend
    from pw_core.render.kernels import project as kernels_project
    from pw_core.render.warm import compile_kernels

    assert compile_kernels() > 0
    kernels = [
        kernels_blend.blend_forward, kernels_blend.blend_backward, kernels_project.project_forward,
        kernels_project.project_backward, kernels_bin.radix_order, kernels_bin.count_tiles,
        kernels_bin.places_of, kernels_bin.fill_tiles, kernels_bin.merge_tiles, moving._deform_all, moving._follow_all,
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
