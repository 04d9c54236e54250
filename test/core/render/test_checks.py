"""What `rasterize` is called with, checked: each complaint says which argument, which axis, what was expected."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pw_core.errors import RenderError
from support.drawn_scene import draw, scene


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"means": torch.zeros(60, 4)}, ["means", "axis -1", "3", "4"]),
        ({"quats": torch.zeros(59, 4)}, ["quats", "axis -2", "60", "59"]),
        ({"scales": None}, ["scales", "missing"]),
        ({"opacities": torch.zeros(60, 1)}, ["opacities", "axis -1", "60"]),
        ({"opacities": torch.zeros(60, dtype=torch.float64)}, ["opacities", "float32", "float64"]),
        ({"viewmats": torch.eye(4)}, ["viewmats", "axes too few"]),
        ({"Ks": torch.eye(3)[None]}, ["Ks", "axis -3", "2", "1"]),
        ({"sh_degree": 2}, ["colors"]),
        ({"covars": torch.zeros(60, 3, 3)}, ["either"]),
        ({"background": torch.zeros(4)}, ["background", "4"]),
        ({"width": 0}, ["width"]),
        ({"means": torch.zeros(5, 60, 3), "opacities": torch.zeros(4, 60)}, ["opacities", "broadcast", "4", "5"]),
        ({"backend": "gsplat"}, ["gsplat", "CUDA"]),
        ({"render_depth": "mean"}, ["render_depth", "median"]),
    ],
)
def test_wrong_shapes_are_named(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RenderError) as caught:
        draw({**scene(dtype=torch.float32), **change})
    for word in words:
        assert word in str(caught.value)
