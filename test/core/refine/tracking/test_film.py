"""Target frames at the working size, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.refine.targets.types import UNCERTAIN
from pw_core.refine.tracking.film import Film, FilmOptions, around, outline, trusted_flow
from support.spotted import film_of, truth


def texture(height: int, width: int) -> np.ndarray:
    import cv2

    rough = np.random.default_rng(0).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 2.0)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def test_a_scaled_pixel_that_is_part_this_and_part_that_is_uncertain(spotted) -> None:
    _, cameras = spotted
    h, w = cameras[0].height, cameras[0].width
    masks = np.zeros((1, 1, h, w), np.int32)
    masks[..., : w // 2 + 1] = 1  # cuts through the pixels of half the size
    frames = np.full((1, 1, h, w, 3), 100, np.uint8)
    film = Film.scaled(cameras[:1], frames, np.ones(masks.shape, bool), masks, width=w // 2, weights=(1,))
    row = film.masks[0, 0, 10]
    assert (row[: w // 4] == 1).all() and row[w // 4] == UNCERTAIN and (row[w // 4 + 1 :] == 0).all()
    assert film.narrowed(w) is film and film.rgb.max() == pytest.approx(100 / 255)
    lax = FilmOptions(least_label_share=0.4)
    film = Film.scaled(cameras[:1], frames, np.ones(masks.shape, bool), masks, width=w // 2, weights=(1,), options=lax)
    assert (film.masks[0, 0, 10] != UNCERTAIN).all()


def test_an_outline_is_found_to_a_part_of_a_pixel_with_normals_outwards() -> None:
    y, x = np.mgrid[:80, :100] + 0.5
    gap = np.hypot(x - 50.3, y - 40.7)
    points, normals = outline(np.clip(20.4 - gap + 0.5, 0, 1).astype(np.float32))
    arm = points - [50.3, 40.7]
    assert np.abs(np.linalg.norm(arm, axis=1) - 20.4).max() < 0.25
    assert ((arm / 20.4 * normals).sum(1) > 0.97).all()
    blocked = x > 50
    assert (outline(np.clip(20.4 - gap + 0.5, 0, 1).astype(np.float32), blocked=blocked)[0][:, 0] < 50).all()


def test_flow_is_trusted_where_there_and_back_agree_and_only_in_the_window() -> None:
    a = texture(120, 160)
    b = np.roll(a, 3, axis=1)
    window = (slice(20, 100), slice(30, 130))
    flow = trusted_flow(a, b, window=window)
    inside = flow[40:80, 50:110]
    assert np.isfinite(inside).mean() > 0.95 and np.nanmedian(inside[..., 0]) == pytest.approx(3, abs=0.1)
    outside = np.ones(a.shape, bool)
    outside[window] = False
    assert np.isnan(flow[outside]).all()
    assert np.isfinite(trusted_flow(a, texture(120, 160)[::-1])).all(-1).mean() < 0.7


def test_a_window_holds_what_is_shown_and_room_for_the_search() -> None:
    shown = np.zeros((400, 600), bool)
    shown[200:210, 300:500] = True
    rows, columns = around(shown)
    assert rows.stop - rows.start >= 128 and (columns.start, columns.stop) == (300 - 32, 500 + 32)
    assert around(np.zeros((40, 60), bool)) == (slice(0, 40), slice(0, 60))


def test_what_was_not_observed_is_not_seen(spotted) -> None:
    scene, cameras = spotted
    film = film_of(scene, cameras, truth(scene))
    film.valid[1, 2] = False
    assert film.seen(0, 2) and not film.seen(1, 2)
