"""Views from above look past the table's far edge into the room, not into nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.background.lift import background_gaussians
from pw_core.reconstruct.background.table import on_table
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.render.cameras import centre, look_at, orbit
from support.ball_photo import CENTRE, WIDTH, ball_config, camera

BROWN, GREY = np.array([170.0, 120, 60]), np.array([90.0, 110, 150])
AIM = (0.85, 0.0, 0.0)


def deep_room() -> SceneConfig:
    """A table whose backdrop stands well behind it."""
    parsed = ball_config().model_dump(mode="json")
    return SceneConfig.parse(parsed | {"table": {"edge_m": 1.0, "backdrop_m": 0.8}})


def raised(own: Camera, degrees: float, heights: float) -> Camera:
    """Carried round the ball, then up by so many of the camera's heights, looking at the table before its end."""
    around = orbit(own.viewmat, CENTRE, [math.radians(degrees)])[0]
    eye = centre(around) + np.array([0, 0, heights * own.centre[2]])
    return own.moved(look_at(eye, AIM), name="raised")


@pytest.mark.parametrize("degrees", [-40.0, 0.0, 40.0])
def test_views_from_above_see_the_room_past_the_table(degrees: float) -> None:
    config, own = deep_room(), camera()
    photo = np.where(on_table(config, own)[..., None], BROWN, GREY).astype(np.uint8)
    found, _ = background_gaussians(photo, config, own)
    for heights in (0.5, 1.0, 1.5, 3.0):
        view = raised(own, degrees, heights)
        drawn = draw_gaussians(found, view, render_depth="expected")
        assert drawn.alpha.min() > 0.95  # without what goes on below the backdrop: 0 in the gap past the table
        y, x = np.mgrid[: view.height, : view.width] + 0.5
        rays = view.rays(np.stack([x, y], -1))
        far = view.centre[2] / np.maximum(-rays[..., 2], 1e-9)
        met = view.centre[0] + rays[..., 0] * far
        rgb, depth = 255 * drawn.rgb[0].numpy(), drawn.depth[0, ..., 0].numpy()
        # Where the photo shows the table's end: past its borders cells are coarse.
        end = view.centre + rays * ((1.0 - view.centre[0]) / rays[..., :1])
        shown = np.abs(own.project(end)[0][..., 0] - WIDTH / 2) < WIDTH / 2 - 12
        beyond, near = shown & (met > 1.03), shown & (met > 0.8) & (met < 0.97)
        assert beyond.sum() > 500 and near.sum() > 500
        assert np.abs(rgb[beyond] - GREY).max() < 16  # of the room, nowhere black
        assert np.abs(rgb[near] - BROWN).max() < 16  # nor does the room show through the table
        off = depth / (far * (rays @ view.viewmat[2, :3])) - 1
        assert np.sqrt((off[near] ** 2).mean()) < 0.006 and np.abs(off[near]).max() < 0.02


def test_from_where_the_photo_was_taken_nothing_of_it_is_seen() -> None:
    config, own = deep_room(), camera()
    photo = np.where(on_table(config, own)[..., None], BROWN, GREY).astype(np.uint8)
    rgb = 255 * draw_gaussians(background_gaussians(photo, config, own)[0], own).rgb[0].numpy()
    row = int(np.argmax(on_table(config, own).any(axis=1)))
    inner = rgb[:, 12:-12]  # at the borders the coarse may lie before the fine
    assert np.abs(inner[: row - 1] - GREY).max() < 10 and np.abs(inner[row + 1 :] - BROWN).max() < 10
