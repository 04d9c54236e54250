"""Samples of surfaces as flat Gaussians."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import quats_to_rotations
from pw_core.reconstruct.splatting.splats import rotations_to_quats, steps_of, surface_gaussians


def test_a_gaussian_is_half_a_sample_wide_and_thin_across_the_surface() -> None:
    step = 0.01
    g = surface_gaussians(np.zeros((1, 3)), np.array([[step, 0, 0]]), np.array([[0, step, 0]]), np.full((1, 3), 0.4))
    assert np.allclose(np.sqrt(np.diag(g.covariances()[0])), [0.5 * step, 0.5 * step, 0.075 * step], rtol=1e-4)
    assert np.allclose(g.colors(), 0.4, atol=1e-6)


def test_neither_step_counts_for_more_than_the_most_stretch() -> None:
    across, down = np.array([[1.0, 0, 0]]), np.array([[0, 0.01, 0]])
    g = surface_gaussians(np.zeros((1, 3)), across, down, np.zeros((1, 3)), max_stretch=12.0)
    assert np.allclose(np.exp(g.log_scales).max(), 0.5 * 12 * 0.01)


def test_rotations_and_quaternions_agree() -> None:
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(20, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    again = rotations_to_quats(quats_to_rotations(quats))
    assert np.allclose(np.abs((again * quats).sum(1)), 1)


def test_of_two_steps_the_shorter_is_taken_so_that_outlines_do_not_smear() -> None:
    grid = np.zeros((1, 4, 3))
    grid[0, :, 0] = [0, 1, 2, 50]  # an edge between the third and the fourth
    across, down = steps_of(grid)
    assert across[0, :, 0].tolist() == [1, 1, 1, 48] and np.isnan(down).all()
