"""Small random sets of Gaussians before a camera."""

from __future__ import annotations

import torch

W, H = 160, 120
K = torch.tensor([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
VIEW = torch.eye(4)


def gaussians(n: int, seed: int, spread: float) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    means = (torch.rand(n, 3, generator=g) - 0.5) * spread + torch.tensor([0.0, 0.0, 2.0])
    return [means, torch.randn(n, 4, generator=g), 0.01 + 0.05 * torch.rand(n, 3, generator=g),
            torch.rand(n, generator=g), torch.rand(n, 3, generator=g)]  # fmt: skip
