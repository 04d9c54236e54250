"""The fit on CUDA: gsplat's rasteriser and its default strategy of densification."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.cpu import Fitted, Params, camera_tensors, extent, resume, write_checkpoint
from pw_core.reconstruct.splatting.losses import picture_loss, regularisation
from pw_core.reconstruct.types import View

DEGREE_EVERY = 1000


def fit_cuda(
    views: Sequence[View], first: Gaussians, settings: ViewsSettings, *, progress: Progress,
    checkpoint: Path | None = None,
) -> Fitted:
    """As `fit`, on CUDA, 3DGS and 2DGS; step sizes and schedule as gsplat's own trainer has them by default, and
    its loss with `regularisation`, which makes up for the many Gaussians that its strategy makes of few photos.

    Steps wait for the device once each (gsplat counts what falls into its tiles), not at every part of them: Adam is
    fused, the strategy's sums are masked instead of gathered, SSIM is two matrix products.

    Raises:
        ReconstructError (INVALID_CONFIG): gsplat is not installed.
    """
    import torch

    try:
        import gsplat
    except ImportError as error:
        raise ReconstructError(f"the fit on CUDA needs gsplat (pip install gsplat): {error}",
                               code=ErrorCode.INVALID_CONFIG) from None  # fmt: skip
    first, done, before, errors = resume(checkpoint, first)
    began = time.perf_counter()
    size = extent(views)
    params = Params(first, size, "cuda")
    tensors: Any = torch.nn.ParameterDict({k: torch.nn.Parameter(v.detach()) for k, v in params.tensors.items()})
    # gsplat's strategies know the parameters by these names.
    named = {"means": "means", "log_scales": "scales", "quats": "quats", "opacities": "opacities", "sh0": "sh0",
             "shN": "shN"}  # fmt: skip
    tensors = torch.nn.ParameterDict({named[k]: v for k, v in tensors.items()})
    optimisers = {
        named[k]: torch.optim.Adam(
            [{"params": tensors[named[k]], "lr": params.rates[k], "name": named[k]}], eps=1e-15, fused=True
        )
        for k in named
    }
    flat = settings.model == "2dgs"
    strategy = _strategy("gradient_2dgs" if flat else "means2d", most=settings.max_gaussians)
    strategy.check_sanity(tensors, optimisers)
    state = strategy.initialize_state(scene_scale=size)
    targets = [torch.from_numpy(v.image.astype(np.float32) / 255).cuda() for v in views]
    cameras = [camera_tensors(v.camera, "cuda") for v in views]
    rng = np.random.default_rng(done)
    behind = torch.from_numpy(rng.random((settings.steps, 3), dtype=np.float32)).cuda()  # as `fit` on the CPU
    queue: list[int] = []
    recent = [torch.tensor(e, device="cuda") for e in errors]

    def gaussians() -> Gaussians:
        for k, name in named.items():
            params.tensors[k] = tensors[name]
        return params.gaussians()

    for step in range(done, settings.steps):
        if not queue:
            queue = list(rng.permutation(len(views)))
        k = queue.pop()
        cam, (view, K) = views[k].camera, cameras[k]
        degree = min(settings.sh_degree, step // DEGREE_EVERY)
        shape = (tensors["means"], tensors["quats"], torch.exp(tensors["scales"]), torch.sigmoid(tensors["opacities"]),
                 torch.cat([tensors["sh0"], tensors["shN"]], 1))  # fmt: skip
        draw = gsplat.rasterization_2dgs if flat else gsplat.rasterization
        result = draw(*shape, view, K, cam.width, cam.height, sh_degree=degree, packed=False)
        drawn, info = result[0][0] + (1 - result[1][0]) * behind[step], result[-1]
        strategy.step_pre_backward(tensors, optimisers, state, step, info)
        loss = picture_loss(drawn, targets[k]) + regularisation(shape[3], shape[2], size)
        loss.backward()
        with torch.no_grad():
            recent = [*recent[1 - len(views) :], ((drawn - targets[k]) ** 2).mean()]
        optimisers["means"].param_groups[0]["lr"] = params.rates["means"] * 0.01 ** (step / settings.steps)
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        strategy.step_post_backward(tensors, optimisers, state, step, info, packed=False)
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            psnr = -10 * math.log10(max(float(torch.stack(recent).mean()), 1e-12))
            left = (time.perf_counter() - began) / (step + 1 - done) * (settings.steps - step - 1)
            progress(f"fit: step {step + 1} of {settings.steps}, PSNR {psnr:.2f} dB, ETA {left:.0f} s",
                 (step + 1) / settings.steps)  # fmt: skip
        if checkpoint is not None and ((step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps):
            write_checkpoint(checkpoint, gaussians(), step + 1, before + time.perf_counter() - began,
                             float(torch.stack(recent).mean()))  # fmt: skip
    psnr = -10 * math.log10(max(float(torch.stack(recent).mean()), 1e-12)) if recent else 0.0
    return Fitted(gaussians(), psnr, settings.steps, before + time.perf_counter() - began)


def _strategy(key: str, *, most: int = 0) -> Any:
    """gsplat's default strategy, which makes no more than `most` Gaussians (0: as many as it likes), first those where
    the gradient is steepest; the sums it keeps of gradients on the picture are masked, where gsplat gathers the visible
    Gaussians first and so waits for the device at every step."""
    import torch
    from gsplat import DefaultStrategy

    class Masked(DefaultStrategy):
        def _update_state(self, params: Any, state: Any, info: Any, packed: bool = False) -> None:
            grad = info[self.key_for_gradient].grad
            n = len(params["means"])
            if state["grad2d"] is None:
                state["grad2d"] = torch.zeros(n, device=grad.device)
                state["count"] = torch.zeros(n, device=grad.device)
            half = 0.5 * info["n_cameras"]
            pixels = torch.hypot(grad[..., 0] * (half * info["width"]), grad[..., 1] * (half * info["height"]))
            seen = (info["radii"] > 0).all(-1)
            state["grad2d"] += (pixels * seen).sum(0)
            state["count"] += seen.sum(0)

        def _grow_gs(self, params: Any, optimizers: Any, state: Any, step: int) -> Any:
            room = max(most - len(params["means"]), 0)
            if most > 0 and room < len(params["means"]):  # each that grows becomes two
                mean = state["grad2d"] / state["count"].clamp_min(1)
                flat = torch.ones_like(mean, dtype=torch.bool)
                flat[mean.topk(room).indices] = False
                state["grad2d"][flat] = 0
            return super()._grow_gs(params, optimizers, state, step)

    return Masked(key_for_gradient=key)
