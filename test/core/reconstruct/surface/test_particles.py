"""Particles fill a solid, and every Gaussian has one in reach."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.surface.inflate import make_solid
from pw_core.reconstruct.surface.particles import Filled, ParticleOptions, bind, cover, sample_inside
from support.ball_photo import CENTRE, RADIUS, ball_config, ball_mask, camera

VOLUME = 4 / 3 * np.pi * RADIUS**3


def test_about_as_many_as_asked_for_fill_the_solid() -> None:
    solid = make_solid(ball_mask(), ball_config().entities[0], camera())
    filled = sample_inside(solid, camera(), volume_m3=VOLUME, count=900, name="ball")
    assert len(filled.positions) == pytest.approx(900, rel=0.15)
    assert filled.spacing_m == pytest.approx((VOLUME / 900) ** (1 / 3))
    assert (filled.positions[:, 2] > 0).all()
    assert np.linalg.norm(filled.positions.mean(0) - CENTRE) < 0.4 * RADIUS
    with pytest.raises(ReconstructError, match=r"'ball': only .* particles fit inside") as caught:
        sample_inside(solid, camera(), volume_m3=VOLUME, count=900, name="ball",
                      options=ParticleOptions(min_particles=5000))  # fmt: skip
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED


def gaussians(means: np.ndarray) -> Gaussians:
    n = len(means)
    return Gaussians(means.astype(np.float32), np.ones((n, 4), np.float32), np.zeros((n, 3), np.float32),
                     np.zeros(n, np.float32), np.zeros((n, 1, 3), np.float32))  # fmt: skip


def test_particles_are_added_until_every_gaussian_is_in_reach() -> None:
    rng = np.random.default_rng(0)
    inside, means = rng.uniform(0, 0.1, (200, 3)), rng.uniform(-0.03, 0.13, (500, 3))
    positions = cover(Filled(inside, 0.01), means)
    assert (positions[:200] == inside).all() and len(positions) > 200
    assert cKDTree(positions).query(means)[0].max() <= 0.009


@pytest.mark.parametrize(("model", "blended"), [("elastic", True), ("plastic", True), ("liquid", False)])
def test_solids_blend_and_liquids_hang_on_one(model: str, blended: bool) -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 0.1, (400, 3))
    own = gaussians(positions[:50] + 0.002)
    entity = ball_config(material={"model": model}).entities[0]
    index, weights, raw = bind(positions, 0.02, own, entity)
    assert index.shape == weights.shape == (50, 4) and np.allclose(weights.sum(1), 1)
    assert ((weights > 0).sum(1) > 1).all() == blended
    assert np.allclose(positions[index[:, 0]] + 0.02 * np.tanh(raw), own.means, atol=1e-6)
