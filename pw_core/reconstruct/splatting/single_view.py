"""A short photometric fit of colours, and of the outline's opacities, at the photo's own camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, SH_C0, Camera, Gaussians
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class PhotoFitOptions:
    """The fit of colours and of the outline's opacities; colours are 0 to 1."""

    gain: float = 0.5
    """Of the residual that is taken up at each step: neighbours overlap, and all of it would overshoot."""
    most_change: float = 0.2
    """Of a colour. Turned views would see the overshoot of more as dark and bright beads."""
    most_change_mixed: float = 0.04
    """Of a colour at the outline, where opacity is to do the rest."""
    least_contrast: float = 0.1
    """Where thing and background differ by less, the outline's opacity moves less."""
    least_opacity: float = 0.02
    """Of the outline's Gaussians."""
    hidden_iterations: int = 4
    """Of the fit to what the photo does not show, which nothing else changes: without, it is drawn blurred beside what
    is fitted to the photo."""


def _residual(
    both: Gaussians, opacity: NDArray[np.floating], photo: Rgb, camera: Camera, *, things: int, hidden_colors: Rgb,
    kept: F32 | None,
) -> Callable[[NDArray[np.floating], NDArray[np.floating]], F32]:  # fmt: skip
    """Of opacities (N,), no more than `opacity`, and colours (N, 3): what the photo has more than the scene drawn with
    them (H * W, 3).

    The first `things` Gaussians stand before the background, which shadows darken to the share `kept` (H, W, 3).
    """
    import torch

    from pw_core.render.redraw import Redrawn

    target = photo.reshape(-1, 3).astype(np.float32) / 255
    is_thing = torch.zeros(len(both), 1)
    is_thing[:things] = 1
    dark = None if kept is None else hidden_colors.reshape(-1, 3).astype(np.float32) / 255 * (1 - kept.reshape(-1, 3))
    scene = Redrawn(
        torch.from_numpy(both.means), torch.from_numpy(both.quats), torch.exp(torch.from_numpy(both.log_scales)),
        torch.from_numpy(opacity), torch.from_numpy(camera.viewmat.astype(np.float32)),
        torch.from_numpy(camera.K.astype(np.float32)), camera.width, camera.height,
        features=None if dark is None else is_thing,
    )  # fmt: skip

    def residual(opacity: NDArray[np.floating], color: NDArray[np.floating]) -> F32:
        rgb, cover = scene.draw(opacity, color)
        out = target - rgb.reshape(-1, 3)
        if dark is not None:
            out += (1 - cover.reshape(-1, 1)) * dark
        return np.asarray(out)

    return residual


def fit_hidden(
    background: Gaussians, pixels: NDArray[np.int64], filled: Rgb, camera: Camera, *,
    options: PhotoFitOptions = PhotoFitOptions(),
) -> Gaussians:  # fmt: skip
    """The background with those Gaussians that came from pixels (N,) of what things hide (row * width + column; -1:
    none) fitted to that, as filled (H, W, 3), by the steps of `fit_colors`."""
    bound = np.flatnonzero(pixels >= 0)
    if len(bound) == 0 or options.hidden_iterations < 1:
        return background
    color = 0.5 + SH_C0 * background.sh[:, 0]
    opacity = 1 / (1 + np.exp(-background.opacities))
    residual = _residual(background, opacity, filled, camera, things=0, hidden_colors=filled, kept=None)
    low, high = (np.clip(color[bound] + s, 0, 1) for s in (-options.most_change, options.most_change))
    for _ in range(options.hidden_iterations):
        error = residual(opacity, color)
        color[bound] = np.clip(color[bound] + options.gain * error[pixels[bound]], low, high)
    sh = background.sh.copy()
    sh[bound, 0] = (color[bound] - 0.5) / SH_C0
    return replace(background, sh=sh)


