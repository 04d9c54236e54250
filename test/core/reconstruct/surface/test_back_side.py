"""What no view sees of a ball that is seen from one side only."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pw_core.reconstruct.surface.back_side import common_front, far_side, front_and_back, nearby, seen_from_one_side
from pw_core.reconstruct.surface.tsdf import DepthView, fuse_tsdf
from support.ball import CENTRE, RADIUS, camera, shot

ARC = 0.29


def test_the_far_side_of_a_ball_seen_from_one_side_is_as_deep_as_it_is_wide() -> None:
    cameras = [camera(a) for a in np.linspace(-ARC, ARC, 7)]
    assert seen_from_one_side(cameras, CENTRE)
    assert not seen_from_one_side([camera(a) for a in np.linspace(-1.1, 1.1, 7)], CENTRE)
    assert not seen_from_one_side([camera(a) for a in np.linspace(0, 6, 12)], CENTRE)
    views = []
    for cam in cameras:
        _, depth, mask = shot(cam)
        views.append(DepthView(cam, np.where(mask, depth, 0).astype(np.float32), mask))
    box = np.array([[-0.1, -0.08, 0.0], [0.2, 0.08, 0.14]])
    _, depth, mask = shot(cameras[3])
    back = far_side(cameras[3], np.where(mask, depth, 0).astype(np.float32), mask, CENTRE, depth_ratio=1.0)
    assert back is not None
    found = []
    for given in (views, [*views, back]):
        fused = fuse_tsdf(given, box, voxels=64, name="ball")
        found.append(trimesh.Trimesh(fused.mesh.vertices, fused.mesh.faces).volume / (4 / 3 * np.pi * RADIUS**3))
    assert found[0] > 1.4 and found[1] == pytest.approx(1.0, abs=0.2), found
    assert far_side(cameras[3], np.zeros_like(depth), mask, CENTRE, depth_ratio=1.0) is None


def test_the_common_front_is_where_points_say_it_is() -> None:
    """Each view's depth lies 8 mm too far behind, and here and there something far behind shines through."""
    rng = np.random.default_rng(0)
    views = []
    for angle in np.linspace(-ARC, ARC, 9):
        cam = camera(angle)
        _, depth, mask = shot(cam)
        through = np.zeros(mask.shape, bool)
        y, x = (int(v) for v in rng.choice(np.argwhere(mask)))
        through[max(y - 9, 0) : y + 9, max(x - 9, 0) : x + 9] = True
        fog = np.where(mask, depth + 0.008 + 0.2 * through, 0).astype(np.float32)
        views.append(DepthView(cam, fog, mask))
    middle = camera(0.0)
    _, true, mask = shot(middle)
    y, x = (a[::60] for a in np.nonzero(mask))
    points = middle.unproject(np.stack([x, y], 1) + 0.5, true[y, x].astype(np.float64))
    wrong = points[:3] + np.array([0.1, 0, 0])  # a highlight's
    core = mask & (np.hypot(*(np.indices(mask.shape) - np.argwhere(mask).mean(0)[:, None, None])) < 25)
    off = [
        np.abs(common_front(views, middle, mask, p)[core] - true[core]).mean()
        for p in (np.concatenate([points, wrong]), np.zeros((0, 3)))
    ]
    assert off[0] < 0.002 and 0.006 < off[1] < 0.012, off


def test_what_shines_through_far_behind_is_not_of_the_thing() -> None:
    cam = camera(0.0)
    _, depth, mask = shot(cam)
    own = np.where(mask, depth, 0).astype(np.float32)
    y, x = np.argwhere(mask)[100]
    own[y, x] += 1.0
    kept = nearby(own, mask, cam)
    assert kept[y, x] == 0 and (kept[mask] > 0).sum() == mask.sum() - 1
    assert not nearby(0 * own, mask, cam).any()


def test_front_and_back_are_as_far_apart_as_the_ball_is_deep() -> None:
    cam = camera(0.0)
    _, depth, mask = shot(cam)
    found = front_and_back(cam, np.where(mask, depth, 0).astype(np.float32), mask, depth_ratio=1.0)
    assert found is not None
    front, back = found
    assert np.isnan(front[~mask]).all() and (front[mask] <= back[mask]).all()
    assert np.nanmax(back - front) == pytest.approx(2 * RADIUS, rel=0.2)
