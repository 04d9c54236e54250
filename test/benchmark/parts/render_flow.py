"""Optical flow against the analytic flow of an object that is moved, turned and scaled."""

from __future__ import annotations

import time

import torch

from parts.records import record
from pw_core.render.flow import optical_flow
from pw_core.render.reference import covariances


def flow() -> None:
    """End-point error of a plate that is moved, turned by 0.15 rad and scaled by 1.08, on visible pixels, with its
    deformation given, and with means and covariances alone."""
    xs = torch.linspace(-0.3, 0.3, 90)
    flat = torch.stack([*torch.meshgrid(xs, xs, indexing="xy"), torch.zeros(90, 90)], -1).reshape(-1, 3)
    cov = covariances(torch.tensor([1.0, 0, 0, 0]).repeat(8100, 1), torch.tensor([0.006, 0.006, 0.001]).expand(8100, 3))
    c, s = torch.cos(torch.tensor(0.15)), torch.sin(torch.tensor(0.15))
    A = 1.08 * torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    shift, move = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.04, -0.03, 0.05])
    K = torch.tensor([[600.0, 0, 320], [0, 600, 176], [0, 0, 1]])
    y, x = torch.meshgrid(torch.arange(352) + 0.5, torch.arange(640) + 0.5, indexing="ij")
    goal = torch.stack([(x - 320) / 300, (y - 176) / 300, torch.zeros_like(x)], -1) @ A.T + shift + move
    truth = torch.stack([goal[..., 0] / goal[..., 2] * 600 + 320 - x, goal[..., 1] / goal[..., 2] * 600 + 176 - y], -1)
    for name, deformations in (("given", A.expand(8100, 3, 3)), ("fitted", None)):
        start = time.perf_counter()
        found = optical_flow(flat + shift, cov, flat @ A.T + shift + move, A @ cov @ A.T, torch.full((8100,), 0.9),
                            torch.eye(4)[None], K[None], 640, 352, deformations=deformations)  # fmt: skip
        took = time.perf_counter() - start
        seen = found.forward_visible[0]
        error = (found.forward[0] - truth).norm(dim=-1)[seen]
        median = float(error.median())
        record(f"flow, deformations {name}, median end-point error", median, "px", "<= 0.05", median <= 0.05,
               f"99th percentile {float(error.quantile(0.99)):.1e}; {int(seen.sum())} visible pixels, median motion "
               f"{float(truth[seen].norm(dim=-1).median()):.1f} px; {took:.2f} s")  # fmt: skip
