"""Depth as a surface with normals, its noise, and places lifted by it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.reconstruct.poses.rgbd.depth_map import depth_map, lift, noise_of, spread_out
from support.ball import CENTRE, RADIUS, camera, shot


def test_a_depth_picture_is_a_surface_with_normals() -> None:
    cam = camera(0.3)
    _, depth, ball = shot(cam)
    surface = depth_map(depth, cam.K)
    assert surface is not None and surface.ok.mean() > 0.9
    to_world = np.linalg.inv(cam.viewmat)
    where = surface.points @ to_world[:3, :3].T + to_world[:3, 3]
    normals = surface.normals @ to_world[:3, :3].T
    inside = surface.ok & cv2.erode(ball.astype(np.uint8), np.ones((9, 9))).astype(bool)
    assert np.abs(np.linalg.norm(where[inside] - CENTRE, axis=1) - RADIUS).max() < 1e-5
    outward = (where[inside] - CENTRE) / RADIUS
    assert np.degrees(np.arccos(np.clip((normals[inside] * outward).sum(1), -1, 1))).mean() < 2
    floor = surface.ok & (where[..., 2] < 1e-4)
    assert (normals[floor] @ [0, 0, 1]).min() > 0.99
    # A table has most of the pixels, and does not get most of the points.
    x, y = spread_out(surface, 2000, seed=0).T
    assert 1000 < len(x) < 3000 and ball[y, x].mean() > 2 * ball.mean()


def test_noise_is_measured_and_taken_out() -> None:
    cam = camera(0.3)
    depth = shot(cam)[1]
    rough = (depth + np.random.default_rng(0).normal(0, 0.003, depth.shape)).astype(np.float32)
    rough[::7, ::5] = 0
    assert noise_of(rough) == pytest.approx(0.003, rel=0.1) and noise_of(depth) < 2e-4
    surface = depth_map(rough, cam.K)
    assert surface is not None and surface.error_m < 0.001
    assert np.abs(surface.points[..., 2] - depth)[surface.ok].mean() < 0.001
    assert depth_map(np.zeros_like(depth), cam.K) is None


def test_places_are_lifted_between_pixels() -> None:
    cam = camera(0.3)
    surface = depth_map(shot(cam)[1], cam.K)
    floor = np.array([[-0.05, 0.1, 0.0], [0.03, -0.12, 0.0], [5.0, 0.0, 0.0]])
    uv, _ = cam.project(floor)
    got = lift(uv, cam.K, surface)
    assert got.ok.tolist() == [True, True, False]
    local = floor @ cam.viewmat[:3, :3].T + cam.viewmat[:3, 3]
    assert np.allclose(got.points[:2], local[:2], atol=1e-5)
    assert (np.linalg.eigvalsh(got.covariances) > 0).all()
    assert not lift(uv, cam.K, None).ok.any()
