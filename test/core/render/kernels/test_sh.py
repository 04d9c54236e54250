"""Spherical harmonics against torch, and their derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.render.kernels.sh import sh_basis
from pw_core.render.reference import sh_colors

DIRECTIONS = np.random.default_rng(0).normal(size=(20, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_values_are_the_references(degree: int) -> None:
    bands = (degree + 1) ** 2
    for d in DIRECTIONS:
        basis, grad = np.zeros(16), np.zeros((16, 3))
        sh_basis(degree, *d, basis, grad)
        # One coefficient at a time; 0.5 is added, and colours are not below 0.
        sh = torch.zeros(bands, bands, 3, dtype=torch.float64)
        sh[range(bands), range(bands)] = 0.2
        want = sh_colors(sh, torch.from_numpy(d).expand(bands, 3), degree)[:, 0] - 0.5
        assert np.allclose(0.2 * basis[:bands], want, atol=1e-12)


def test_derivatives_are_the_slopes() -> None:
    for d in DIRECTIONS:
        basis, grad = np.zeros(16), np.zeros((16, 3))
        sh_basis(3, *d, basis, grad)
        for axis in range(3):
            ends = []
            for step in (1e-6, -1e-6):
                moved, value = d.copy(), np.zeros(16)
                moved[axis] += step
                sh_basis(3, *moved, value, np.zeros((16, 3)))
                ends.append(value)
            assert np.allclose((ends[0] - ends[1]) / 2e-6, grad[:, axis], atol=1e-7)
