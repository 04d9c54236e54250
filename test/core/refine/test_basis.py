"""The field of a body: what it can do freely, and what costs."""

from __future__ import annotations

import numpy as np

from pw_core.refine.basis import Basis, BasisOptions

X = np.random.default_rng(0).uniform(-0.05, 0.05, size=(300, 3)).astype(np.float32)


def test_bumps_sum_to_one_and_move_together_for_nothing() -> None:
    basis = Basis.spread(X, nodes=16)
    assert basis.size == 4 + 16 and basis.affine == 4
    assert np.allclose(basis.values[:, 4:].sum(1), 1, atol=1e-5)
    together = np.concatenate([np.zeros(4), np.ones(16)])
    assert abs(together @ basis.stiffness @ together) < 1e-9
    apart = together * (-1) ** np.arange(20)
    assert apart @ basis.stiffness @ apart > 1


def test_the_affine_part_makes_any_shift_turn_and_stretch() -> None:
    basis = Basis.spread(X, nodes=16)
    wanted = X @ np.float32([[1.1, 0.2, 0], [-0.2, 0.9, 0], [0, 0, 1.3]]) + np.float32([0.01, 0, 0.02]) - X
    c = np.linalg.lstsq(basis.values[:, :4].astype(np.float64), wanted.astype(np.float64), rcond=None)[0]
    assert np.abs(basis.values[:, :4] @ c - wanted).max() < 1e-6


def test_a_small_body_has_the_affine_part_alone() -> None:
    assert Basis.spread(X[:20], nodes=16).size == 4
    assert Basis.spread(X[:20], nodes=16, options=BasisOptions(particles_per_node=4)).size == 4 + 5
