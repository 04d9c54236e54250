"""All poses adjusted to matches and depth."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.reconstruct.poses.rgbd.depth_map import depth_map, lift
from pw_core.reconstruct.poses.rgbd.joint_icp import adjust
from support.ball import RADIUS, camera, shot
from support.poses import turned


def test_depth_pictures_lie_on_each_other_where_a_few_matches_hold_the_rest() -> None:
    cameras = [camera(0.25 * k, height=0.25 + 0.05 * (k % 2)) for k in range(4)]
    maps = [depth_map(shot(c)[1], c.K) for c in cameras]
    rng = np.random.default_rng(0)
    marks = np.column_stack([rng.uniform(-0.12, 0.02, (12, 2)), np.zeros(12)])
    marks = marks[np.linalg.norm(marks[:, :2], axis=1) > 1.1 * RADIUS]
    lifted = [lift(c.project(marks)[0], c.K, m) for c, m in zip(cameras, maps)]
    same = np.column_stack([np.arange(len(marks))] * 2)
    matches = {(i, j): same for i in range(4) for j in range(i + 1, 4)}
    true = np.array([np.linalg.inv(c.viewmat) for c in cameras])
    start = true.copy()
    for k in range(1, 4):
        start[k] = true[k] @ turned(1.5, (0.004, -0.003, 0.005))
    got = adjust(start, lifted, matches, maps, tolerance=0.004)
    apart = [np.linalg.inv(t) @ p for t, p in zip(true, got.poses)]
    assert max(np.degrees(Rotation.from_matrix(a[:3, :3]).magnitude()) for a in apart) < 0.1
    assert max(np.linalg.norm(a[:3, 3]) for a in apart) < 0.0007
    assert got.off_m < 1e-4 and got.turn_sd_deg.max() < 0.5 and (got.compared > 1000).all()
