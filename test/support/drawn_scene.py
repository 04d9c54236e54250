"""Sixty Gaussians through two cameras, as arguments of `rasterize`."""

from __future__ import annotations

from typing import Any

import torch

from pw_core.render import Rendered, rasterize

W, H = 50, 37  # not multiples of the tile


def scene(n: int = 60, *, seed: int = 0, dtype: torch.dtype = torch.float64, sh: int | None = None) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=dtype)

    means = (rand(n, 3) - 0.5) * torch.tensor([1.6, 1.2, 1.0], dtype=dtype) + torch.tensor([0.0, 0.0, 2.0], dtype=dtype)
    quats = torch.randn(n, 4, generator=g, dtype=dtype)
    view = torch.eye(4, dtype=dtype).repeat(2, 1, 1)
    c, s = torch.cos(torch.tensor(0.2)), torch.sin(torch.tensor(0.2))
    view[1, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=dtype)
    view[1, :3, 3] = torch.tensor([-0.3, 0.05, 0.1], dtype=dtype)
    K = torch.tensor([[60.0, 0, 24], [0, 55, 19], [0, 0, 1]], dtype=dtype).repeat(2, 1, 1)
    colors = rand(n, 3) if sh is None else torch.randn(n, (sh + 1) ** 2, 3, generator=g, dtype=dtype) * 0.4
    return {
        "means": means, "quats": quats, "scales": 0.02 + 0.12 * rand(n, 3), "opacities": 0.05 + 0.94 * rand(n),
        "colors": colors, "viewmats": view, "Ks": K, "width": W, "height": H, "sh_degree": sh,
    }  # fmt: skip


def draw(args: dict[str, Any], **more: Any) -> Rendered:
    return rasterize(**{**args, **more})
