"""L1 and SSIM of pictures, with SSIM's gradient written out: on a CPU, torch's depthwise convolution takes seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SSIM_SHARE = 0.2
C1, C2 = 0.01**2, 0.03**2
_X = np.arange(11, dtype=np.float32) - 5
_G = np.exp(-(_X**2) / (2 * 1.5**2))
WINDOW: NDArray[np.float32] = (_G / _G.sum()).astype(np.float32)


def picture_loss(drawn: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """0.8 L1 + 0.2 (1 - SSIM), as Kerbl et al. 2023; pictures (H, W, 3); weight (H, W, 1), mean 1 over what counts."""
    difference = (drawn - target).abs()
    similar = ssim_map(drawn, target)
    if weight is not None:
        difference, similar = difference * weight, 1 - (1 - similar) * weight
    return (1 - SSIM_SHARE) * difference.mean() + SSIM_SHARE * (1 - similar.mean())


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of pictures (H, W, 3) to a map (H, W, 3), 11 x 11 Gaussian window of sigma 1.5 px, zeros
    beyond the border (Wang et al. 2004). Differentiable in `a`."""
    if a.is_cuda:
        return _by_torch(a, b)
    out: Tensor = _Ssim.apply(a, b)
    return out


def _by_torch(a: Tensor, b: Tensor) -> Tensor:
    import torch.nn.functional as F

    w = torch.from_numpy(WINDOW).to(a)
    x = torch.cat([a, b, a * a, b * b, a * b], -1).permute(2, 0, 1)[None]
    n = x.shape[1]
    x = F.conv2d(x, w.view(1, 1, 11, 1).expand(n, 1, 11, 1), padding=(5, 0), groups=n)
    x = F.conv2d(x, w.view(1, 1, 1, 11).expand(n, 1, 1, 11), padding=(0, 5), groups=n)
    m, k, aa, bb, ab = x[0].permute(1, 2, 0).split(a.shape[-1], -1)
    return ((2 * m * k + C1) * (2 * (ab - m * k) + C2)) / ((m * m + k * k + C1) * (aa - m * m + bb - k * k + C2))


def _blur(x: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.sepFilter2D(x, -1, WINDOW, WINDOW, borderType=cv2.BORDER_CONSTANT), np.float32)


class _Ssim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        x, y = (np.ascontiguousarray(t.detach().numpy(), np.float32) for t in (a, b))
        m, k = _blur(x), _blur(y)
        xx, yy, xy = _blur(x * x), _blur(y * y), _blur(x * y)
        A, B = 2 * m * k + C1, 2 * (xy - m * k) + C2
        C, D = m * m + k * k + C1, xx - m * m + yy - k * k + C2
        out = A * B / (C * D)
        ctx.kept = (x, y, m, k, A, B, C, D, out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, m, k, A, B, C, D, out = ctx.kept
        g = np.ascontiguousarray(grads[0].numpy(), np.float32)
        # The window is symmetric and zeros lie beyond the border, so blurring is its own adjoint.
        by_mean = _blur(g * (2 * k * (B - A) / (C * D) + 2 * m * out * (1 / D - 1 / C)))
        by_square = _blur(g * (-out / D))
        by_product = _blur(g * (2 * A / (C * D)))
        return torch.from_numpy(by_mean + 2 * x * by_square + y * by_product), None
