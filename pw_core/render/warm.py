"""Compile the CPU kernels ahead of the first picture: `python -m pw_core.render.warm`, 20 s once, then a second."""

from __future__ import annotations

import time


def compile_kernels() -> float:
    """Compile, or load from the cache, all that float32 pictures and gradients need; returns the seconds it took."""
    import numpy as np
    import torch

    from pw_core import skinning
    from pw_core.gaussians import Binding
    from pw_core.render import rasterize
    from pw_core.render.background_cache.prepare import prepare, rasterize_over

    start = time.perf_counter()
    # Inside the rectangle of a camera at the origin, so that every kernel has something to do.
    means = torch.tensor([[0.0, 0.0, 1.0], [0.1, 0.0, 2.0]], requires_grad=True)
    quats, scales = torch.tensor([[1.0, 0, 0, 0]] * 2), torch.full((2, 3), 0.1)
    opacities, sh = torch.full((2,), 0.5), torch.zeros(2, 1, 3)
    view, K = torch.eye(4), torch.tensor([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]])
    drawn = rasterize(
        means, quats, scales, opacities, sh, view[None], K[None], 32, 32, sh_degree=0, render_depth="expected"
    )
    (drawn.rgb.sum() + drawn.alpha.sum()).backward()
    still = means.detach()
    prepared = prepare(still, quats, scales, opacities, sh, view, K, 32, 32, sh_degree=0)
    rasterize_over(prepared, still, quats, scales, opacities, sh, sh_degree=0)
    where = still.numpy()
    A = skinning.deformations(where, where, np.array([[1], [0]]))
    binding = Binding(np.zeros((2, 1), np.int64), np.ones((2, 1), np.float32), where, np.ones(2, np.float32))
    skinning.follow(binding, where, where, A, A)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(f"rendering kernels ready after {compile_kernels():.1f} s")
