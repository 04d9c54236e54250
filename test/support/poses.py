"""Pictures of the ball whose poses are to be found, and how what was found is held against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.adjust_given import similarity
from pw_core.reconstruct.types import Posed
from support.ball import CENTRE, camera, shot


def unplaced() -> tuple[Inputs, list[Camera]]:
    """Eight pictures with intrinsics, and the cameras that took them."""
    cameras = [camera(0.12 * k, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(8)]
    return Inputs(tuple(ViewInput(c.name, shot(c, grain=0.4)[0], K=c.K) for c in cameras)), cameras


def agrees(posed: Posed, cameras: list[Camera]) -> None:
    """Up to the frame and the scale, which structure from motion does not find."""
    assert posed.report["registered"] == [c.name for c in cameras]
    centres = np.array([c.centre for c in cameras])
    scale, turn, shift = similarity(np.array([v.camera.centre for v in posed.views]), centres)
    for view, true in zip(posed.views, cameras):
        assert np.allclose(view.camera.K, true.K)
        placed = scale * turn @ view.camera.centre + shift
        assert np.linalg.norm(placed - true.centre) < 0.005 * np.linalg.norm(true.centre)
        apart = view.camera.viewmat[:3, :3] @ turn.T @ true.viewmat[:3, :3].T
        assert np.degrees(Rotation.from_matrix(apart).magnitude()) < 0.3
    # Every point is where its views see it, in pixels of the pictures as they were given.
    assert 0 < posed.report["reprojection_error_px"] < 0.5
    for view in posed.views:
        uv, z = view.camera.project(posed.points[posed.seen[view.name]])
        assert (z > 0).all() and (uv > -2).all() and (uv < np.array([view.camera.width, view.camera.height]) + 2).all()


def chained(cameras: list[Camera], *, off_px: float) -> Any:
    """A map in which neighbours alone see points in common, `off_px` off in each, so that its poses drift."""
    import pycolmap

    views = len(cameras)
    rng = np.random.default_rng(3)
    out = pycolmap.Reconstruction()
    points = np.stack([*rng.uniform(-0.15, 0.15, (2, 400)), np.zeros(400)], 1)
    points[::5] = CENTRE + 0.05 * (lambda d: d / np.linalg.norm(d, axis=1, keepdims=True))(rng.normal(size=(80, 3)))
    pair = rng.integers(0, views, 400)
    pixels: list[list[np.ndarray]] = [[] for _ in cameras]
    elements: list[list[tuple[int, int]]] = [[] for _ in points]
    for k, cam in enumerate(cameras):
        bias = rng.normal(size=2) * off_px  # matches slide along a grain all alike
        for n in np.flatnonzero((pair == k) | ((pair + 1) % views == k)):
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


def turned(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    """A rigid motion (4, 4) about an axis of no account."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array([0.2, 0.9, 0.4])).as_matrix()
    T[:3, 3] = shift
    return T
