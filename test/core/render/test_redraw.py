"""Gaussians drawn again with other colours are what `rasterize` makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.errors import RenderError
from pw_core.render import rasterize
from pw_core.render.redraw import Redrawn


def _shapes(n: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    means = torch.rand(n, 3, generator=g) * torch.tensor([2.0, 1.5, 2.0]) + torch.tensor([-1.0, -0.75, 2.0])
    scales = 0.01 + 0.1 * torch.rand(n, 3, generator=g)
    return {"means": means, "quats": torch.randn(n, 4, generator=g), "scales": scales}


def test_each_picture_has_the_bits_of_one_that_is_drawn_anew() -> None:
    n, view, size = 400, torch.eye(4), (70, 50)
    K = torch.tensor([[60.0, 0, 35], [0, 60, 25], [0, 0, 1]])
    rng = np.random.default_rng(2)
    most = rng.uniform(0.3, 0.98, n).astype(np.float32)
    marks = torch.from_numpy((np.arange(n) < 100).astype(np.float32)[:, None])
    shapes = _shapes(n)
    again = Redrawn(*shapes.values(), torch.from_numpy(most), view, K, *size, features=marks)
    for share in (1.0, 0.5, 0.8):  # up again, too
        opacities, colors = share * most, rng.uniform(0, 1, (n, 3)).astype(np.float32)
        rgb, features = again.draw(opacities, colors)
        new = rasterize(**shapes, opacities=torch.from_numpy(opacities), colors=torch.from_numpy(colors),
                        viewmats=view[None], Ks=K[None], width=size[0], height=size[1], features=marks)  # fmt: skip
        assert new.features is not None
        np.testing.assert_array_equal(rgb, new.rgb[0].numpy())
        np.testing.assert_array_equal(features, new.features[0].numpy())


def test_shapes_that_do_not_fit_are_refused_when_they_are_given() -> None:
    shapes = _shapes(10)
    with pytest.raises(RenderError, match="opacities"):
        Redrawn(*shapes.values(), torch.ones(9), torch.eye(4), torch.eye(3), 8, 8)
