"""Motions of pairs, and what contradicts them."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.poses.rgbd.depth_map import depth_map
from pw_core.reconstruct.poses.rgbd.pairwise import contradicted, log10_expected, motion, proportion
from support.ball import camera, shot
from support.poses import turned


def test_three_of_ten_matches_are_a_motion_and_chance_is_none() -> None:
    rng = np.random.default_rng(3)
    first = rng.uniform(-0.2, 0.2, (60, 3))
    T = turned(25, (0.1, -0.05, 0.3))
    second = first @ T[:3, :3].T + T[:3, 3] + rng.normal(0, 3e-4, first.shape)
    second[18:] = rng.uniform(-0.2, 0.2, (42, 3)) + T[:3, 3]
    found = motion(first, second, tolerance=0.002)
    assert found is not None and found.agree[:18].sum() >= 17 and found.agree[18:].sum() <= 1
    assert np.allclose(found.second_from_first, T, atol=2e-3) and found.log10_expected < -20
    chance = motion(first, rng.uniform(-0.2, 0.2, first.shape), tolerance=0.002)
    assert chance is None or chance.log10_expected > 0
    assert log10_expected(second[:3], 60, tolerance=0.002) == np.inf
    times, spread = proportion(first[:18], 4 * second[:18])
    assert times == pytest.approx(4, rel=0.01) and spread < 0.02


def test_what_would_have_been_seen_is_a_contradiction() -> None:
    here = camera(0.0)
    surface = depth_map(shot(here)[1], here.K)
    points = surface.points[surface.ok].astype(float)[::5]
    assert contradicted(points, np.eye(4), surface) == 0
    assert contradicted(points - np.array([0, 0, 0.1]), np.eye(4), surface) > 0.5
    assert contradicted(points + np.array([0, 0, 0.1]), np.eye(4), surface) == 0  # hidden, which nothing contradicts
