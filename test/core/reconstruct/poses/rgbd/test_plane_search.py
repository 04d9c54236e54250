"""Depth pictures laid on each other without matches."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Camera
from pw_core.reconstruct.poses.rgbd.depth_map import depth_map
from pw_core.reconstruct.poses.rgbd.plane_search import Standing, misfit, standing, sweep
from support.ball import camera, shot

BESIDE = ((0.03, 0.07, 0.03), (-0.075, -0.02, 0.022), (0.02, -0.09, 0.026))
"""Small balls (x, y, radius) round the large one, so that it has sides."""


def seen(cam: Camera, *, beside: bool) -> Standing | None:
    depth = shot(cam)[1]
    for x, y, radius in BESIDE if beside else ():
        depth = np.minimum(depth, shot(cam, centre=np.array([x, y, radius]), radius=radius)[1])
    surface = depth_map(depth, cam.K)
    assert surface is not None
    return standing(surface, seed=0)


def test_things_with_sides_are_laid_on_each_other_and_round_ones_are_not() -> None:
    a, b = camera(0.0, height=0.3), camera(0.4, height=0.34)
    true = b.viewmat @ np.linalg.inv(a.viewmat)
    first, second = seen(a, beside=True), seen(b, beside=True)
    assert first is not None and second is not None
    found = sweep(first, second)
    assert found is not None and misfit(first, second, found) < 0.1
    off = found @ np.linalg.inv(true)
    assert np.degrees(Rotation.from_matrix(off[:3, :3]).magnitude()) < 1
    first, second = seen(a, beside=False), seen(b, beside=False)
    assert first is not None and second is not None and sweep(first, second) is None


def test_where_nothing_stands_on_a_plane_there_is_nothing_to_lay() -> None:
    cam = camera(0.0)
    rays = cam.rays(np.stack(np.meshgrid(np.arange(cam.width) + 0.5, np.arange(cam.height) + 0.5), -1))
    floor = np.where(rays[..., 2] < 0, -cam.centre[2] / np.minimum(rays[..., 2], -1e-9), 0).astype(np.float32)
    surface = depth_map(floor, cam.K)
    assert surface is not None and standing(surface, seed=0) is None
