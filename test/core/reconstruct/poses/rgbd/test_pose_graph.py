"""Pairs, chained to poses."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.poses.rgbd.pairwise import Motion
from pw_core.reconstruct.poses.rgbd.pose_graph import chain
from support.poses import turned


def test_pairs_are_chained_from_the_largest_group() -> None:
    T = turned(10, (0.1, 0, 0))
    pairs = {p: Motion(T, np.ones(n, bool), -9.0) for p, n in (((0, 1), 9), ((2, 3), 30), ((3, 4), 8))}
    poses = chain(6, pairs, {})
    assert sorted(poses) == [2, 3, 4]
    assert np.allclose(np.linalg.inv(poses[3]) @ poses[2], T) and np.allclose(np.linalg.inv(poses[4]) @ poses[3], T)
    assert sorted(chain(6, pairs, {0: np.eye(4)})) == [0, 1] and chain(6, {}, {}) == {}
