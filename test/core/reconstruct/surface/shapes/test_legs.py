"""Stools stand on their legs: each foot is where it meets the table."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import trimesh

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.inflate import make_solid
from pw_core.reconstruct.surface.shapes.legs import legged_solid
from pw_core.reconstruct.types import Mask
from support.ball_photo import ball_config, ball_mask, camera

AXIS, RADIUS, LOW, HIGH, LEG = np.array([0.6, 0.01]), 0.055, 0.09, 0.104, 0.0055
FOOT, TOP = 0.05, 0.03
"""How far from the axis legs begin and end [m]."""


@pytest.fixture
def view() -> Camera:
    return Camera.above_table(height_m=0.25, pitch_deg=17.0, hfov_deg=40.0, width=640, height=352, name="photo")


def stool(view: Camera, turns_deg: tuple[float, ...]) -> tuple[Mask, F64]:
    """The silhouette of a disc on legs at those angles, and their feet (n, 2) [m]."""
    mask = np.zeros((view.height, view.width), np.uint8)
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    rim = AXIS + RADIUS * np.stack([np.cos(t), np.sin(t)], 1)
    rims = np.concatenate([np.insert(rim, 2, z, axis=1) for z in (LOW, HIGH)])
    _fill(mask, rims, view)
    feet = []
    for a in np.radians(turns_deg):
        way = np.array([np.cos(a), np.sin(a)])
        ends = [(*(AXIS + FOOT * way), 0.0), (*(AXIS + TOP * way), LOW)]
        ring = LEG * np.stack([np.cos(t), np.sin(t), 0 * t], 1)
        _fill(mask, np.concatenate([np.array(e) + ring for e in ends]), view)
        feet.append(ends[0][:2])
    return mask > 0, np.array(feet)


def _fill(mask: np.ndarray, points: F64, view: Camera) -> None:
    outline = cv2.convexHull((view.project(points)[0] - 0.5).astype(np.float32))
    cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1)


@pytest.mark.parametrize("turns_deg", [(80.0, 200.0, 320.0), (62.0, 152.0, 242.0, 332.0), (100.0, 190.0, 280.0)])
def test_legs_stand_where_their_feet_meet_the_table(view: Camera, turns_deg: tuple[float, ...]) -> None:
    mask, feet = stool(view, turns_deg)
    found = legged_solid(mask, view)
    assert found is not None
    front, back, x = found
    assert x == pytest.approx(AXIS[0], abs=0.006)
    assert np.isfinite(front[mask]).all() and (front <= back)[mask].all()
    for foot in feet:
        pixel, depth = view.project(np.array([[*foot, 0.008]]))
        u, v = pixel[0].astype(int)
        assert mask[v, u]
        assert front[v, u] - 0.004 < depth[0] < back[v, u] + 0.004


def test_a_stools_volume_is_its_disc_and_legs_and_it_hangs_together(view: Camera) -> None:
    mask, feet = stool(view, (80.0, 200.0, 320.0))
    solid = make_solid(mask, ball_config().entities[0], view)
    body = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    true = np.pi * RADIUS**2 * (HIGH - LOW) + len(feet) * np.pi * LEG**2 * LOW
    assert body.volume == pytest.approx(true, rel=0.25)
    assert body.bounds[0, 2] < 0.006  # with the legs


def test_a_ball_has_no_legs() -> None:
    mask = ball_mask()
    assert legged_solid(mask, camera()) is None
