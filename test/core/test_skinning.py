"""The kernels by which Gaussians follow particles, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core import gaussians, skinning
from pw_core.gaussians import F32, Binding
from pw_core.skinning import Resting


def body(n: int = 300, *, flat: bool = False) -> F32:
    x = np.random.default_rng(0).uniform(-1, 1, size=(n, 3)).astype(np.float32)
    if flat:
        x[:, 2] = 0.3
    return x


MAPS = {
    "still": np.eye(3),
    "turned": np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]]) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "sheared": np.array([[1.2, 0.5, 0], [0, 0.9, -0.3], [0.1, 0, 0.8]]),
    "crushed": np.diag([3.0, 1.0, 0.1]),
    "mirrored": np.diag([1.0, 1.0, -0.9]),
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", MAPS)
def test_deformations_agree_with_numpy(name: str, flat: bool) -> None:
    rest = body(flat=flat)
    noise = np.random.default_rng(1).normal(size=rest.shape) * (0.0 if flat else 0.02)
    now = (rest @ MAPS[name].T + noise + [0.1, 0, 2.0]).astype(np.float32)
    near = gaussians.neighbours(rest, np.repeat([0, 1], 150))
    want, got = gaussians.deformations(rest, now, near), skinning.deformations(rest, now, near)
    assert np.isfinite(got).all()
    assert np.abs(got - want).max() < 2e-4
    singular = np.linalg.svd(got)[1]
    assert singular.min() > 0.499 and singular.max() < 2.001 and (np.linalg.det(got) > 0).all()


def test_a_particle_with_no_or_few_neighbours_is_not_deformed() -> None:
    rest = body(3)
    now = rest + np.float32(0.5)
    for near in (np.zeros((3, 12), np.int64) + np.arange(3)[:, None], np.array([[0, 1], [1, 0], [2, 0]])):
        got = skinning.deformations(rest, now, near)
        assert np.allclose(got, np.eye(3), atol=1e-4), got


def test_following_agrees_with_numpy() -> None:
    rng, rest = np.random.default_rng(2), body()
    now = (rest @ MAPS["sheared"].T).astype(np.float32)
    A = skinning.deformations(rest, now, gaussians.neighbours(rest, np.zeros(300, np.int64)))
    weights = rng.uniform(size=(9000, 3)).astype(np.float32)
    binding = Binding(rng.integers(0, 300, size=(9000, 3)), weights / weights.sum(1, keepdims=True),
                      rng.normal(size=(9000, 3)).astype(np.float32), np.full(9000, 0.1, np.float32))  # fmt: skip
    m = rng.normal(size=(9000, 3, 3)).astype(np.float32) * 0.05
    covariances = m @ m.transpose(0, 2, 1)
    for a, b in zip(gaussians.follow(binding, rest, now, A, covariances),
                    skinning.follow(binding, rest, now, A, covariances), strict=True):  # fmt: skip
        assert a.dtype == b.dtype == np.float32 and a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_what_the_grid_holds_a_little_above_the_table_is_drawn_on_it(scene) -> None:
    size = scene.entities[0].particle_size_m
    resting, start = Resting(scene), scene.foreground.means
    low = float(start[:, 2].min())
    lowest = {}
    for sizes in (0.0, 1.0, 1.4, 2.0, 2.9, 3.5):
        means, particles = start + np.float32([0, 0, sizes * size]), scene.rest + np.float32([0, 0, sizes * size])
        expected = means[:, 2] - means[0, 2]
        resting.lower(means, particles)
        assert np.allclose(means[:, 2] - means[0, 2], expected, atol=1e-6)  # as a whole
        assert means[0, 2] - start[0, 2] == pytest.approx(float(particles[0, 2] - scene.rest[0, 2]), abs=1e-6)
        lowest[sizes] = (float(means[:, 2].min()) - low) / size
    assert lowest[0.0] == 0 and lowest[1.0] == pytest.approx(0, abs=0.01) and lowest[1.4] == pytest.approx(0, abs=0.01)
    assert 0 < lowest[2.0] < lowest[2.9] < lowest[3.5]
    assert lowest[3.5] == pytest.approx(3.5, abs=0.01)  # in the air nothing is lower than it is
