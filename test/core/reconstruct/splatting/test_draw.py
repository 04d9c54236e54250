"""Drawing Gaussians without fitting them."""

from __future__ import annotations

import numpy as np
import torch

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.splatting.draw import draw_gaussians, gaussian_tensors
from pw_core.reconstruct.splatting.parameters import Params
from support.ball import camera


def some(degree: int) -> Gaussians:
    rng = np.random.default_rng(0)
    n = 40
    return Gaussians(*(a.astype(np.float32) for a in (
        rng.uniform(-0.05, 0.05, (n, 3)), rng.normal(size=(n, 4)), np.full((n, 3), -5.0), rng.normal(size=n),
        rng.normal(size=(n, (degree + 1) ** 2, 3)),
    )))  # fmt: skip


def test_what_is_drawn_is_what_a_fit_draws_without_its_optimiser() -> None:
    g = some(2)
    for mine, fits in zip(gaussian_tensors(g), Params(g, 1.0, "cpu").drawn()):
        assert torch.equal(mine, fits.detach()) and not mine.requires_grad


def test_tensors_are_copies() -> None:
    g = some(0)
    before = g.means.copy()
    gaussian_tensors(g)[0].zero_()
    assert np.array_equal(g.means, before)


def test_harmonics_are_drawn_to_their_own_degree() -> None:
    g = some(1)
    plain = Gaussians(g.means, g.quats, g.log_scales, g.opacities, g.sh[:, :1])
    view = camera(0.0)
    full, flat = draw_gaussians(g, view), draw_gaussians(plain, view)
    assert torch.equal(full.alpha, flat.alpha) and not torch.equal(full.rgb, flat.rgb)
    assert not full.rgb.requires_grad
