"""Agreement with gsplat: its plain torch projection and harmonics everywhere, its kernels where CUDA is."""

from __future__ import annotations

import pytest
import torch

from pw_core.render import rasterize, reference
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from pw_core.render.chunks import sum_over_frames

gsplat_torch = pytest.importorskip("gsplat.cuda._torch_impl")


def scene(n: int = 500) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    # Wide enough: some lie outside the field of view, where the Jacobian's clamp matters.
    means = torch.randn(n, 3, generator=g) * 1.2 + torch.tensor([0.0, 0.0, 2.5])
    return {"means": means, "quats": torch.randn(n, 4, generator=g),
            "scales": torch.rand(n, 3, generator=g) * 0.2 + 0.01,
            "opacities": torch.rand(n, generator=g) * 0.9 + 0.1, "colors": torch.rand(n, 3, generator=g)}  # fmt: skip


K = torch.tensor([[150.0, 0, 75], [0, 140, 66], [0, 0, 1]])


def test_projection_agrees_with_gsplats_torch_code() -> None:
    s = scene()
    covars = reference.covariances(s["quats"], s["scales"])
    view = torch.eye(4)
    view[:3, 3] = torch.tensor([0.1, -0.2, 0.3])
    theirs = gsplat_torch._fully_fused_projection(
        s["means"], covars, view[None], K[None], 160, 120, eps2d=0.3, near_plane=0.01, far_plane=1e10,
        calc_compensations=True,
    )  # fmt: skip
    radii, means2d, depths, conics, compensations = (x[0] for x in theirs)
    ours = reference.project(s["means"], covars, s["opacities"], view, K, 160, 120, near=0.01, far=1e10, eps2d=0.3,
                             radius_clip=0.0, antialiased=True)  # fmt: skip
    drawn = ours.drawn & (radii > 0).all(-1)
    assert drawn.sum() > 150
    torch.testing.assert_close(ours.means2d[drawn], means2d[drawn], rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(ours.depths[drawn], depths[drawn])
    flat = torch.stack([ours.conics[:, 0, 0], ours.conics[:, 0, 1], ours.conics[:, 1, 1]], -1)
    torch.testing.assert_close(flat[drawn], conics[drawn], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close((ours.opacities / s["opacities"])[drawn], compensations[drawn], rtol=1e-3, atol=1e-4)


def test_harmonics_agree_with_gsplats_torch_code() -> None:
    g = torch.Generator().manual_seed(1)
    directions, sh = torch.randn(50, 3, generator=g), torch.randn(50, 16, 3, generator=g)
    for degree in range(4):
        theirs = gsplat_torch._spherical_harmonics(degree, directions, sh)
        torch.testing.assert_close(reference.sh_colors(sh, directions, degree), (theirs + 0.5).clamp_min(0))


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("harmonics", [False, True])
def test_pictures_and_gradients_agree_with_gsplats_kernels(harmonics: bool) -> None:
    s = scene()
    if harmonics:
        s["colors"] = torch.randn(500, 16, 3) * 0.3
    s["features"] = torch.rand(500, 2)
    results = []
    for device in ("cpu", "cuda"):
        leaves = {k: v.to(device).requires_grad_() for k, v in s.items()}
        r = rasterize(**leaves, viewmats=torch.eye(4, device=device)[None], Ks=K[None].to(device), width=160,
                      height=120, sh_degree=3 if harmonics else None, render_depth="expected")  # fmt: skip
        assert r.depth is not None and r.features is not None
        loss = (r.rgb**2).sum() + r.alpha.sum() + (r.depth * (r.alpha.detach() > 0.5)).sum() + (r.features**2).sum()
        grads = torch.autograd.grad(loss, list(leaves.values()))
        results.append(
            (r.rgb.detach().cpu(), r.alpha.detach().cpu(), r.features.detach().cpu(), [g.cpu() for g in grads])
        )
    for a, b in zip(results[0][:3], results[1][:3], strict=True):
        assert (a - b).abs().max() < 1e-2 and (a - b).abs().mean() < 1e-4
    for name, a, b in zip(s, results[0][3], results[1][3], strict=True):
        assert torch.linalg.norm(a - b) < 2e-3 * torch.linalg.norm(b), name


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("mixed", [False, True])
def test_frames_over_a_background_agree_with_the_cpu(mixed: bool) -> None:
    """Batched frames, two cameras, runs of frames, colours of the background; `mixed`: covariances over axes."""
    back, lump = scene(300), {k: v[:60] for k, v in scene(500).items()}
    lump["scales"] = lump["scales"] * 0.3
    moves = torch.linspace(0, 0.2, 5)[:, None, None]
    views = torch.eye(4).repeat(2, 1, 1)
    views[1, 0, 3] = 0.2
    features = torch.rand(60, 2)
    results = []
    for device in ("cpu", "cuda"):
        b, f = ({k: v.to(device) for k, v in s.items()} for s in (back, lump))
        cameras = [prepare(**b, viewmat=v, K=K.to(device), width=160, height=120) for v in views.to(device)]
        covars = reference.covariances(f["quats"], f["scales"])
        leaves = [x.clone().requires_grad_() for x in
                  (f["means"] + moves.to(device), f["opacities"], f["colors"], b["colors"])]  # fmt: skip

        def loss(frames: slice, means, opacities, colors, ground):  # type: ignore[no-untyped-def]
            axes = (None, None) if mixed else (f["quats"], f["scales"])  # noqa: B023
            r = rasterize_over(cameras, means, *axes, opacities, colors, covars=covars if mixed else None,  # noqa: B023
                               features=features.to(means), render_depth="expected",
                               background_colors=ground)  # fmt: skip
            assert r.features is not None and r.depth is not None
            parts = (r.rgb**2).sum() + (r.features**2).sum() + (r.depth * (r.alpha.detach() > 0.5)).sum()
            return parts * 1e-3

        total = sum_over_frames(loss, framed=leaves[:1], shared=leaves[1:], chunk=2)
        results.append((total.detach().cpu(), [g.cpu() for g in torch.autograd.grad(total, leaves)]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-3, atol=0)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert torch.linalg.norm(a - b) < 5e-3 * torch.linalg.norm(b)
