"""The CPU kernels against the plain torch reference, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pw_core.render import Rendered
from support.drawn_scene import H, W, draw, scene


def outputs(r: Rendered) -> list[torch.Tensor]:
    return [x for x in (r.rgb, r.alpha, r.depth, r.features) if x is not None]


def gradients(args: dict[str, Any], names: list[str], **more: Any) -> dict[str, torch.Tensor]:
    leaves = {k: args[k].clone().requires_grad_() for k in names}
    r = draw({**args, **leaves}, **more)
    g = torch.Generator().manual_seed(5)
    loss = sum((x * torch.randn(x.shape, generator=g, dtype=x.dtype)).sum() for x in outputs(r))
    assert isinstance(loss, torch.Tensor)
    return dict(zip(names, torch.autograd.grad(loss, list(leaves.values())), strict=True))


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "rgb": ({}, ["means", "quats", "scales", "opacities", "colors", "viewmats"]),
    "sh": ({"sh": 3}, ["means", "quats", "scales", "opacities", "colors", "viewmats"]),
    "sh1": ({"sh": 1}, ["means", "colors", "viewmats"]),
    "expected": ({"render_depth": "expected"}, ["means", "quats", "scales", "opacities", "viewmats"]),
    "median": ({"render_depth": "median"}, ["means", "scales", "opacities", "viewmats"]),
    "antialiased": ({"antialiased": True}, ["means", "quats", "scales", "opacities", "viewmats"]),
    "covars": ({"covars": True}, ["means", "covars", "opacities", "viewmats"]),
    "features": ({"features": 5, "background": True}, ["means", "features", "opacities", "background"]),
    "channels": ({"channels": 7, "features": 2}, ["means", "colors", "features"]),
    "one channel": ({"channels": 1}, ["means", "colors"]),
    "radius clip": ({"radius_clip": 6.0}, ["means", "opacities"]),
}


def build(case: str, dtype: torch.dtype = torch.float64) -> tuple[dict[str, Any], list[str]]:
    options, names = CASES[case]
    options = dict(options)
    args = scene(sh=options.pop("sh", None), dtype=dtype)
    g = torch.Generator().manual_seed(9)
    n = args["means"].shape[0]
    if options.pop("covars", False):
        from pw_core.render.reference import covariances

        args["covars"] = covariances(args.pop("quats"), args.pop("scales"))
        args["quats"] = args["scales"] = None
    if "features" in options:
        options["features"] = torch.rand(n, options["features"], generator=g, dtype=dtype)
    if "channels" in options:
        args["colors"] = torch.rand(n, options.pop("channels"), generator=g, dtype=dtype)
    if options.pop("background", False):
        options["background"] = torch.tensor([0.2, 0.5, 0.9], dtype=dtype)
    return {**args, **options}, names


@pytest.mark.parametrize("case", CASES)
def test_kernels_agree_with_the_reference_in_double(case: str) -> None:
    args, names = build(case)
    fast, slow = draw(args, backend="cpu"), draw(args, backend="reference")
    for a, b in zip(outputs(fast), outputs(slow), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    assert torch.equal(fast.radii, slow.radii)
    assert fast.alpha.max() > 0.9 and fast.alpha.min() < 0.5
    got, want = gradients(args, names, backend="cpu"), gradients(args, names, backend="reference")
    for name in names:
        scale = want[name].abs().max()
        assert scale > 0, name
        error = (got[name] - want[name]).abs().max() / scale
        # gsplat's antialiasing divides by (compensation + 1e-6) in its gradient, and so do we.
        assert error < (1e-5 if case == "antialiased" else 1e-7), f"{case}: gradient of {name} off by {error:.2e}"


@pytest.mark.parametrize("case", ["rgb", "sh", "features"])
def test_single_precision_is_close(case: str) -> None:
    args, names = build(case, torch.float32)
    fast, slow = draw(args, backend="cpu"), draw(args, backend="reference")
    for a, b in zip(outputs(fast), outputs(slow), strict=True):
        assert (a - b).abs().max() < 5e-3 and (a - b).abs().mean() < 1e-5
    got, want = gradients(args, names, backend="cpu"), gradients(args, names, backend="reference")
    for name in names:
        assert torch.linalg.norm(got[name] - want[name]) < 2e-3 * torch.linalg.norm(want[name]), name


def test_gradcheck() -> None:
    args = scene(5, seed=3)
    names = ["means", "quats", "scales", "opacities", "colors"]
    args["opacities"] = args["opacities"] * 0.5 + 0.3
    # Wide Gaussians over a small picture: no alpha comes near 1/255, where the function jumps.
    args.update(
        width=12, height=9, scales=args["scales"] + 0.5, viewmats=args["viewmats"][:1], Ks=args["Ks"][:1] * 0.25
    )
    args["Ks"][0, 2, 2] = 1.0

    def f(*leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        r = draw({**args, **dict(zip(names, leaves, strict=True))}, backend="cpu", render_depth="expected")
        assert r.depth is not None
        return r.rgb, r.alpha, r.depth

    assert torch.autograd.gradcheck(f, tuple(args[n].clone().requires_grad_() for n in names), eps=1e-6, atol=1e-5)


def test_transmittance_stops_and_alpha_is_held() -> None:
    # Many opaque layers: the pixel is done after a few, and what lies behind gets no gradient.
    args = scene(30)
    args["means"] = torch.zeros(30, 3, dtype=torch.float64)
    args["means"][:, 2] = torch.linspace(1, 3, 30)
    args["scales"] = torch.full((30, 3), 2.0, dtype=torch.float64)
    args["opacities"] = torch.full((30,), 0.99999, dtype=torch.float64)
    fast, slow = draw(args, backend="cpu"), draw(args, backend="reference")
    torch.testing.assert_close(fast.rgb, slow.rgb, rtol=1e-9, atol=1e-10)
    got, want = (gradients(args, ["colors", "opacities"], backend=b) for b in ("cpu", "reference"))
    torch.testing.assert_close(got["colors"], want["colors"], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(got["opacities"], want["opacities"], rtol=1e-6, atol=1e-8)
    assert got["colors"][-1].abs().max() == 0


def test_batches_broadcast_and_gradients_are_summed() -> None:
    args = scene()
    shift = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, -0.1, 0.2]], dtype=torch.float64)
    frames = args["means"] + shift[:, None]
    names = ["means", "colors", "opacities", "viewmats"]
    batched = draw({**args, "means": frames}, backend="cpu", render_depth="expected")
    assert batched.rgb.shape == (3, 2, H, W, 3) and batched.radii.shape == (3, 2, 60, 2)
    for i in range(3):
        alone = draw({**args, "means": frames[i]}, backend="cpu", render_depth="expected")
        assert torch.equal(batched.rgb[i], alone.rgb)
    got, want = (gradients({**args, "means": frames}, names, backend=b) for b in ("cpu", "reference"))
    assert got["colors"].shape == (60, 3) and got["means"].shape == (3, 60, 3)
    for name in names:
        torch.testing.assert_close(got[name], want[name], rtol=1e-7, atol=1e-8)


def test_same_bits_on_any_number_of_threads() -> None:
    args = scene(15_000, dtype=torch.float32)  # several stretches of the depth order
    args["scales"] = args["scales"] * 0.1
    args.update(width=320, height=200, Ks=args["Ks"] * 6)
    args["Ks"][:, 2, 2] = 1.0
    names = ["means", "quats", "scales", "opacities", "colors", "viewmats"]
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append((draw(args).rgb, gradients(args, names)))
    finally:
        torch.set_num_threads(before)
    for rgb, grads in results[1:]:
        assert torch.equal(rgb, results[0][0])
        for name in names:
            assert torch.equal(grads[name], results[0][1][name]), name


def test_nothing_in_view_and_no_gaussians() -> None:
    args = scene(dtype=torch.float32)
    behind = draw({**args, "means": -args["means"]}, background=torch.tensor([0.1, 0.2, 0.3]))
    assert behind.alpha.max() == 0 and torch.allclose(behind.rgb[0, 0, 0], torch.tensor([0.1, 0.2, 0.3]))
    none = {k: args[k][:0] for k in ("means", "quats", "scales", "opacities", "colors")}
    assert draw({**args, **none}).rgb.shape == (2, H, W, 3)
    bad = args["means"].clone()
    bad[::2] = float("nan")
    assert torch.isfinite(draw({**args, "means": bad}).rgb).all()
