"""The parts of poses by depth, each for itself: surfaces, lifted places, motions of pairs, the adjustment."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.reconstruct import Inputs
from pw_core.reconstruct.poses.rgbd.depth_map import depth_map, lift, noise_of, spread_out
from pw_core.reconstruct.poses.rgbd.joint_icp import adjust
from pw_core.reconstruct.poses.rgbd.pairwise import Motion, contradicted, log10_expected, motion, proportion
from pw_core.reconstruct.poses.rgbd.pose_graph import chain
from support.ball import CENTRE, RADIUS, camera, shot


def turned(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array([0.2, 0.9, 0.4])).as_matrix()
    T[:3, 3] = shift
    return T


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


def test_pairs_are_chained_from_the_largest_group() -> None:
    T = turned(10, (0.1, 0, 0))
    pairs = {p: Motion(T, np.ones(n, bool), -9.0) for p, n in (((0, 1), 9), ((2, 3), 30), ((3, 4), 8))}
    poses = chain(6, pairs, {})
    assert sorted(poses) == [2, 3, 4]
    assert np.allclose(np.linalg.inv(poses[3]) @ poses[2], T) and np.allclose(np.linalg.inv(poses[4]) @ poses[3], T)
    assert sorted(chain(6, pairs, {0: np.eye(4)})) == [0, 1] and chain(6, {}, {}) == {}


def test_a_folder_may_hold_depth_and_intrinsics_without_poses(tmp_path: Path) -> None:
    told = []
    (tmp_path / "depth").mkdir()
    for k in range(3):
        cam = camera(0.3 * k, name=f"v{k}.png")
        picture, depth, _ = shot(cam)
        cv2.imwrite(str(tmp_path / cam.name), picture)
        if k:
            cv2.imwrite(str(tmp_path / "depth" / cam.name), np.round(1000 * depth).astype(np.uint16))
        told.append({"name": cam.name, "K": cam.K.tolist()})
    (tmp_path / "cameras.json").write_text(json.dumps(told))
    found = Inputs.load(tmp_path)
    assert found.route == "rgbd pictures" and found.views[0].depth is None and found.views[1].depth is not None
    assert all(v.K is not None and v.viewmat is None for v in found.views)
