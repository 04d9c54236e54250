"""Gaussians as they are, drawn from one camera: no optimiser, no gradients unless the tensors have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera, Gaussians
from pw_core.reconstruct.types import View


def choose_device(settings: ViewsSettings) -> str:
    """`cuda` where it is asked for or, on `auto`, where torch sees it.

    Raises:
        ReconstructError (INVALID_CONFIG): CUDA was asked for and is not there.
    """
    import torch

    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise ReconstructError("views.device is 'cuda', but torch sees no CUDA device", code=ErrorCode.INVALID_CONFIG)
    return "cuda" if there and settings.device != "cpu" else "cpu"


def picture_tensors(view: View, device: str = "cpu") -> tuple[Any, Any]:
    """The picture (H, W, 3), 0 to 1, and what of it was seen (H, W, 1), None: all."""
    import torch

    target = torch.from_numpy(view.image.astype(np.float32) / 255).to(device)
    return target, None if view.valid is None else torch.from_numpy(view.valid).to(device)[..., None]


def where_seen(target: Any, valid: Any, drawn: Any) -> Any:
    """The target (H, W, 3) with what is drawn where nothing was seen, so that nothing pulls at it."""
    import torch

    return target if valid is None else torch.where(valid, target, drawn.detach())


def camera_tensors(camera: Camera, device: str = "cpu") -> tuple[Any, Any]:
    """viewmat (1, 4, 4) and K (1, 3, 3)."""
    import torch

    return (torch.from_numpy(camera.viewmat.astype(np.float32))[None].to(device),
            torch.from_numpy(camera.K.astype(np.float32))[None].to(device))  # fmt: skip


def gaussian_tensors(gaussians: Gaussians, device: str = "cpu") -> tuple[Any, ...]:
    """means (N, 3), quats (N, 4), scales (N, 3), opacities (N,) and harmonics (N, K, 3), as `rasterize` takes them.

    Copies: what is drawn and what is fitted never share memory.
    """
    import torch

    means, quats, log_scales, opacities, sh = (
        torch.tensor(a, dtype=torch.float32, device=device) for a in gaussians.arrays().values()
    )
    return means, quats, torch.exp(log_scales), torch.sigmoid(opacities), sh


def draw_tensors(tensors: Sequence[Any], camera: Camera, *, device: str = "cpu", **options: Any) -> Any:
    """`rasterize` of means, quats, scales, opacities and colours from one camera, gradients included."""
    from pw_core.render import rasterize

    means, quats, scales, opacities, colors = tensors
    view, K = camera_tensors(camera, device)
    return rasterize(means, quats, scales, opacities, colors, view, K, camera.width, camera.height, **options)


def draw_gaussians(gaussians: Gaussians, camera: Camera, *, device: str = "cpu", **options: Any) -> Any:
    """`rasterize` of the Gaussians with their harmonics from one camera, without gradients."""
    import torch

    with torch.no_grad():
        tensors = gaussian_tensors(gaussians, device)
        return draw_tensors(tensors, camera, device=device, sh_degree=gaussians.sh_degree, **options)
