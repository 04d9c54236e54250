"""A loss over frames in runs: the same number and gradients as all at once, in less memory."""

from __future__ import annotations

import pytest
import torch

from pw_core.errors import RenderError
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from pw_core.render.chunks import frames_within, sum_over_frames
from pw_core.render.reference import covariances

W, H = 96, 64
K = torch.tensor([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]], dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
def test_runs_of_frames_add_up(chunk: int) -> None:
    g = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    def cloud(n: int) -> list[torch.Tensor]:
        means = (rand(n, 3) - 0.5) + torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
        quats = torch.randn(n, 4, generator=g, dtype=torch.float64)
        return [means, covariances(quats, 0.02 + 0.05 * rand(n, 3)), rand(n), rand(n, 3)]

    still, lump = cloud(100), cloud(30)
    camera = prepare(still[0], None, None, still[2], still[3], torch.eye(4, dtype=torch.float64), K, W, H,
                     covars=still[1])  # fmt: skip
    targets, weight = rand(7, 1, H, W, 3), rand(7)
    corrections = torch.zeros(7, 1, 3, dtype=torch.float64, requires_grad=True)
    leaves = [corrections, *(x.clone().requires_grad_() for x in (lump[1], lump[2], lump[3], still[3]))]

    def loss(frames: slice, means, covars, opacities, colors, ground):  # type: ignore[no-untyped-def]
        r = rasterize_over(camera, means, None, None, opacities, colors, covars=covars, background_colors=ground)
        return (weight[frames] * (r.rgb - targets[frames]).square().mean((1, 2, 3, 4))).sum()

    means = lump[0] + leaves[0] + torch.linspace(0, 0.2, 7, dtype=torch.float64)[:, None, None]
    covars = leaves[1].expand(7, 30, 3, 3)
    whole = loss(slice(0, 7), means, covars, *leaves[2:])
    want = torch.autograd.grad(3 * whole, leaves, retain_graph=True)
    total = sum_over_frames(loss, framed=[means, covars], shared=leaves[2:], chunk=chunk)
    got = torch.autograd.grad(3 * total, leaves)
    torch.testing.assert_close(total, whole)
    for a, b in zip(got, want, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b)


def test_what_needs_no_gradient_costs_none_and_bad_counts_are_named() -> None:
    x, y = torch.ones(4, 2), torch.ones(2, requires_grad=True)
    total = sum_over_frames(lambda frames, a, b: (a * b).sum() + 0 * frames.start, framed=[x], shared=[y], chunk=3)
    total.backward()
    assert y.grad is not None and torch.equal(y.grad, torch.full((2,), 4.0))
    with torch.no_grad():
        assert sum_over_frames(lambda frames, a: a.sum(), framed=[x], chunk=9) == 8
    with pytest.raises(RenderError, match="same number of frames"):
        sum_over_frames(lambda frames, a, b: a.sum(), framed=[x, torch.ones(3)], chunk=1)
    with pytest.raises(RenderError, match="chunk"):
        sum_over_frames(lambda frames, a: a.sum(), framed=[x], chunk=0)


def test_the_budget_holds() -> None:
    """Peak memory of drawing and carrying back as many frames as the budget says."""
    import json
    import subprocess
    import sys

    code = """
import json, torch
from pw_core.render import rasterize
from pw_core.render.chunks import frames_within
n, w, h = 30_000, 320, 176
g = torch.Generator().manual_seed(0)
means = torch.randn(n, 3, generator=g) * torch.tensor([0.25, 0.15, 0.1]) + torch.tensor([0.0, 0.0, 1.5])
rest = [torch.randn(n, 4, generator=g), torch.rand(n, 3, generator=g) * 0.004 + 0.002, torch.rand(n, generator=g),
        torch.rand(n, 3, generator=g)]
K = torch.tensor([[[300.0, 0, 160], [0, 300, 88], [0, 0, 1]]])
def step(frames):
    m = means.expand(frames, n, 3).contiguous().requires_grad_()
    r = rasterize(m, *rest, torch.eye(4)[None], K, w, h)
    (r.rgb - 0.5).square().sum().backward()
def peak():  # of this program: getrusage would also count the process that it was forked from
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))
step(1)
before = peak()
frames = frames_within(400, gaussians=n, cameras=1, width=w, height=h)
step(frames)
print(json.dumps([frames, (peak() - before) * 1024 / 1e6]))
"""
    for _ in range(2):  # the first run compiles, and compiling takes more memory than drawing
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    frames, megabytes = json.loads(done.stdout)
    assert frames > 10 and 40 < megabytes < 400, (frames, megabytes)
    one = frames_within(1e-3, gaussians=10**6, cameras=3, width=1280, height=704, device="cuda", background=10**6)
    assert one == 1
