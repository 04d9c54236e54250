"""2D Gaussians: the slow reference against what can be worked out by hand and gsplat's torch code, and gsplat's CUDA
kernels against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pw_core.errors import RenderError
from pw_core.render import Rendered, rasterize
from pw_core.render.projected import quats_to_rotations
from pw_core.render.reference import covariances
from pw_core.render.surfels import axes_of, project

W, H = 80, 60


def scene(n: int = 150, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)
    means = torch.rand(n, 3, generator=g) * torch.tensor([1.6, 1.2, 1.0]) + torch.tensor([-0.8, -0.6, 1.5])
    K = torch.tensor([[90.0, 0, 41], [0, 85, 29], [0, 0, 1]])
    view = torch.eye(4).repeat(2, 1, 1)
    c, s = torch.cos(torch.tensor(0.2)), torch.sin(torch.tensor(0.2))
    view[1, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    view[1, :3, 3] = torch.tensor([-0.3, 0.05, 0.1])
    tensors = {
        "means": means, "quats": torch.randn(n, 4, generator=g), "scales": torch.rand(n, 3, generator=g) * 0.06 + 0.06,
        "opacities": torch.rand(n, generator=g) * 0.7 + 0.2, "colors": torch.rand(n, 3, generator=g),
        "viewmats": view, "Ks": K.repeat(2, 1, 1),
    }  # fmt: skip
    return {**{k: v.to(dtype) for k, v in tensors.items()}, "width": W, "height": H, "model": "2dgs"}


def draw(args: dict[str, Any], **more: Any) -> Rendered:
    return rasterize(**{**args, **more})


def test_a_surfel_is_what_a_ray_meets_in_its_plane() -> None:
    turn, scale, opacity = torch.tensor(0.9), torch.tensor([0.3, 0.2, 1.0]), 0.8
    quat = torch.tensor([torch.cos(turn / 2), 0.0, torch.sin(turn / 2), 0.0])
    args = scene(1)
    args |= {"means": torch.tensor([[0.1, -0.05, 2.0]]), "quats": quat[None], "scales": scale[None],
             "opacities": torch.tensor([opacity]), "colors": torch.ones(1, 3)}  # fmt: skip
    r = draw(args, backend="reference", render_depth="expected")
    axes = quats_to_rotations(quat)
    K = args["Ks"][0]
    for x, y in ((41, 29), (50, 20), (30, 33)):
        ray = torch.linalg.solve(K, torch.tensor([x + 0.5, y + 0.5, 1.0]))
        hit = ray * (axes[:, 2] @ args["means"][0]) / (axes[:, 2] @ ray)
        uv = (hit - args["means"][0]) @ axes[:, :2] / scale[:2]
        want = opacity * torch.exp(-0.5 * (uv**2).sum())
        assert want > 0.02
        torch.testing.assert_close(r.alpha[0, y, x, 0], want, rtol=1e-4, atol=1e-5)
    assert r.depth is not None
    torch.testing.assert_close(r.depth[0, 29, 41, 0], torch.tensor(2.0))


def test_seen_edge_on_a_surfel_is_a_blot_of_a_pixel() -> None:
    args = scene(1)
    half = torch.tensor(torch.pi / 4)
    args |= {"means": torch.tensor([[0.0, 0.0, 2.0]]), "scales": torch.full((1, 3), 0.2), "colors": torch.ones(1, 3),
             "quats": torch.tensor([[torch.cos(half), 0.0, torch.sin(half), 0.0]]), "opacities": torch.ones(1)}
    alpha = draw(args, backend="reference").alpha[0, :, :, 0]
    assert alpha[29, 40] > 0.5 and alpha[29, 36] == 0 and alpha[29, 45] == 0


@pytest.mark.parametrize("case", ["apart", "round"])
def test_axes_of_covariances_and_their_gradient(case: str) -> None:
    args = scene(10, dtype=torch.float64)
    args["scales"] = args["scales"] * 20
    args["scales"][:, 2] = 0.4
    if case == "round":  # two equal axes: the frame in the plane is arbitrary
        args["scales"][:, 1] = args["scales"][:, 0]
    covars = covariances(args["quats"], args["scales"])
    quats, scales = axes_of(covars)
    torch.testing.assert_close(covariances(quats, scales), covars)
    assert (scales.diff(dim=-1) <= 1e-12).all()

    def disc(upper: torch.Tensor) -> torch.Tensor:
        quats, scales = axes_of(upper)
        return covariances(quats, scales * scales.new_tensor([1.0, 1.0, 0.0]))

    leaf = torch.triu(covars).requires_grad_()
    assert torch.autograd.grad(disc(leaf).sum(), [leaf])[0].tril(-1).abs().max() == 0  # the upper triangle counts
    if case == "apart":
        assert torch.autograd.gradcheck(disc, (leaf,), eps=1e-6, atol=1e-4, rtol=1e-3)
    else:
        assert torch.isfinite(torch.autograd.grad(disc(leaf).square().sum(), [leaf])[0]).all()


def test_covariances_draw_as_their_axes_do() -> None:
    args = scene()
    args["scales"][:, 2] = 0.03
    covars = covariances(args["quats"], args["scales"])
    a = draw(args, backend="reference", render_depth="median")
    b = draw({**args, "quats": None, "scales": None}, covars=covars, backend="reference", render_depth="median")
    assert a.alpha.max() > 0.9
    torch.testing.assert_close(a.rgb, b.rgb, rtol=1e-3, atol=1e-3)


def test_projection_agrees_with_gsplats_torch_code() -> None:
    torch_impl = pytest.importorskip("gsplat.cuda._torch_impl_2dgs")
    args = scene(200)
    theirs = torch_impl._fully_fused_projection_2dgs(
        args["means"], args["quats"], args["scales"], args["viewmats"], args["Ks"], W, H
    )
    for cam in range(2):
        radii, centres, depths = (x[cam] for x in theirs[:3])
        ours, _ = project(args["means"], args["quats"], args["scales"], args["opacities"], args["viewmats"][cam],
                          args["Ks"][cam], W, H, near=0.01, far=1e10, radius_clip=0.0)  # fmt: skip
        drawn = ours.drawn & (radii > 0).all(-1)
        assert drawn.sum() > 100
        torch.testing.assert_close(ours.means2d[drawn], centres[drawn], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(ours.depths[drawn], depths[drawn])


def test_what_has_no_surfels_says_so() -> None:
    args = scene(5)
    with pytest.raises(RenderError, match="CPU kernels"):
        draw(args)
    with pytest.raises(RenderError, match="antialiased"):
        draw(args, backend="reference", antialiased=True)
    with pytest.raises(RenderError, match="model: expected"):
        draw(args, model="4dgs")


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("case", ["expected", "median", "features", "harmonics", "covars", "batch"])
def test_gsplats_kernels_agree_with_the_reference(case: str) -> None:
    args = scene()
    names = ["means", "quats", "scales", "opacities", "colors", "viewmats"]
    options: dict[str, Any] = {"render_depth": "median" if case == "median" else "expected"}
    if case == "features":  # 3 + 4 + depth: no power of two, so channels are filled up
        args["features"] = torch.rand(150, 3)
        names.append("features")
    elif case == "harmonics":
        args["colors"] = torch.randn(150, 16, 3) * 0.3
        options["sh_degree"] = 3
    elif case == "covars":
        args["scales"][:, 2] = 0.02
        args["covars"] = covariances(args["quats"], args["scales"])
        args["quats"] = args["scales"] = None
        names = ["means", "covars", "opacities", "colors"]
    elif case == "batch":
        args["means"] = args["means"] + torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, -0.1, 0.2]])[:, None]
    results = []
    for backend, device in (("reference", "cpu"), ("gsplat", "cuda")):
        there = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in args.items()}
        leaves = {k: there[k].clone().requires_grad_() for k in names}
        r = draw({**there, **leaves}, backend=backend, **options)
        assert r.depth is not None and r.rgb.shape[-3:] == (H, W, 3)
        parts = [r.rgb, r.alpha, torch.where(r.alpha.detach() > 0.5, r.depth, 0)]
        parts += [r.features] if case == "features" and r.features is not None else []
        loss = sum((x * torch.linspace(0.2, 1, x.numel(), device=device).reshape(x.shape)).sum() for x in parts)
        grads = torch.autograd.grad(loss, list(leaves.values()))
        results.append(([x.detach().cpu() for x in parts], [g.cpu() for g in grads]))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        off = (a - b).abs()
        assert off.mean() < 1e-3 and off.flatten().kthvalue(int(0.999 * off.numel())).values < 1e-2
    for name, a, b in zip(names, results[0][1], results[1][1], strict=True):
        assert torch.isfinite(b).all(), name
        assert torch.linalg.norm(a - b) < 2e-2 * torch.linalg.norm(a), name
