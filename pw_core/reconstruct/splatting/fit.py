"""3D Gaussians from posed pictures: photometric fit with densification (Kerbl et al. 2023), on the CPU or on CUDA, and
how near the pictures it came."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.checkpoint import Fitted
from pw_core.reconstruct.splatting.cpu import FitOptions, fit_cpu
from pw_core.reconstruct.splatting.cuda import CudaFitOptions, fit_cuda
from pw_core.reconstruct.splatting.draw import (
    choose_device,
    draw_tensors,
    gaussian_tensors,
    picture_tensors,
    where_seen,
)
from pw_core.reconstruct.types import View


def fit(
    views: Sequence[View], first: Gaussians, settings: ViewsSettings, *, progress: Progress,
    checkpoint: Path | None = None, options: FitOptions = FitOptions(), cuda_options: CudaFitOptions = CudaFitOptions(),
) -> Fitted:  # fmt: skip
    """Fit Gaussians to all `views`; goes on from `checkpoint` if it is there, and writes it as it goes.

    `progress` gets "fit: step i of n, PSNR p dB, ETA s s" and the fraction; what it raises ends the fit, the checkpoint
    stays.

    Raises:
        ReconstructError: INVALID_CONFIG (a device, or a model that this device does not fit), RECONSTRUCT_FAILED (the
            checkpoint is broken).
    """
    if choose_device(settings) == "cuda":
        return fit_cuda(views, first, settings, progress=progress, checkpoint=checkpoint, options=cuda_options)
    if settings.model == "2dgs":
        raise ReconstructError("views.model '2dgs' needs CUDA; the CPU fits '3dgs'", code=ErrorCode.INVALID_CONFIG)
    return fit_cpu(views, first, settings, progress=progress, checkpoint=checkpoint, options=options)


def score(views: Sequence[View], gaussians: Gaussians, *, device: str = "cpu") -> dict[str, float]:
    """Mean PSNR [dB] and SSIM over `views`."""
    import torch

    from pw_core.reconstruct.splatting.losses import ssim_map

    psnr, ssim = [], []
    tensors = gaussian_tensors(gaussians, device)
    with torch.no_grad():
        for v in views:
            drawn = draw_tensors(tensors, v.camera, device=device, sh_degree=gaussians.sh_degree).rgb[0]
            shown, valid = picture_tensors(v, device)
            drawn = drawn.clamp(0, 1)
            target = where_seen(shown, valid, drawn)
            share = 1.0 if v.valid is None else float(v.valid.mean())
            psnr.append(float(-10 * torch.log10(((drawn - target) ** 2).mean() / share)))
            similar = float(ssim_map(drawn, target).mean())
            ssim.append(similar if v.valid is None else 1 - (1 - similar) / share)
    return {"psnr_db": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}
