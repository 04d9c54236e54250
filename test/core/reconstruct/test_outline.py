"""Where a thing ends and where the photo ends: nothing there may tear, or show as a line in turned views."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.appearance import Appearance
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.background.lift import hidden_region
from pw_core.reconstruct.surface.inflate import make_solid
from pw_core.render.cameras import orbit
from support.ball_photo import HEIGHT, WIDTH, ball_config, ball_mask, ball_photo, camera


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


def test_mixed_pixels_take_the_things_colour_and_let_the_background_through() -> None:
    photo = ball_photo()
    soft = ball_mask().astype(np.float32)[..., None]
    around = np.where(ball_mask()[..., None], 150, photo)  # as a lens mixes them
    share = ndimage.gaussian_filter(soft, (0.6, 0.6, 0))
    photo = (share * np.where(ball_mask()[..., None], photo, (150, 40, 40)) + (1 - share) * around).astype(np.uint8)
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), photo))
    colors = scene.foreground.colors()
    assert (colors[:, 0] - colors[:, 1]).min() > 0.1  # red, none as grey as the wall behind
    opacities = 1 / (1 + np.exp(-scene.foreground.opacities))
    assert 0.02 < (opacities < 0.7).mean() < 0.3
    assert scene.provenance["psnr_db"] > 30


def test_only_what_stands_has_a_contact_shadow() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[40:110, 100:160] = True
    standing, hanging = (hidden_region([mask], [stands]) for stands in (True, False))
    assert standing[114, 110:150].all() and standing[100:105, 93:96].all()
    assert hanging[113, 110:150].all() and not hanging[114:].any() and not hanging[:, :96].any()


def test_a_turned_view_shows_no_line_where_the_photo_ends() -> None:
    """Waves on the wall are mirrored at the border: one crest or trough there, no spike."""
    photo = ball_photo()
    photo[:60] = (130 + 40 * np.sin(np.arange(WIDTH) / 3 + 0.4)).astype(np.uint8)[:, None]
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), photo))
    view = scene.cameras[0]
    turned = view.moved(orbit(view.viewmat, scene.entities[0].origin, [np.radians(15)])[0], name="turned")
    wall = Appearance(scene).render(turned, scene.initial_physics()).rgb[30:50, :, 0].mean(0)
    edge = view.unproject(np.array([[0.0, 40.0]]), 1.2 / view.rays(np.array([[0.0, 40.0]]))[:, 0])
    column = round(float(turned.project(edge)[0][0, 0]))
    steps = np.diff(wall[column - 5 : column + 5])
    steps = np.sign(steps[np.abs(steps) > 0.7])
    assert 30 < column < WIDTH - 30 and (np.diff(steps) != 0).sum() <= 1
