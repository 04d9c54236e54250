"""Poses by the plane that all views show, on the ray-cast ball's floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Camera
from pw_core.reconstruct.poses.estimate import settle
from pw_core.reconstruct.poses.sfm.adjust_given import similarity
from pw_core.reconstruct.poses.sfm.ground_registration import mosaic
from support.ball import CENTRE, camera, shot

pycolmap = pytest.importorskip("pycolmap")
VIEWS = 10


def chained(cameras: list[Camera], *, off_px: float) -> Any:
    """A map in which neighbours alone see points in common, `off_px` off in each, so that its poses drift."""
    rng = np.random.default_rng(3)
    out = pycolmap.Reconstruction()
    points = np.stack([*rng.uniform(-0.15, 0.15, (2, 400)), np.zeros(400)], 1)
    points[::5] = CENTRE + 0.05 * (lambda d: d / np.linalg.norm(d, axis=1, keepdims=True))(rng.normal(size=(80, 3)))
    pair = rng.integers(0, VIEWS, 400)
    pixels: list[list[np.ndarray]] = [[] for _ in cameras]
    elements: list[list[tuple[int, int]]] = [[] for _ in points]
    for k, cam in enumerate(cameras):
        bias = rng.normal(size=2) * off_px  # matches slide along a grain all alike
        for n in np.flatnonzero((pair == k) | ((pair + 1) % VIEWS == k)):
            elements[n].append((k + 1, len(pixels[k])))
            pixels[k].append(cam.project(points[n][None])[0][0] + bias + 0.3 * rng.normal(size=2))
    for k, cam in enumerate(cameras):
        params = [cam.K[0, 0], cam.K[1, 1], cam.K[0, 2], cam.K[1, 2]]
        out.add_camera_with_trivial_rig(
            pycolmap.Camera(camera_id=k + 1, model="PINHOLE", width=cam.width, height=cam.height, params=params)
        )
        image = pycolmap.Image(image_id=k + 1, name=cam.name, camera_id=k + 1, keypoints=np.array(pixels[k]))
        turn = Rotation.from_rotvec(rng.normal(size=3) * 0.004).as_matrix() @ cam.viewmat[:3, :3]
        out.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(turn), cam.viewmat[:3, 3]))
    for place, seen in zip(points, elements):
        track = pycolmap.Track()
        for image_id, index in seen:
            track.add_element(image_id, index)
        out.add_point3D(place, track, np.zeros(3, np.uint8))
    return out


def wrong_by(found: Any, cameras: list[Camera]) -> float:
    """The worst camera's turn [degrees], frames laid on each other by the cameras' places."""
    poses = {i.name: i.cam_from_world().matrix() for i in found.images.values()}
    mine = np.array([-poses[c.name][:, :3].T @ poses[c.name][:, 3] for c in cameras])
    _, turn, _ = similarity(mine, np.array([c.centre for c in cameras]))
    apart = [poses[c.name][:, :3] @ turn.T @ c.viewmat[:3, :3].T for c in cameras]
    return float(np.degrees(Rotation.from_matrix(np.array(apart)).magnitude()).max())


def test_a_plane_that_all_views_show_takes_the_drift_out_of_poses() -> None:
    cameras = [
        camera(2 * np.pi * k / VIEWS, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(VIEWS)
    ]
    found = chained(cameras, off_px=1.0)
    settle(found, fixed=True, worst_px=(4.0, 4.0))
    before = wrong_by(found, cameras)
    pictures = {c.name: shot(c)[0] for c in cameras}
    found, borne = mosaic(found, pictures, adjust=lambda m: settle(m, fixed=True, worst_px=(4.0, 1.5, 1.0)))
    after = wrong_by(found, cameras)
    assert before > 0.5 and after < 0.1, (before, after)
    assert set(borne) == set(pictures) and min(borne.values()) > 20


def test_where_nothing_is_on_the_plane_the_map_stays() -> None:
    cameras = [camera(2 * np.pi * k / VIEWS, name=f"v{k}.png") for k in range(VIEWS)]
    found = chained(cameras, off_px=0.0)
    grey = {c.name: np.full((c.height, c.width, 3), 128, np.uint8) for c in cameras}
    assert mosaic(found, grey, adjust=lambda m: pytest.fail("there was nothing to adjust")) == (found, {})


def test_a_camera_that_is_far_off_is_not_borne_out() -> None:
    cameras = [camera(2 * np.pi * k / VIEWS, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(VIEWS)]
    found = chained(cameras, off_px=0.0)
    image = found.image(4)
    pose = image.cam_from_world()
    turn = Rotation.from_euler("z", 5, degrees=True).as_matrix()
    image.frame.set_cam_from_world(image.camera_id, pycolmap.Rigid3d(
        pycolmap.Rotation3d(turn @ pose.matrix()[:, :3]), turn @ pose.matrix()[:, 3]))  # fmt: skip
    _, borne = mosaic(found, {c.name: shot(c)[0] for c in cameras}, adjust=lambda m: None)
    assert borne.get("v3.png", 0) < 5 and min(n for k, n in borne.items() if k != "v3.png") > 20
