"""What the rendering figures are measured on, and how calls are timed.

`cloud` and `camera` are the scene of OpenSplat's CPU measurement: 100 000 Gaussians, 1280 x 704, 22.7 million blends.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from pw_core.render import rasterize


def timed(work: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of `work` in ms, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def alternating(first: Callable[[], Any], second: Callable[[], Any], repeats: int = 300) -> tuple[float, float]:
    """Median ms of two CUDA calls taken in turn, so that the card's clock treats them alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, into in zip((first, second), times, strict=True):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            into.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[0][30:]), statistics.median(times[1][30:])


def cloud(n: int = 100_000, device: str = "cpu") -> dict[str, Any]:
    """Means, quats, scales, opacities and colours of n random Gaussians."""
    torch.manual_seed(0)
    means = torch.randn(n, 3) * 0.5
    means[:, 2] += 3
    tensors = {"means": means, "quats": torch.randn(n, 4), "scales": torch.rand(n, 3) * 0.01 + 0.003,
               "opacities": torch.rand(n), "colors": torch.rand(n, 3)}  # fmt: skip
    return {k: v.to(device) for k, v in tensors.items()}


def camera(width: int = 1280, height: int = 704, device: str = "cpu") -> dict[str, Any]:
    """The camera that looks at the cloud, as arguments of `rasterize`."""
    f = 1100.0 * width / 1280
    K = torch.tensor([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]], device=device)
    return {"viewmats": torch.eye(4, device=device)[None], "Ks": K[None], "width": width, "height": height}


def forward_backward(scene: dict[str, Any], view: dict[str, Any]) -> dict[str, float]:
    """Median ms of the forward and the backward pass, with gradients to all five inputs."""
    leaves = {k: v.clone().requires_grad_() for k, v in scene.items()}
    forward: list[float] = []
    backward: list[float] = []
    for _ in range(6):
        a = time.perf_counter()
        picture = rasterize(**leaves, **view).rgb
        b = time.perf_counter()
        picture.sum().backward()
        forward.append(1e3 * (b - a))
        backward.append(1e3 * (time.perf_counter() - b))
    return {"forward": statistics.median(forward[1:]), "backward": statistics.median(backward[1:])}


def wall_and_lump() -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Means, quats, scales, opacities, colours of a still wall (220k) and of a lump before it (40k)."""
    n_back, n_front = 220_000, 40_000
    back = torch.rand(n_back, 3) * torch.tensor([3.2, 1.8, 0.02]) - torch.tensor([1.6, 0.9, -2.0])
    front = torch.randn(n_front, 3) * torch.tensor([0.12, 0.08, 0.08]) + torch.tensor([0.0, 0.2, 1.4])

    def parts(means: torch.Tensor, size: float) -> tuple[torch.Tensor, ...]:
        n = len(means)
        return (means, torch.randn(n, 4), torch.full((n, 3), size), torch.full((n,), 0.8), torch.rand(n, 3))

    return parts(back, 0.004), parts(front, 0.003)
