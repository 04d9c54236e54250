"""Boxes are found by their silhouettes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import trimesh

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.inflate import make_solid, pixel_centres
from pw_core.reconstruct.surface.shapes.box import Box, box_solid, find_box
from pw_core.reconstruct.types import Mask
from support.ball_photo import ball_config, ball_mask, camera


@pytest.fixture
def view() -> Camera:
    return Camera.above_table(height_m=0.3, pitch_deg=25.0, hfov_deg=40.0, width=320, height=240, name="photo")


def silhouette(corners: F64, view: Camera) -> Mask:
    mask = np.zeros((view.height, view.width), np.uint8)
    outline = cv2.convexHull((view.project(corners)[0] - 0.5).astype(np.float32))
    cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1)
    return mask > 0


@pytest.mark.parametrize("yaw_deg", [5.0, 35.0])
def test_a_box_is_found_with_its_size_place_and_turn(view: Camera, yaw_deg: float) -> None:
    true = Box(0.6, 0.02, np.array([0.06, 0.08, 0.05]), np.radians(yaw_deg), 1.0)
    mask = silhouette(true.corners(), view)
    found = find_box(mask, view)
    assert found is not None and found.iou > 0.98
    gaps = np.linalg.norm(found.corners()[:, None] - true.corners()[None], axis=-1).min(axis=0)
    assert gaps.max() < 0.008  # a pixel is a millimetre and a half


def test_a_block_face_on_whose_outline_is_rough_keeps_its_depth(view: Camera) -> None:
    true = Box(0.6, -0.03, np.array([0.06, 0.058, 0.045]), 0.0, 1.0)
    mask = silhouette(true.corners(), view)
    rough = mask.copy()
    rough[np.flatnonzero(mask.any(axis=1))[-1]] = False  # a row at its foot is missing
    found = find_box(rough, view)
    assert found is not None and found.iou > 0.99 and found.size[0] > 0.052


def test_a_box_stays_one_and_a_ball_is_none(view: Camera) -> None:
    true = Box(0.6, 0.0, np.array([0.06, 0.06, 0.06]), np.radians(20), 1.0)
    solid = make_solid(silhouette(true.corners(), view), ball_config().entities[0], view)
    mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    assert mesh.is_watertight and mesh.volume == pytest.approx(0.06**3, rel=0.1)
    rays = camera().rays(pixel_centres(camera().height, camera().width))
    assert box_solid(ball_mask(), camera(), rays) is None
