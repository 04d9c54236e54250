"""What a picture is judged by."""

from __future__ import annotations

from torch import Tensor

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
"""The index's own constants (Wang et al. 2004, equation 12, for pictures 0 to 1)."""


def ssim(a: Tensor, b: Tensor, *, window: int = 7) -> Tensor:
    """Structural similarity of pictures 0 to 1, [B, H, W, 3] to a map [B, H, W] (Wang et al. 2004), over a box.

    A box instead of a Gaussian window: sums over it cost the same at any size, and refinement calls it per step.
    """
    import torch.nn.functional as F

    x, y = a.movedim(-1, 1), b.movedim(-1, 1)

    def mean(z: Tensor) -> Tensor:
        return F.avg_pool2d(z, window, 1, window // 2, count_include_pad=False)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    top = (2 * mx * my + SSIM_C1) * (2 * cov + SSIM_C2)
    bottom = (mx * mx + my * my + SSIM_C1) * (vx + vy + SSIM_C2)
    return (top / bottom).mean(1)


def mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [B, H, W] where `mask` [B, H, W] (0 to 1) is, per picture [B]; 0 where there is nothing."""
    return (values * mask).sum((-2, -1)) / mask.sum((-2, -1)).clamp_min(1.0)


def picture_error(drawn: Tensor, target: Tensor) -> Tensor:
    """L1 plus (1 - SSIM) / 2 of each pixel [B, H, W]; pictures [B, H, W, 3]. The loss of a picture is its mean over a
    mask: it is asked for once, however many masks there are."""
    return (drawn - target).abs().mean(-1) + (1 - ssim(drawn, target)) / 2
