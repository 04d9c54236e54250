"""The fit on CUDA: gsplat's rasteriser and its default strategy of densification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.checkpoint import FitRecord, Fitted, resume
from pw_core.reconstruct.splatting.draw import camera_tensors, picture_tensors, where_seen
from pw_core.reconstruct.splatting.parameters import Params, RateOptions, extent
from pw_core.reconstruct.types import View

NAMES = {"means": "means", "log_scales": "scales", "quats": "quats", "opacities": "opacities", "sh0": "sh0",
         "shN": "shN"}  # fmt: skip
"""gsplat's strategies know our tensors by these names."""


@dataclass(frozen=True, kw_only=True)
class CudaFitOptions:
    """A fit on CUDA; gsplat's strategy has its own numbers for growth."""

    rates: RateOptions = RateOptions()
    """Step sizes."""
    degree_every: int = 1000
    """Steps after which the harmonics get a degree more, as in gsplat's own trainer."""
    report_every: int = 100
    """Steps between two reports: each of them waits for the device."""


def fit_cuda(
    views: Sequence[View], first: Gaussians, settings: ViewsSettings, *, progress: Progress,
    checkpoint: Path | None = None, options: CudaFitOptions = CudaFitOptions(),
) -> Fitted:  # fmt: skip
    """As `fit.fit`, on CUDA, 3DGS and 2DGS; step sizes and schedule as gsplat's own trainer has them by default, and
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
    from pw_core.reconstruct.splatting.losses import picture_loss, regularisation

    first, done, before, errors = resume(checkpoint, first)
    record = FitRecord(settings.steps, done=done, seconds=before, report_every=options.report_every,
                       keep_every=settings.checkpoint_every, progress=progress, checkpoint=checkpoint)  # fmt: skip
    size = extent(views)
    params = Params(first, size, "cuda", rates=options.rates)
    tensors, optimisers = _tensors(params)
    flat = settings.model == "2dgs"
    strategy = _strategy("gradient_2dgs" if flat else "means2d", most=settings.max_gaussians)
    strategy.check_sanity(tensors, optimisers)
    state = strategy.initialize_state(scene_scale=size)
    targets = [picture_tensors(v, "cuda") for v in views]
    cameras = [camera_tensors(v.camera, "cuda") for v in views]
    rng = np.random.default_rng(done)
    backgrounds = torch.from_numpy(rng.random((settings.steps, 3), dtype=np.float32)).cuda()  # as `fit_cpu`
    queue: list[int] = []
    recent = [torch.tensor(e, device="cuda") for e in errors]

    def gaussians() -> Gaussians:
        for k, name in NAMES.items():
            params.tensors[k] = tensors[name]
        return params.gaussians()

    def mean_error() -> float:
        return float(torch.stack(recent).mean())

    for step in range(done, settings.steps):
        if not queue:
            queue = list(rng.permutation(len(views)))
        k = queue.pop()
        cam, (view, K) = views[k].camera, cameras[k]
        degree = min(settings.sh_degree, step // options.degree_every)
        shape = (tensors["means"], tensors["quats"], torch.exp(tensors["scales"]), torch.sigmoid(tensors["opacities"]),
                 torch.cat([tensors["sh0"], tensors["shN"]], 1))  # fmt: skip
        draw = gsplat.rasterization_2dgs if flat else gsplat.rasterization
        result = draw(*shape, view, K, cam.width, cam.height, sh_degree=degree, packed=False)
        drawn, info = result[0][0] + (1 - result[1][0]) * backgrounds[step], result[-1]
        strategy.step_pre_backward(tensors, optimisers, state, step, info)
        target = where_seen(*targets[k], drawn)
        loss = picture_loss(drawn, target) + regularisation(shape[3], shape[2], size)
        loss.backward()
        with torch.no_grad():
            recent = [*recent[1 - len(views) :], ((drawn - target) ** 2).mean()]
        optimisers["means"].param_groups[0]["lr"] = params.means_rate(step, settings.steps)
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        strategy.step_post_backward(tensors, optimisers, state, step, info, packed=False)
        record.after(step, mean_error, gaussians)
    return record.end(gaussians(), mean_error() if recent else None)


def _tensors(params: Params) -> tuple[Any, dict[str, Any]]:
    """The tensors and an optimiser for each, as gsplat's strategies want them."""
    import torch

    tensors = torch.nn.ParameterDict({
        name: torch.nn.Parameter(params.tensors[k].detach()) for k, name in NAMES.items()
    })  # fmt: skip
    optimisers = {
        name: torch.optim.Adam(
            [{"params": tensors[name], "lr": params.rates[k], "name": name}], eps=1e-15, fused=True
        )
        for k, name in NAMES.items()
    }
    return tensors, optimisers


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
