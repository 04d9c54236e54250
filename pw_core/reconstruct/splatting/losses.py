"""L1 and SSIM of pictures, with SSIM's gradient written out.

Torch's depthwise convolution takes seconds on a CPU and milliseconds on CUDA: here OpenCV blurs on the one, and two
products with banded matrices blur on the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2
"""SSIM's own constants, for colours 0 to 1 (Wang et al. 2004)."""


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What counts how much."""

    ssim_share: float = 0.2
    """Of the loss, beside L1: as Kerbl et al. 2023."""
    regularisation: float = 0.01
    """Of opacities and widths beside the pictures: as Kheradmand et al. 2024."""


def _window() -> NDArray[np.float32]:
    x = np.arange(11, dtype=np.float32) - 5
    g = np.exp(-(x**2) / (2 * 1.5**2))
    return (g / g.sum()).astype(np.float32)


WINDOW = _window()
"""SSIM's: 11 pixels, sigma 1.5 px (Wang et al. 2004)."""


def picture_loss(
    drawn: Tensor, target: Tensor, weight: Tensor | None = None, *, options: LossOptions = LossOptions()
) -> Tensor:
    """0.8 L1 + 0.2 (1 - SSIM), as Kerbl et al. 2023; pictures (H, W, 3); weight (H, W, 1), mean 1 over what counts."""
    difference = (drawn - target).abs()
    similar = ssim_map(drawn, target)
    if weight is not None:
        difference, similar = difference * weight, 1 - (1 - similar) * weight
    share = options.ssim_share
    return (1 - share) * difference.mean() + share * (1 - similar.mean())


def regularisation(
    opacities: Tensor, widths: Tensor, size: float, *, options: LossOptions = LossOptions()
) -> Tensor:
    """What Gaussians cost: 0.01 of their mean opacity and of their mean width in sizes of the scene; opacities (n,),
    widths (n, 3) [m], size [m] (the regulariser of Kheradmand et al. 2024, arXiv 2404.09591).

    With few photos, places are seen by one of them or by none, and nothing else speaks against Gaussians there, which
    then hang before the next camera: with it bananas from 14 photos reach 27.1 and 27.6 dB on two held-out ones (26.9
    and 25.9 without).
    """
    return options.regularisation * (opacities.mean() + widths.mean() / size)


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of pictures (H, W, 3) to a map (H, W, 3), 11 x 11 Gaussian window of sigma 1.5 px, zeros
    beyond the border (Wang et al. 2004). Differentiable in `a`."""
    kind = _DenseSsim if a.is_cuda else _Ssim
    out: Tensor = kind.apply(a, b)
    return out


def ssim_reference(a: Tensor, b: Tensor) -> Tensor:
    """`ssim_map` by torch's convolution and its gradients: slow, and what the others are held against."""
    import torch.nn.functional as F

    w = torch.from_numpy(WINDOW).to(a)
    x = torch.cat([a, b, a * a, b * b, a * b], -1).permute(2, 0, 1)[None]
    n = x.shape[1]
    x = F.conv2d(x, w.view(1, 1, 11, 1).expand(n, 1, 11, 1), padding=(5, 0), groups=n)
    x = F.conv2d(x, w.view(1, 1, 1, 11).expand(n, 1, 1, 11), padding=(0, 5), groups=n)
    m, k, aa, bb, ab = x[0].permute(1, 2, 0).split(a.shape[-1], -1)
    return ((2 * m * k + C1) * (2 * (ab - m * k) + C2)) / ((m * m + k * k + C1) * (aa - m * m + bb - k * k + C2))


Kept = tuple[Any, ...]


def _similar(x: Any, y: Any, blur: Callable[[Any], Any]) -> tuple[Any, Kept]:
    """The map, and what its gradient needs; arrays of NumPy or torch."""
    m, k = blur(x), blur(y)
    xx, yy, xy = blur(x * x), blur(y * y), blur(x * y)
    A, B = 2 * m * k + C1, 2 * (xy - m * k) + C2
    C, D = m * m + k * k + C1, xx - m * m + yy - k * k + C2
    out = A * B / (C * D)
    return out, (x, y, m, k, A, B, C, D, out)


def _gradient(g: Any, kept: Kept, blur: Callable[[Any], Any]) -> Any:
    """Of the map's product with `g`, in x. The window is symmetric and zeros lie beyond the border, so blurring is its
    own adjoint."""
    x, y, m, k, A, B, C, D, out = kept
    by_mean = blur(g * (2 * k * (B - A) / (C * D) + 2 * m * out * (1 / D - 1 / C)))
    by_square = blur(-g * out / D)
    by_product = blur(2 * g * A / (C * D))
    return by_mean + 2 * x * by_square + y * by_product


def _blur(x: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.sepFilter2D(x, -1, WINDOW, WINDOW, borderType=cv2.BORDER_CONSTANT), np.float32)


class _Ssim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        x, y = (np.ascontiguousarray(t.detach().numpy(), np.float32) for t in (a, b))
        out, ctx.kept = _similar(x, y, _blur)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g = np.ascontiguousarray(grads[0].numpy(), np.float32)
        return torch.from_numpy(_gradient(g, ctx.kept, _blur)), None


@lru_cache(maxsize=8)
def _band(n: int, device: torch.device) -> Tensor:
    """(n, n), symmetric: its product with a column of n pixels is the column blurred."""
    apart = torch.arange(n, device=device)
    apart = (apart[:, None] - apart[None]).abs()
    window = torch.from_numpy(WINDOW).to(device)
    return torch.where(apart <= 5, window[(5 + apart).clamp_max(10)], 0.0)


def _dense_blur(x: Tensor) -> Tensor:
    """Planes (3, H, W)."""
    return _band(x.shape[1], x.device) @ x @ _band(x.shape[2], x.device)


class _DenseSsim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        x, y = (t.detach().permute(2, 0, 1).contiguous() for t in (a, b))
        out, ctx.kept = _similar(x, y, _dense_blur)
        return out.permute(1, 2, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g = grads[0].permute(2, 0, 1).contiguous()
        return _gradient(g, ctx.kept, _dense_blur).permute(1, 2, 0), None
