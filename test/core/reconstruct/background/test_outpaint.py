"""How the room goes on past the photo's borders."""

from __future__ import annotations

import cv2
import numpy as np

from pw_core.gaussians import Camera
from pw_core.reconstruct.background.outpaint import Outpainted, OutpaintOptions, outpaint
from pw_core.reconstruct.background.table import on_table
from support.ball_photo import HEIGHT, WIDTH, ball_config, camera

SHARP = OutpaintOptions(most_pixels=40_000, blur_ratio=0.0, far_blur_ratio=0.0)


def extended(photo: np.ndarray, own: Camera, options: OutpaintOptions = SHARP) -> Outpainted:
    return outpaint(photo, ball_config(), own, options=options)


def striped() -> np.ndarray:
    """A wall of vertical stripes, 40 px from one to the next, over a plain brown table."""
    columns = np.arange(WIDTH)
    row = np.where(columns % 40 < 20, 60, 200)
    photo = np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.uint8).copy()
    photo[on_table(ball_config(), camera())] = (150, 110, 70)
    return photo


def test_a_pattern_on_the_wall_goes_on() -> None:
    at = np.stack([np.arange(-185.0, -45.0) + 0.5, np.full(140, 24.5)], axis=1)
    colors = extended(striped(), camera()).colors(at).mean(axis=1) * 255
    light, dark = np.abs(colors - 200) < 25, np.abs(colors - 60) < 25
    assert (light | dark).mean() > 0.75  # the stripes' own borders are soft
    assert 5 <= np.abs(np.diff((colors > 130).astype(int))).sum() <= 9  # 140 px are seven stripes


def test_the_table_goes_on_as_table_and_the_wall_as_wall() -> None:
    made = extended(striped(), camera())
    brown = np.array([150, 110, 70]) / 255.0
    at = np.array([[-60.0, HEIGHT - 5.0], [WIDTH + 60.0, HEIGHT - 5.0], [WIDTH / 2, HEIGHT + 30.0]])
    assert np.abs(made.colors(at) - brown).max() < 0.05
    behind = made.colors(at, wall_only=True)  # what is behind the table, where a turned view looks past its end
    assert np.ptp(behind, axis=1).max() < 0.05


def test_further_out_it_is_blurred_more() -> None:
    at = np.stack([np.arange(-150.0, -110.0), np.full(40, 20.0)], axis=1)
    sharp, soft = (
        extended(striped(), camera(), o).colors(at)[:, 0]
        for o in (SHARP, OutpaintOptions(most_pixels=40_000, blur_ratio=0.2))
    )
    assert np.ptp(soft) < 0.6 * np.ptp(sharp)


def test_where_no_wall_is_seen_there_is_no_black_one() -> None:
    own = camera()
    down = Camera.above_table(height_m=0.2, pitch_deg=70.0, hfov_deg=30.0, width=WIDTH, height=HEIGHT, name="photo")
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(90, 160, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 3)
    assert on_table(ball_config(), down).all() and own.width == WIDTH
    edge = np.stack(np.meshgrid(np.linspace(-100, WIDTH + 100, 30), [-80.0, -40.0, -5.0]), axis=-1).reshape(-1, 2)
    assert extended(photo, down).colors(edge).min() > 0.25
