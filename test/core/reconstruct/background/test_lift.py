"""The photo without its entities: what hides it, and what fills it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.reconstruct.background.lift import background_gaussians, fill, hidden_region
from pw_core.reconstruct.background.table import on_table
from support.ball_photo import HEIGHT, WIDTH, ball_config, ball_mask, ball_photo, camera, pixel_rays


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    return float(-10 * np.log10((((a.astype(float) - b) / 255) ** 2)[mask].mean()))


def test_backdrop_is_filled_from_the_backdrop_alone() -> None:
    photo = np.full((60, 80, 3), 200, np.uint8)
    photo[30:] = (10, 120, 10)
    table = np.zeros((60, 80), bool)
    table[30:] = True
    hidden = np.zeros_like(table)
    hidden[20:45, 30:50] = True
    photo[hidden] = (255, 0, 0)
    low = Camera.above_table(height_m=0.2, pitch_deg=5, hfov_deg=40, width=80, height=60)
    filled = fill(photo, hidden, table, low)
    assert np.abs(filled[:27].astype(int) - 200).max() < 5
    assert np.abs(filled[33:].astype(int) - (10, 120, 10)).max() < 5


def test_a_stain_beside_the_hole_leaves_no_step_at_its_lower_edge() -> None:
    photo = np.full((60, 80, 3), 200, np.uint8)
    photo[40:, 25:55] = 120  # a reflection below the thing, wider than the hole is
    table, hidden = np.ones((60, 80), bool), np.zeros((60, 80), bool)
    hidden[20:41, 30:50] = True
    photo[hidden] = (255, 0, 0)
    steep = Camera.above_table(height_m=0.2, pitch_deg=60, hfov_deg=40, width=80, height=60)
    filled = fill(photo, hidden, table, steep).astype(int)
    assert np.abs(filled[40, 32:48] - filled[41, 32:48]).max() < 25  # 80 where rows are filled one by one
    assert np.abs(filled[24, 32:48] - 200).max() < 15


def test_pattern_of_the_table_runs_on_as_seen_from_above() -> None:
    # Tiles that lie askew: in the picture no two of them are alike, on the plane all are.
    rays = pixel_rays()
    table = rays[..., 2] < -0.05
    depth = np.where(table, -0.2 / np.minimum(rays[..., 2], -1e-9), 0)
    x, y = rays[..., 0] * depth, rays[..., 1] * depth
    tile = 0.06
    u, v = (0.8 * x + 0.6 * y) / tile, (-0.6 * x + 0.8 * y) / tile
    even = (np.floor(u) + np.floor(v)) % 2 == 0
    photo = np.where(even[..., None], (210, 190, 150), (90, 60, 40)).astype(np.uint8)
    photo[~table] = (150, 160, 170)
    truth = cv2.GaussianBlur(photo, (0, 0), 0.7)
    hidden = np.zeros(table.shape, bool)
    hidden[90:140, 120:210] = True
    holed = truth.copy()
    holed[hidden] = (255, 0, 0)
    filled = fill(holed, hidden, table, camera())
    assert np.array_equal(filled[~hidden], holed[~hidden])
    assert psnr(filled, truth, hidden) > 20  # rows mirrored in from the sides: 12.5
    assert np.array_equal(filled, fill(holed, hidden, table, camera()))


def test_planks_run_on_under_the_thing() -> None:
    # Boards a little askew before the camera, no two alike, their grain along them.
    rays = pixel_rays()
    table = on_table(ball_config(), camera())
    depth = np.where(table, -0.2 / np.minimum(rays[..., 2], -1e-9), 0)
    across = rays[..., 0] * depth * np.cos(0.1) + rays[..., 1] * depth * np.sin(0.1)
    rng = np.random.default_rng(3)
    steps = np.linspace(0, 1.5, 1500)
    tone = cv2.GaussianBlur(60 * rng.normal(size=(1500, 1)), (1, 61), 0, sigmaY=4)[:, 0]
    board = np.where((steps % 0.11) < 0.006, -70.0, 0.0)  # the gaps between them
    noise = 3 * rng.normal(size=(HEIGHT, WIDTH))
    grey = np.interp(across, steps, tone + board) + noise
    photo = (np.array([170, 130, 90]) + grey[..., None]).clip(0, 255).astype(np.uint8)
    photo[~table] = (150, 160, 170)
    hidden = np.zeros(table.shape, bool)
    hidden[75:140, 90:230] = True
    holed = photo.copy()
    holed[hidden] = (255, 0, 0)
    assert psnr(fill(holed, hidden, table, camera()), photo, hidden & table) > 24  # by pieces from anywhere: 22.8


def test_what_stands_on_the_table_is_not_copied_under_the_thing() -> None:
    photo = ball_photo()
    photo[120:140, 20:70] = (30, 60, 200)  # a book beside the ball
    hidden = cv2.dilate(ball_mask().astype(np.uint8), np.ones((9, 9))) > 0
    rays = pixel_rays()
    table = np.where(rays[..., 2] < 0, -0.2 / np.minimum(rays[..., 2], -1e-9), np.inf) * rays[..., 0] < 1.2
    filled = fill(photo, hidden, table, camera())[hidden & table].astype(int)
    assert (filled[:, 2] - filled[:, 0]).max() < 0  # brown, nowhere blue


def test_only_what_stands_has_a_contact_shadow() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[40:110, 100:160] = True
    standing, hanging = (hidden_region([mask], [stands]) for stands in (True, False))
    assert standing[114, 110:150].all() and standing[100:105, 93:96].all()
    assert hanging[113, 110:150].all() and not hanging[114:].any() and not hanging[:, :96].any()


def test_beyond_the_photo_the_room_is_no_second_one() -> None:
    config, own = ball_config(), camera()
    photo = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    photo[5:25, 8:24] = (250, 240, 230)  # a window beside the photo's left border
    found, pixels = background_gaussians(photo, config, own)
    uv, depth = own.project(found.means.astype(np.float64))
    aside = (pixels < 0) & (depth > 0) & (uv[:, 0] < -6) & (uv[:, 0] > -26) & (uv[:, 1] > 6) & (uv[:, 1] < 24)
    bright = found.colors()[aside]
    assert len(bright) > 20
    assert bright.mean() < 0.45 and bright.max() < 0.7  # mirrored: the window again


def test_a_table_goes_on_towards_the_camera_as_a_table() -> None:
    config, own = ball_config(), camera()
    table = on_table(config, own)
    photo = np.where(table[..., None], (170, 120, 60), (40, 60, 200)).astype(np.uint8)
    found, _ = background_gaussians(photo, config, own)
    uv = own.project(found.means.astype(np.float64))[0]
    red, _, blue = found.colors().T
    near = (np.abs(found.means[:, 2]) < 0.02) & (found.means[:, 0] < config.table.edge_m) & (uv[:, 1] > HEIGHT + 4)
    assert near.sum() > 500 and (red[near] > blue[near]).all()  # the photo mirrored whole: the backdrop on the table


def test_the_table_ends_behind_the_thing_where_it_ends_beside_it() -> None:
    own = camera()
    table = on_table(ball_config(), own)
    end = int(np.argmax(table.any(axis=1))) + 2  # two pixels lower than the scene says
    photo = np.full((HEIGHT, WIDTH, 3), (60, 70, 90), np.uint8)
    photo[end:] = (190, 150, 110)
    hidden = np.zeros_like(table)
    hidden[end - 20 : end + 40, 120:200] = True
    holed = photo.copy()
    holed[hidden] = (255, 0, 0)
    filled = fill(holed, hidden, table, own).astype(int)
    assert np.abs(filled[hidden] - photo[hidden].astype(int)).max() < 12  # a ledge of table: 130