def fit_colors(
    foreground: Gaussians,
    foreground_pixels: NDArray[np.int64],
    background: Gaussians,
    background_pixels: NDArray[np.int64],
    photo: Rgb,
    camera: Camera,
    *,
    outline: NDArray[np.bool_],
    hidden_colors: Rgb,
    kept: F32 | None = None,
    seam: Mask | None = None,
    iterations: int,
    progress: Callable[[float], None] | None = None,
    options: PhotoFitOptions = PhotoFitOptions(),
) -> tuple[Gaussians, Gaussians, float]:
    """Colours so that the drawn scene is the photo; shapes stay, and opacities but for the outline's.

    Each Gaussian that came from a pixel (row * width + column; -1: none, its colour stays) takes up that pixel's
    residual, again and again: with shapes fixed the picture is linear in the colours, and this is Van Cittert's
    deconvolution (1931) of the overlap between neighbours. Those that `outline` (N,) marks are mixed with what lies
    behind them, whose colours are `hidden_colors` (H, W, 3) under shadows: they all but keep their colour and take up
    the residual with their opacity, as far as it lies between the two colours.

    Args:
        kept: (H, W, 3), the share of the background's colours that shadows in the photo keep; None: all.
        seam: (H, W), where two surfaces of the background meet: its colours stay among those around, or a turned view
            would draw a bright or dark line there.

    Returns:
        foreground, background, and the PSNR [dB] over the whole picture.
    """
    import cv2

    both = Gaussians.concatenate([foreground, background])
    pixels = np.concatenate([foreground_pixels, background_pixels])
    mixed = np.flatnonzero(outline & (foreground_pixels >= 0))
    bound = np.flatnonzero(pixels >= 0)
    reach = np.full((len(both), 1), options.most_change, np.float32)
    reach[mixed] = options.most_change_mixed
    if kept is not None:  # the deeper a shadow, the less a photo tells of what it lies on
        behind = np.flatnonzero((np.arange(len(both)) >= len(foreground)) & (pixels >= 0))
        reach[behind] *= np.minimum(kept.min(-1).reshape(-1, 1)[pixels[behind]], 1) ** 2
    color = 0.5 + SH_C0 * both.sh[:, 0]
    opacity = 1 / (1 + np.exp(-both.opacities))
    most = opacity[mixed]
    behind_them = hidden_colors.reshape(-1, 3)[pixels[mixed]].astype(np.float32) / 255
    if kept is not None:  # at a foot they stand before the table's shadow
        behind_them *= np.clip(kept.reshape(-1, 3)[pixels[mixed]], 0, 1)
    between = color[mixed] - behind_them
    between /= np.maximum((between**2).sum(axis=1), options.least_contrast**2)[:, None]
    residual = _residual(both, opacity, photo, camera, things=len(foreground), hidden_colors=hidden_colors, kept=kept)
    low, high = (np.clip(color[bound] + s, 0, 1) for s in (-reach[bound], reach[bound]))
    if seam is not None:
        at = np.flatnonzero((bound >= len(foreground)) & seam.reshape(-1)[pixels[bound]])
        around = [f(hidden_colors, np.ones((5, 5))).reshape(-1, 3) / 255 for f in (cv2.erode, cv2.dilate)]
        low[at] = np.maximum(low[at], around[0][pixels[bound[at]]])
        high[at] = np.minimum(high[at], around[1][pixels[bound[at]]])
    error = residual(opacity, color)
    for i in range(iterations):
        color[bound] = np.clip(color[bound] + options.gain * error[pixels[bound]], low, high)
        step = options.gain * (error[pixels[mixed]] * between).sum(axis=1)
        opacity[mixed] = np.clip(opacity[mixed] + step, options.least_opacity, most)
        error = residual(opacity, color)
        if progress is not None:
            progress((i + 1) / iterations)
    psnr = float(-10 * np.log10(max(float((error**2).mean()), 1e-12)))
    sh = both.sh.copy()
    sh[:, 0] = (color - 0.5) / SH_C0
    opacities = both.opacities.copy()
    opacities[mixed] = np.log(opacity[mixed] / (1 - opacity[mixed]))
    fitted = Gaussians(both.means, both.quats, both.log_scales, opacities, sh)
    n = len(foreground)
    return fitted[slice(0, n)], fitted[slice(n, len(both))], psnr
