"""Silhouettes become closed solids that stand or hang."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct.surface.inflate import InflateOptions, make_solid
from support.ball_photo import CENTRE, HEIGHT, RADIUS, WIDTH, ball_config, ball_mask, camera


def test_solid_of_a_ball_is_closed_metric_and_stands_on_the_table() -> None:
    solid = make_solid(ball_mask(), ball_config().entities[0], camera())
    mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.12)
    assert -1e-3 < mesh.bounds[0, 2] < 0.1 * RADIUS
    assert mesh.bounds[1, 2] == pytest.approx(2 * RADIUS, rel=0.15)
    # A foot's roundness cannot be seen: the solid may land too far away by radius times tan(15 degrees / 2), and a row.
    assert np.linalg.norm(mesh.center_mass - CENTRE) < 0.3 * RADIUS
    assert (solid.front < solid.back)[solid.mask].all()


def test_revolved_solid_hangs_where_it_is_told_and_is_as_deep_as_wide() -> None:
    solid = make_solid(ball_mask(), ball_config(shape="revolve").entities[0], camera(), mid_m=0.6)
    mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.15)
    assert mesh.center_mass[0] == pytest.approx(0.6, abs=0.1 * RADIUS)


def test_an_outline_that_overhangs_does_not_tear() -> None:
    """A body with a lobe at its foot, as of jam: the columns' tops jump where the notch between them begins."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    body = ((x - 150) / 70) ** 2 + ((y - 120) / 60) ** 2 < 1
    lobe = ((x - 215) / 30) ** 2 + ((y - 135) / 12) ** 2 < 1
    mask = (body | lobe) & (y < 140)
    solid = make_solid(mask, ball_config().entities[0], camera())
    pixel = np.nanmedian(solid.front) / camera().K[0, 0]
    inner = mask & (x > 160) & (x < 225) & (y > 127) & (y < 137)
    steps = np.abs(np.diff(solid.front, axis=1))[inner[:, 1:] & inner[:, :-1]]
    assert steps.max() < 6 * pixel  # 21 where each column goes by its own top


def test_corners_that_fall_together_do_not_leave_a_crumb_of_a_cup() -> None:
    """A mask that the benchmark's cup once had."""
    file = Path(__file__).parents[3] / "data" / "cup_mask.png"
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0
    seen = Camera.above_table(height_m=0.26, pitch_deg=22, hfov_deg=40, width=mask.shape[1], height=mask.shape[0])
    mesh = make_solid(mask, ball_config().entities[0], seen).mesh
    size = np.ptp(mesh.vertices, axis=0)
    assert 0.06 < size[2] < 0.09 and 0.12 < size[0] < 0.2  # with its saucer
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_a_foot_above_the_horizon_is_an_error_that_says_what_to_check() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:15, 100:140] = True
    with pytest.raises(ReconstructError, match=r"above the table's horizon; check camera\.pitch_deg") as caught:
        level = Camera.above_table(height_m=0.2, pitch_deg=0, hfov_deg=40, width=WIDTH, height=HEIGHT)
        make_solid(mask, ball_config().entities[0], level)
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED


def test_a_coarser_grid_makes_a_coarser_mesh_of_the_same_size() -> None:
    coarse = make_solid(ball_mask(), ball_config().entities[0], camera(), options=InflateOptions(grid_cells=30))
    fine = make_solid(ball_mask(), ball_config().entities[0], camera())
    assert len(coarse.mesh.faces) < 0.7 * len(fine.mesh.faces)
    volumes = [trimesh.Trimesh(s.mesh.vertices, s.mesh.faces).volume for s in (coarse, fine)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_what_lies_across_the_view_is_as_deep_as_it_is_thick() -> None:
    """A capsule ten times as long as thick, seen from above under 30 degrees, where a disc is half as high as wide."""
    view = Camera.above_table(height_m=0.3, pitch_deg=30.0, hfov_deg=40.0, width=320, height=240, name="photo")
    capsule = trimesh.creation.capsule(height=0.18, radius=0.01)
    capsule.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    capsule.apply_translation(np.array([0.52, 0, 0.01]) - capsule.bounds.mean(0))
    mask = np.zeros((240, 320), np.uint8)
    outline = cv2.convexHull(view.project(capsule.vertices)[0].astype(np.float32))
    cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1)
    solid = make_solid(mask > 0, ball_config().entities[0], view)
    x, y, _ = np.ptp(solid.mesh.vertices, axis=0)
    assert y == pytest.approx(0.2, rel=0.05) and x < 0.035
    assert solid.mesh.vertices[:, 0].mean() == pytest.approx(0.52, abs=0.01)
