"""What a picture is judged by."""

from __future__ import annotations

import pytest
import torch

from pw_core.refine.photometric.losses import mean_over, picture_error, ssim


def test_a_picture_is_like_itself_and_unlike_its_negative() -> None:
    a = torch.rand(2, 20, 24, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ssim(a, a), torch.ones(2, 20, 24)) and picture_error(a, a).abs().max() < 1e-6
    assert ssim(a, 1 - a).mean() < 0 < picture_error(a, 1 - a).min()


def test_a_mean_is_over_the_mask_alone() -> None:
    values = torch.arange(12.0).reshape(1, 3, 4)
    mask = torch.zeros(1, 3, 4)
    assert mean_over(values, mask).item() == 0
    mask[0, 1] = 1
    assert mean_over(values, mask).item() == pytest.approx(5.5)
