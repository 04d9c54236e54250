"""Shadows laid over pictures."""

from __future__ import annotations

import numpy as np
import torch

from pw_core.light.cast import Shade
from pw_core.light.overlay import kept, kept_tensor, laid_over, laid_over_on_cuda, receivers


def test_only_the_background_s_part_of_a_pixel_is_shaded_alike_by_both_ways() -> None:
    rng = np.random.default_rng(0)
    shade = Shade(np.array([10, -5]), rng.uniform(0.3, 1, (12, 14, 3)).astype(np.float32))
    points = np.stack([*rng.uniform(-0.05, 0.15, (2, 20, 30)), np.where(rng.uniform(size=(20, 30)) < 0.3, 0.2, 0)], -1)
    places = receivers(points, 0.004)
    share = kept(shade, places)
    assert (share[points[..., 2] > 0.1] == 1).all() and share.min() < 0.6
    inside = (np.abs(places[..., :2] - [15.5, 1.5]) < [5, 6]).all(-1)
    same = np.abs(kept_tensor(shade, torch.from_numpy(places)).numpy() - share)
    assert same[inside].max() < 1e-5
    ground = rng.uniform(size=(20, 30, 3)).astype(np.float32)
    cover = rng.uniform(size=(20, 30)).astype(np.float32)
    rgb = cover[..., None] * np.float32(0.5) + (1 - cover[..., None]) * ground
    wanted = cover[..., None] * 0.5 + (1 - cover[..., None]) * ground * share
    assert np.abs(laid_over(rgb, cover, ground, places, shade) / 255 - wanted).max() < 0.003
    tensors = [torch.from_numpy(a) for a in (rgb, cover, ground, places)]
    assert np.abs(laid_over_on_cuda(*tensors, shade).numpy() - wanted)[inside].max() < 1e-5
