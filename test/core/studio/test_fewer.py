"""Fewer Gaussians look like the many."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import SH_C0, Camera, Gaussians
from pw_core.studio.fewer import Fewer, FewerOptions

CAMERA = Camera.above_table(height_m=0.3, pitch_deg=40, hfov_deg=50, width=96, height=64)


def wall(color: tuple[float, float, float], depth: float) -> Gaussians:
    """A Gaussian for each pixel at a depth [m]."""
    x, y = np.meshgrid(np.arange(CAMERA.width) + 0.5, np.arange(CAMERA.height) + 0.5)
    means = CAMERA.unproject(np.stack([x, y], -1).reshape(-1, 2), np.full(x.size, depth)).astype(np.float32)
    n, size = len(means), 0.5 * depth / CAMERA.K[0, 0]
    sh = np.tile((np.array(color) - 0.5) / SH_C0, (n, 1, 1)).astype(np.float32)
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1))
    return Gaussians(means, quats, np.full((n, 3), np.log(size), np.float32), np.full(n, 5, np.float32), sh)


def test_cells_become_one_each_and_layers_stay_apart() -> None:
    both = Gaussians.concatenate([wall((1, 0, 0), 0.5), wall((0, 0, 1), 0.8)])
    few = Fewer(both, CAMERA, options=FewerOptions(cell_px=4))
    assert len(few) == 2 * 24 * 16
    colors = few.colors(both.sh)
    assert set(map(tuple, colors.round(3))) == {(1, 0, 0), (0, 0, 1)}
    depth = CAMERA.project(few.means)[1]
    assert np.allclose(depth[colors[:, 0] > 0.5], 0.5, atol=1e-4)


def test_a_group_has_the_moments_of_its_members() -> None:
    one = wall((0.2, 0.4, 0.6), 0.5)
    few = Fewer(one, CAMERA, options=FewerOptions(cell_px=1000, spread=1.0))
    assert len(few) == 1
    own = np.cov(one.means.T, bias=True) + one.covariances()[0]
    assert np.allclose(few.means[0], one.means.mean(0), atol=1e-5)
    assert np.allclose(few.covariances[0], own, atol=1e-6)


def test_what_hangs_on_two_things_stays_apart_and_moves_with_them() -> None:
    one = wall((0.2, 0.4, 0.6), 0.5)
    owners = np.arange(len(one)) % 2
    few = Fewer(one, CAMERA, owners=owners, options=FewerOptions(cell_px=1000, spread=1.0))
    assert len(few) == 2
    shift = np.where(owners[:, None] == 0, 0.1, 0).astype(np.float32) * np.array([1, 0, 0], np.float32)
    means, covariances = few.placed(one.means + shift, one.covariances())
    moved = np.abs(means - few.means - [0.1, 0, 0]).max(1)
    assert (moved < 1e-6).sum() == 1 and (np.abs(means - few.means).max(1) < 1e-6).sum() == 1
    assert np.allclose(covariances, few.covariances, atol=1e-7)


def test_no_background_is_none() -> None:
    assert len(Fewer(wall((1, 0, 0), 0.5)[:0], CAMERA)) == 0
