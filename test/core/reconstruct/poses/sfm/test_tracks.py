"""Registered images, and reconstructions rebuilt from their tracks."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.poses.sfm.tracks import (
    RegisteredImageOptions,
    rebuild,
    registered_images,
    track_of,
    triangulate,
)
from support.ball import camera, shot
from support.poses import chained

pytest.importorskip("pycolmap")


@pytest.fixture(scope="module")
def cameras():
    return [camera(2 * np.pi * k / 4, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(4)]


def test_pixels_go_to_a_smaller_image_and_back(cameras) -> None:
    found, pictures = chained(cameras, off_px=0.0), {c.name: shot(c)[0] for c in cameras}
    images = registered_images(found, pictures, options=RegisteredImageOptions(widest_px=240))
    image = images[1]
    assert len(images) == 4 and image.grey.shape == (180, 240) and image.scale == 0.5
    at = np.array([100.0, 60.0])
    assert np.allclose(image.to_camera(image.to_image(at)), at)
    assert image.contains(np.array([11.0, 11.0]), margin=11) and not image.contains(np.array([10.9, 11.0]), margin=11)
    assert np.allclose(image.centre, -image.rotation.T @ image.translation)


def test_lines_of_sight_meet_in_their_point_and_parallel_ones_nowhere(cameras) -> None:
    found = chained(cameras, off_px=0.0)
    poses = {i.image_id: i.cam_from_world().matrix() for i in found.images.values()}
    point = np.array([0.02, -0.03, 0.01])
    track = []
    for k, pose in poses.items():
        seen = cameras[k - 1].K @ (pose[:, :3] @ point + pose[:, 3])
        track.append((k, seen[:2] / seen[2]))
    assert np.allclose(triangulate(found, track), point, atol=1e-6)
    assert triangulate(found, track[:1]) is None


def test_a_rebuilt_map_has_the_poses_and_other_points(cameras) -> None:
    found = chained(cameras, off_px=0.0)
    kept = [(np.asarray(p.xyz), track_of(found, p)) for p in list(found.points3D.values())[:10]]
    out, numbers, spare = rebuild(found, kept, [kept[0][1]])
    assert out.num_points3D() == 10 == len(numbers) and len(spare[0]) == len(kept[0][1])
    for image in found.images.values():
        same = out.image(image.image_id).cam_from_world().matrix()
        assert np.allclose(same, image.cam_from_world().matrix())
