"""SSIM written three ways: by OpenCV, by products with banded matrices, and by torch's convolution."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pw_core.reconstruct.splatting.losses import _DenseSsim, picture_loss, regularisation, ssim_map, ssim_reference


@pytest.mark.parametrize("way", [ssim_map, _DenseSsim.apply])
def test_ssim_and_its_gradient_agree_with_torchs_convolution(way: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    target = torch.rand(37, 52, 3)
    picture = (target + 0.2 * torch.randn(37, 52, 3)).clamp(0, 1)
    weight = torch.rand(37, 52, 3)
    found, grads = [], []
    for how in (way, ssim_reference):
        leaf = picture.clone().requires_grad_()
        value = how(leaf, target)
        (value * weight).sum().backward()
        found.append(value.detach())
        grads.append(leaf.grad)
    assert torch.allclose(found[0], found[1], atol=2e-5)
    assert torch.allclose(grads[0], grads[1], atol=2e-4 * float(grads[1].abs().max()))


def test_the_loss_is_nothing_for_the_same_picture_and_grows_with_what_counts() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(20, 30, 3), torch.rand(20, 30, 3)
    assert float(picture_loss(a, a)) == pytest.approx(0, abs=1e-6)
    left = torch.zeros(20, 30, 1)
    left[:, :15] = 2
    half = a.clone()
    half[:, :15] = b[:, :15]
    assert float(picture_loss(half, a, left)) > float(picture_loss(half, a)) > 0


def test_what_nothing_wants_shrinks_and_fades_whatever_the_size_of_the_scene() -> None:
    widths = torch.tensor([[0.1, 0.1, 0.1], [0.4, 0.2, 0.0]], requires_grad=True)
    opacities = torch.tensor([0.2, 0.6], requires_grad=True)
    cost = regularisation(opacities, widths, 2.0)
    cost.backward()
    assert cost.item() == pytest.approx(0.01 * (0.4 + 0.15 / 2.0))
    assert widths.grad is not None and (widths.grad > 0).all()
    assert opacities.grad is not None and (opacities.grad > 0).all()
    assert regularisation(opacities, 5 * widths, 10.0).item() == pytest.approx(cost.item())
