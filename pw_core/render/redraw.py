"""Gaussians that keep their shapes before a camera that stands still, drawn again and again with other colours: what a
fit of colours does. They are projected, sorted and put into tiles once, which is half of the work."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pw_core.gaussians import F32
from pw_core.render import image
from pw_core.render.checks import Arguments, Options, check_inputs
from pw_core.render.image import Pictures, for_kernels, one_image
from pw_core.render.kernels.blend import OP, B, R


class Redrawn:
    """N Gaussians before one camera, on the CPU; the arguments are those of `rasterize`, without [...].

    Args:
        most_opacities: (N,), what no opacity is drawn above: they bound how far each Gaussian reaches.
    """

    def __init__(
        self, means: Tensor, quats: Tensor, scales: Tensor, most_opacities: Tensor, viewmat: Tensor, K: Tensor,
        width: int, height: int, *, features: Tensor | None = None, near: float = 0.01, far: float = 1e10,
        eps2d: float = 0.3,
    ) -> None:  # fmt: skip
        inputs = check_inputs(Arguments(
            means, quats, scales, None, most_opacities, torch.zeros_like(means), None, features, viewmat[None],
            K[None], width, height, backend="cpu",
        ))  # fmt: skip
        settings, tensors = for_kernels(inputs, Options(near, far, eps2d, False, 0.0))
        args = one_image(tuple(None if x is None else x.detach().contiguous() for x in tensors), (), (), 0)
        self._settings, self._features = settings, args["features"]
        self._seen = image.project(args, settings)

    def draw(self, opacities: NDArray[np.floating], colors: NDArray[np.floating]) -> tuple[F32, F32]:
        """Colours (H, W, 3) and features (H, W, F) of the picture with opacities (N,) and colours (N, 3): the same bits
        as `rasterize` gives."""
        s, seen = self._settings, self._seen
        seen.rec[:, R : B + 1], seen.rec[:, OP] = colors, opacities
        shape = (s.height, s.width)
        rgb, feats = (np.empty((*shape, k), np.float32) for k in (3, self._features.shape[1]))
        alpha, depth = (np.empty((*shape, 1), np.float32) for _ in range(2))
        image.blend(
            s.all_tiles(), seen.rec, self._features, seen.offsets, seen.ids, s, Pictures.of(rgb, alpha, depth, feats)
        )
        return rgb, feats
