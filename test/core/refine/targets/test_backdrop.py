"""What a still camera sees where nothing stands."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.refine.targets.backdrop import Backdrop, noise_level


def table(seed: int, *, noise: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wood = 120 + 40 * np.sin(np.arange(120) / 9)[None, :, None] + np.zeros((90, 120, 3))
    return (wood + rng.normal(0, noise, wood.shape)).astype(np.float32)


def test_noise_is_measured_through_a_texture() -> None:
    assert noise_level(table(0, noise=5.0)) == pytest.approx(5.0, rel=0.1)


def test_a_shadow_is_a_gain_and_still_the_background() -> None:
    backdrop = Backdrop(table(0), np.ones((90, 120), bool), None, noise=2.0)
    dark = table(1)
    dark[:, 60:] *= 0.6
    free = np.ones((90, 120), np.float32)
    gain = backdrop.gain(dark, free)
    assert gain[:, :50].mean() == pytest.approx(1, abs=0.03) and gain[:, 70:].mean() == pytest.approx(0.6, abs=0.03)
    odd = table(2)
    odd[30:60, 20:40] = (250, 20, 20)
    shadow, thing = backdrop.log_density(dark, free)[45, 100], backdrop.log_density(odd, free)[45, 30]
    assert shadow > thing + 5


def test_what_comes_into_view_is_learnt_and_shadows_are_not() -> None:
    free = np.ones((90, 120), bool)
    free[:, :30] = False
    backdrop = Backdrop(table(0), free, None, noise=2.0)
    assert not backdrop.known[:, :30].any() and np.isnan(backdrop.log_density(table(1), free)[5, 5])
    backdrop.learn(table(1), np.ones((90, 120), bool))
    assert backdrop.known.all()
    before = backdrop.picture.copy()
    backdrop.learn(0.5 * table(2), np.ones((90, 120), bool))
    assert np.array_equal(backdrop.picture, before)
