"""A short photometric fit of colours at the photo's own camera."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import SH_C0, Camera, Gaussians
from pw_core.reconstruct.image import Rgb

GAIN = 0.5
REACH = 0.18


def fit_colors(
    foreground: Gaussians,
    foreground_pixels: NDArray[np.int64],
    background: Gaussians,
    background_pixels: NDArray[np.int64],
    photo: Rgb,
    camera: Camera,
    *,
    iterations: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[Gaussians, Gaussians, float]:
    """Colours so that the drawn scene is the photo; shapes and opacities stay.

    Each Gaussian that came from a pixel (row * width + column; -1: none, its colour stays) takes up that pixel's
    residual, again and again: with shapes fixed the picture is linear in the colours, and this is Van Cittert's
    deconvolution (1931) of the overlap between neighbours.

    Returns:
        foreground, background, and the PSNR [dB] over the whole picture.
    """
    import torch

    from pw_core.render import rasterize

    both = Gaussians.concatenate([foreground, background])
    pixels = np.concatenate([foreground_pixels, background_pixels])
    bound = np.flatnonzero(pixels >= 0)
    target = photo.reshape(-1, 3).astype(np.float32) / 255
    color = 0.5 + SH_C0 * both.sh[:, 0]
    tensors = (
        torch.from_numpy(both.means), torch.from_numpy(both.quats), torch.exp(torch.from_numpy(both.log_scales)),
        torch.sigmoid(torch.from_numpy(both.opacities)),
    )  # fmt: skip
    view = torch.from_numpy(camera.viewmat.astype(np.float32))[None]
    K = torch.from_numpy(camera.K.astype(np.float32))[None]

    def residual() -> NDArray[np.float32]:
        with torch.no_grad():
            drawn = rasterize(*tensors, torch.from_numpy(color), view, K, camera.width, camera.height)
        return np.asarray(target - drawn.rgb[0].numpy().reshape(-1, 3))

    # Never far from what the photo shows there: turned views would see the overshoot as dark and bright beads.
    low, high = (np.clip(target[pixels[bound]] + s, 0, 1) for s in (-REACH, REACH))
    error = residual()
    for i in range(iterations):
        color[bound] = np.clip(color[bound] + GAIN * error[pixels[bound]], low, high)
        error = residual()
        if progress is not None:
            progress((i + 1) / iterations)
    psnr = float(-10 * np.log10(max(float((error**2).mean()), 1e-12)))
    sh = both.sh.copy()
    sh[:, 0] = (color - 0.5) / SH_C0
    fitted = Gaussians(both.means, both.quats, both.log_scales, both.opacities, sh)
    n = len(foreground)
    return fitted[slice(0, n)], fitted[slice(n, len(both))], psnr
