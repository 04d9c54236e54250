"""Warped noise is unit Gaussian and white in every frame, and follows the flow (issue's item 4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pw_core.refine.targets.noise import degrade, edges, latent_frames, pool, step, warp_noise, whole_moves

H, W, T, C = 96, 144, 13, 16


def still() -> np.ndarray:
    return np.zeros((T - 1, H, W, 2), np.float32)


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:H, :W].astype(np.float32)
    return x - W / 2, y - H / 2


def flow_of(kind: str) -> np.ndarray:
    """Whole-picture motion of some px a frame: a shift by parts of a pixel, a turn, a zoom in, a zoom out, a swirl."""
    x, y = grid()
    one = {
        "shift": np.stack([np.full_like(x, 1.37), np.full_like(x, -0.61)], -1),
        "turn": np.stack([-0.02 * y, 0.02 * x], -1),
        "zoom in": np.stack([0.02 * x, 0.02 * y], -1),
        "zoom out": np.stack([-0.02 * x, -0.02 * y], -1),
        "swirl": np.stack([2 * np.sin(y / 15), 2 * np.cos(x / 20)], -1),
    }[kind]
    return np.tile(one.astype(np.float32), (T - 1, 1, 1, 1))


KINDS = ["shift", "turn", "zoom in", "zoom out", "swirl"]


def test_zero_flow_gives_the_same_noise_again() -> None:
    noise = warp_noise(still(), downscale=1, seed=3)
    assert noise.shape == (T, C, H, W)
    assert all(torch.equal(noise[0], n) for n in noise)
    assert not torch.equal(noise, warp_noise(still(), downscale=1, seed=4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("downscale", [1, 8])
def test_unit_gaussian_and_white_in_every_frame(kind: str, downscale: int) -> None:
    # Enough channels that 1 % is three standard errors of the mean of the pooled noise, too.
    channels = C if downscale == 1 else 512
    noise = warp_noise(flow_of(kind)[:6], channels=channels, downscale=downscale, latents=4, seed=1).numpy()
    p = [stats.kstest(frame.ravel(), "norm").pvalue for frame in noise]
    assert min(p) * len(p) > 0.01
    for frame in noise:
        assert abs(frame.mean()) < 0.01 and abs(frame.var() - 1) < 0.02
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
            a = frame[:, : frame.shape[1] - dy, max(0, -dx) : frame.shape[2] - max(0, dx)]
            b = frame[:, dy:, max(0, dx) : frame.shape[2] + min(0, dx)]
            # Independent values correlate by chance with a standard error of 1 / sqrt(n).
            assert abs((a * b).mean()) < 5 / np.sqrt(a.size)


def test_flat_spectrum() -> None:
    noise = warp_noise(flow_of("swirl"), channels=64, downscale=1, seed=2)[-1]
    power = (torch.fft.fft2(noise).abs() ** 2 / (H * W)).mean(0)
    quarters = power.reshape(4, H // 4, 4, W // 4).mean((1, 3))
    assert (quarters - 1).abs().max() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_follows_its_predecessor(kind: str) -> None:
    """The noise of every pixel that stays in view is found again where the flow, in whole pixels, leads to."""
    flow = flow_of(kind)
    noise = warp_noise(flow, downscale=1, seed=5).numpy()
    y, x = np.mgrid[:H, :W]
    for t in range(T - 1):
        moves = whole_moves(flow[t], t)
        assert np.abs(moves - flow[t]).max() < 1
        tx, ty = x + moves[..., 0], y + moves[..., 1]
        seen = (tx >= 0) & (tx < W) & (ty >= 0) & (ty < H)
        after = noise[t + 1][:, ty[seen], tx[seen]]
        assert np.corrcoef(noise[t][:, seen].ravel(), after.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("speed", [0.1, 0.3, -0.45, 1.7])
def test_slow_motion_adds_up(speed: float) -> None:
    """0.3 px a frame would round to nothing; after 48 frames the noise is 14 px further on."""
    flow = np.zeros((48, 24, 160, 2), np.float32)
    flow[..., 0] = speed
    noise = warp_noise(flow, downscale=1, latents=13, channels=4, seed=0).numpy()
    for i, t in enumerate(range(0, 49, 4)):
        m = np.array([(noise[i][:, :, 90:100] * noise[0][:, :, 90 - d : 100 - d]).mean() for d in range(-50, 90)])
        assert m.max() > 0.8
        assert abs(m.argmax() - 50 - speed * t) <= 1.5  # a latent pixel has 8


def test_what_is_in_front_covers_what_is_behind() -> None:
    flow = np.zeros((6, 32, 64, 2), np.float32)
    front = np.zeros((7, 32, 64), np.int32)
    for t in range(7):
        front[t, 8:24, 10 + 2 * t : 26 + 2 * t] = 1
        if t < 6:
            flow[t][front[t] == 1] = (2, 0)
    noise = warp_noise(flow, downscale=1, front=front, seed=0)
    assert torch.equal(noise[6][:, 8:24, 22:38], noise[0][:, 8:24, 10:26])  # the thing took its noise along
    assert torch.equal(noise[6][:, :8], noise[0][:, :8])  # the background kept its own
    assert abs(float((noise[6][:, 8:24, 10:22] * noise[0][:, 8:24, 10:22]).mean())) < 0.1  # uncovered: new


def test_one_value_shared_by_many_is_white() -> None:
    """A zoom by two from a known value: over many draws its shares are uncorrelated."""
    y, x = np.mgrid[:4, :4].astype(np.float32)
    links = edges(np.stack([x, y], -1).astype(np.int64) // 2)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn((16, 200_000), generator=generator)
    out, density = step(draws, torch.ones(16), links, generator)
    cov = out @ out.T / draws.shape[1]
    assert (cov - torch.eye(16)).abs().max() < 0.02
    assert density.max() <= 1 and density.min() < 0.5


def test_49_frames_become_13_and_degradation_keeps_the_variance() -> None:
    assert latent_frames(49, latents=13) == list(range(0, 49, 4))
    flow = np.zeros((48, 24, 40, 2), np.float32)
    assert warp_noise(flow, latents=13).shape == (13, 16, 3, 5)
    clean = warp_noise(still(), downscale=1, seed=1)
    for level, kept in ((0.0, 1.0), (0.5, 0.5**0.5), (1.0, 0.0)):
        mixed = degrade(clean, level, torch.Generator().manual_seed(9))
        assert abs(float(mixed.var()) - 1) < 0.02
        assert abs(float((mixed * clean).mean()) - kept) < 0.01
    assert torch.equal(pool(torch.ones(2, 4, 4), size=2), torch.full((2, 2, 2), 2.0))
