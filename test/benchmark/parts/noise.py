"""Warped noise for the video model: is every frame unit Gaussian and white, and does it follow the flow?"""

from __future__ import annotations

import time

import numpy as np

from parts.records import record

H, W, T, CHANNELS = 480, 720, 49, 16


def flows() -> dict[str, np.ndarray]:
    """Forward flow [px] (H, W, 2) of one frame, kept for the whole film."""
    y, x = np.mgrid[:H, :W].astype(np.float32)
    x, y = x - W / 2, y - H / 2
    return {
        "shift by parts of a pixel": np.stack([np.full_like(x, 1.37), np.full_like(x, -0.61)], -1),
        "zoom in, 1 % a frame": np.stack([0.01 * x, 0.01 * y], -1),
        "zoom out, 1 % a frame": np.stack([-0.01 * x, -0.01 * y], -1),
        "swirl": np.stack([3 * np.sin(y / 60), 3 * np.cos(x / 80)], -1),
    }


def neighbours(frame: np.ndarray) -> float:
    """The largest correlation of a pixel with another at most two away, (C, H, W)."""
    worst = 0.0
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        a, b = frame[:, : frame.shape[1] - dy, : frame.shape[2] - dx], frame[:, dy:, dx:]
        worst = max(worst, abs(float((a * b).mean())))
    return worst


def run(*, size: tuple[int, int, int] = (T, H, W)) -> None:
    """All of item 4, at the size the video model is run at."""
    import torch
    from scipy import stats

    from pw_core.refine.targets.noise import edges, pool, step, warp_noise, whole_moves

    frames, height, width = size

    for name, whole in flows().items():
        flow = whole[:height, :width]
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((height * width, CHANNELS), generator=generator)
        density = torch.ones(height * width)
        means, variances, p, white, follows, pooled = [], [], [], [], [], []
        y, x = np.mgrid[:height, :width]
        began = time.perf_counter()
        spent = 0.0
        for t in range(frames):
            if t > 0:
                before = noise.T.reshape(CHANNELS, height, width).numpy()
                start = time.perf_counter()
                moves = whole_moves(flow, t - 1)
                noise, density = step(noise, density, edges(moves), generator)
                spent += time.perf_counter() - start
                after = noise.T.reshape(CHANNELS, height, width).numpy()
                tx, ty = x + moves[..., 0], y + moves[..., 1]
                seen = (tx >= 0) & (tx < width) & (ty >= 0) & (ty < height)
                follows.append(np.corrcoef(before[:, seen].ravel(), after[:, ty[seen], tx[seen]].ravel())[0, 1])
            picture = noise.T.reshape(CHANNELS, height, width)
            values = picture.numpy()
            means.append(abs(values.mean()))
            variances.append(abs(values.var() - 1))
            p.append(stats.kstest(values[:, ::4, ::4].ravel(), "norm").pvalue)
            white.append(neighbours(values))
            if t % 4 == 0:
                pooled.append(pool(picture, size=8).numpy())
        latent = np.stack(pooled)
        about = f"{frames} frames, {width}x{height}, {CHANNELS} channels; the worst frame"
        record(f"noise, {name}: |mean|", float(max(means)), "", "<= 0.01", max(means) <= 0.01, about)
        record(f"noise, {name}: |variance - 1|", float(max(variances)), "", "<= 0.02", max(variances) <= 0.02)
        bonferroni = min(1.0, min(p) * frames)
        record(f"noise, {name}: KS p after Bonferroni", bonferroni, "", "> 0.01", bonferroni > 0.01)
        limit = 5 / np.sqrt(height * width * CHANNELS)
        record(f"noise, {name}: neighbours' correlation", max(white), "", f"<= {limit:.1e}", max(white) <= limit,
               "five standard errors of independent values")  # fmt: skip
        record(f"noise, {name}: follows the flow", float(min(follows)), "", ">= 0.9", min(follows) >= 0.9,
               "correlation on visible pixels at the resolution of warping; the worst pair of frames")  # fmt: skip
        record(f"noise, {name}: latent |mean|, all frames", float(abs(latent.mean())), "", "<= 0.01",
               abs(latent.mean()) <= 0.01, f"{latent.shape[0]} latent frames")  # fmt: skip
        worst = float(np.abs(latent.var((1, 2, 3)) - 1).max())
        record(f"noise, {name}: latent |variance - 1|", worst, "", "<= 0.02", worst <= 0.02)
        record(f"noise, {name}: seconds a frame", spent / max(frames - 1, 1), "s", "reported", None,
               f"two shared CPU cores; {time.perf_counter() - began:.0f} s with the statistics")  # fmt: skip
    still = warp_noise(np.zeros((4, height, width, 2), np.float32), seed=1)
    same = all(bool(torch.equal(still[0], n)) for n in still)
    record("noise, zero flow: the same again", float(same), "", "= 1", same)
    count = len(warp_noise(np.zeros((48, 16, 16, 2), np.float32), latents=13))
    record("noise: 49 frames become", count, "latent", "= 13", count == 13)
