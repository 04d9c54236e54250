"""The fit of colours at one camera."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import Camera
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.single_view import PhotoFitOptions, fit_colors, fit_hidden
from pw_core.reconstruct.splatting.splats import surface_gaussians

SIZE = 24


def test_overlapping_gaussians_take_up_the_photo_and_stay_near_what_they_were_given() -> None:
    camera = Camera.above_table(height_m=0.3, pitch_deg=90, hfov_deg=40, width=SIZE, height=SIZE)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pixels = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    points = camera.unproject(pixels, np.full(len(pixels), 0.3))
    right, below = (camera.unproject(pixels + s, np.full(len(pixels), 0.3)) - points for s in ([1, 0], [0, 1]))
    rng = np.random.default_rng(0)
    photo = (128 + 20 * rng.normal(size=(SIZE, SIZE, 3))).clip(0, 255).astype(np.uint8)
    given = photo.reshape(-1, 3) / 255
    all_of_it = surface_gaussians(points, right, below, given)
    front, back = all_of_it[slice(0, 100)], all_of_it[slice(100, len(points))]
    number = np.arange(len(points))

    def fitted(iterations: int, options: PhotoFitOptions = PhotoFitOptions()) -> tuple[np.ndarray, float]:
        a, b, psnr = fit_colors(
            front, number[:100], back, number[100:], photo, camera, outline=np.zeros(100, bool), hidden_colors=photo,
            iterations=iterations, options=options,
        )  # fmt: skip
        return np.concatenate([a.colors(), b.colors()]), psnr

    untouched, before = fitted(0)
    found, after = fitted(12)
    assert np.allclose(untouched, given, atol=1e-6) and after > before + 1
    assert np.abs(found - given).max() <= 0.2 + 1e-6
    near, _ = fitted(12, PhotoFitOptions(most_change=0.02))
    assert np.abs(near - given).max() <= 0.02 + 1e-6


def test_what_the_photo_does_not_show_is_drawn_as_sharp_as_it_was_filled() -> None:
    camera = Camera.above_table(height_m=0.3, pitch_deg=90, hfov_deg=40, width=SIZE, height=SIZE)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pixels = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    points = camera.unproject(pixels, np.full(len(pixels), 0.3))
    right, below = (camera.unproject(pixels + s, np.full(len(pixels), 0.3)) - points for s in ([1, 0], [0, 1]))
    grain = 130 + 25 * np.sin(2 * np.pi * y / 6)
    filled = np.broadcast_to(grain[..., None].round(), (SIZE, SIZE, 3)).astype(np.uint8)
    ground = surface_gaussians(points, right, below, filled.reshape(-1, 3) / 255)
    hidden = np.where((x < SIZE // 2).ravel(), np.arange(len(points)), -1)
    fitted = fit_hidden(ground, hidden, filled, camera)
    off = [np.abs(255 * draw_gaussians(g, camera).rgb[0].numpy() - filled)[3:-3] for g in (ground, fitted)]
    assert off[1][:, 3:9].mean() < 0.5 * off[0][:, 3:9].mean()
    assert np.array_equal(fitted.sh[hidden < 0], ground.sh[hidden < 0])
