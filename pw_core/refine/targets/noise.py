"""Gaussian noise that follows a film's motion and stays white in every frame.

Burgert et al. 2025, "Go-with-the-Flow", algorithm 1: noise pixels are particles that move along the flow. Where several
land on one pixel they are merged by density and brought back to unit variance (contraction); a pixel that none reaches
takes a share of a neighbour's, and the shares of one pixel are drawn so that together they are white (expansion).
Two things are ours. Flow is rounded to whole pixels with another threshold in each frame, the same for all pixels, so
that slow motion adds up and neighbours still move together. And a particle that something in front comes to cover is
dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32

if TYPE_CHECKING:
    import torch

GOLDEN = (5**0.5 - 1) / 2
"""Steps of the thresholds: multiples of the golden ratio, of which any stretch is spread evenly from 0 to 1. Steady
motion is then off by 0.4 px on the average and by 1.5 px at most, at any time in 49 frames."""

I64 = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """How noise follows motion."""

    gap_px: float = 2.0
    """A pixel that no particle reached takes noise from one landed at most so far away; else its noise is new."""
    first_threshold: float = 0.7
    """At which flow is rounded up in the first frame."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Which noise pixels of the last frame (flat index) make which of the next."""

    source: I64
    target: I64


def whole_moves(flow: F32, frame: int, *, options: NoiseOptions = NoiseOptions()) -> I64:
    """Flow [px] (H, W, 2) in whole pixels: floor(flow + u), u from 0 to 1 drawn by the frame's number alone."""
    return np.asarray(np.floor(flow + (options.first_threshold + frame * GOLDEN) % 1), dtype=np.int64)


def edges(
    moves: I64, *, front: NDArray[np.integer] | None = None, options: NoiseOptions = NoiseOptions()
) -> Edges:
    """From moves [px] (H, W, 2).

    front (H, W): where particles of different `front` meet, only those of the largest stay.
    """
    from scipy import ndimage

    h, w = moves.shape[:2]
    level = np.zeros(h * w, np.int64) if front is None else front.ravel().astype(np.int64)
    y, x = np.mgrid[:h, :w]
    cell = np.stack([x, y], -1) + moves
    source = np.flatnonzero(((cell >= 0) & (cell < (w, h))).all(-1))
    target = (cell[..., 1] * w + cell[..., 0]).ravel()[source]
    if front is not None:
        top = np.full(h * w, level.min(), np.int64)
        np.maximum.at(top, target, level[source])
        stays = level[source] == top[target]
        source, target = source[stays], target[stays]
    last = np.full(h * w, -1, np.int64)
    last[target] = source
    gap, there = ndimage.distance_transform_edt((last < 0).reshape(h, w), return_indices=True)
    empty = np.flatnonzero((gap > 0) & (gap <= options.gap_px))
    # A gap's content was where the motion of the pixel beside it, backwards, leads to ...
    beside = last[(there[0] * w + there[1]).ravel()[empty]]
    step = moves.reshape(-1, 2)[beside]
    fx, fy = empty % w - step[:, 0], empty // w - step[:, 1]
    known = (fy >= 0) & (fy < h) & (fx >= 0) & (fx < w)
    empty, beside, origin = empty[known], beside[known], (fy * w + fx)[known]
    # ... if that moves along. If not, something moved away and laid bare what was hidden.
    along = (np.abs(moves.reshape(-1, 2)[origin] - step[known]) <= 1).all(-1) & (level[origin] == level[beside])
    return Edges(np.concatenate([source, origin[along]]), np.concatenate([target, empty[along]]))


def step(
    noise: torch.Tensor, density: torch.Tensor, links: Edges, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next frame's noise (P, C) and density (P,) from the last one's, P pixels."""
    import torch

    source, target = torch.from_numpy(links.source).to(noise.device), torch.from_numpy(links.target).to(noise.device)
    count = torch.bincount(source, minlength=len(noise)).to(noise.dtype)[source]
    value = noise[source]
    shared = count > 1
    if bool(shared.any()):
        # Shares of one value q: q / d + (Z_i - mean Z) / sqrt(d), each of variance 1 / d and independent of the others.
        who, d = source[shared], count[shared, None]
        fresh = _randn((len(who), noise.shape[1]), generator, noise)
        total = torch.zeros_like(noise).index_add_(0, who, fresh)
        value[shared] = value[shared] / d + (fresh - total[who] / d) / d.sqrt()
    weight = density[source] / count
    out = torch.zeros_like(noise).index_add_(0, target, value * weight[:, None])
    packed = torch.zeros_like(density).index_add_(0, target, weight)
    variance = torch.zeros_like(density).index_add_(0, target, weight**2 / count)
    empty = variance == 0
    out /= variance.sqrt().masked_fill(empty, 1)[:, None]
    if bool(empty.any()):
        out[empty] = _randn((int(empty.sum()), noise.shape[1]), generator, noise)
        packed[empty] = 1
    return out, packed


def _randn(shape: tuple[int, ...], generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    import torch

    # Drawn on the CPU: a seed gives the same noise on every device.
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(like)


def degrade(noise: torch.Tensor, degradation: float, generator: torch.Generator) -> torch.Tensor:
    """Mix with new noise, still unit variance: 0 leaves the motion alone, 1 forgets it."""
    if degradation == 0:
        return noise
    keep = 1 - degradation
    mixed = keep * noise + degradation * _randn(tuple(noise.shape), generator, noise)
    return mixed / (keep**2 + degradation**2) ** 0.5


def latent_frames(frames: int, *, latents: int) -> list[int]:
    """Which of the frames stand for the latent ones: evenly spread, first and last among them (49, 13: every 4th)."""
    return [round(i * (frames - 1) / max(latents - 1, 1)) for i in range(latents)]


def pool(noise: torch.Tensor, *, size: int) -> torch.Tensor:
    """Noise (..., C, H, W) of 1/size the height and width: means of squares, times `size`, so again unit variance."""
    import torch

    flat = noise.reshape(-1, *noise.shape[-2:])
    small = torch.nn.functional.avg_pool2d(flat[:, None], size)[:, 0] * size
    return small.reshape(*noise.shape[:-2], *small.shape[-2:])


def warp_noise(
    flow: F32,
    *,
    channels: int = 16,
    downscale: int = 8,
    latents: int | None = None,
    degradation: float = 0.0,
    front: NDArray[np.integer] | None = None,
    seed: int = 0,
    device: str = "cpu",
    options: NoiseOptions = NoiseOptions(),
) -> torch.Tensor:
    """Noise (L, channels, H / downscale, W / downscale), unit Gaussian and white in each frame, that follows `flow`.

    Args:
        flow: forward [px] (T - 1, H, W, 2), at the resolution where noise is warped; sizes are multiples of
            `downscale`.
        latents: L, how many of the T frames are kept, evenly spread; None: T.
        degradation: 0 (follows the flow) to 1 (does not).
        front: (T, H, W), larger in front, for example masks; None: what meets is merged.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    t, (h, w) = len(flow) + 1, flow.shape[1:3]
    kept = latent_frames(t, latents=t if latents is None else latents)
    noise = torch.randn((h * w, channels), generator=generator).to(device)
    density = torch.ones(h * w, device=device)
    out = []
    for k in range(t):
        if k > 0:
            moves = whole_moves(flow[k - 1], k - 1, options=options)
            links = edges(moves, front=None if front is None else front[k - 1], options=options)
            noise, density = step(noise, density, links, generator)
        if k in kept:
            out.append(pool(noise.T.reshape(channels, h, w), size=downscale))
    return degrade(torch.stack(out), degradation, generator)
