"""A light that is told from the shadows it casts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pw_core.light.cast import Caster
from pw_core.light.overlay import kept, receivers
from pw_core.reconstruct.background.lifted import Backdrop, kept_at
from pw_core.reconstruct.background.light import estimate_light
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from support.ball_scene import ball_scene
from support.lit import before_wall, light


def test_lamp_and_room_are_found_and_their_shadows_come_off() -> None:
    scene = ball_scene()
    camera = scene.cameras[0].resized(320, 240)
    depth = np.nan_to_num(table_depth(camera), posinf=50.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    table = np.isfinite(table_depth(camera)) & (points[..., 0] < 2)
    true = light()
    share = kept(Caster(scene.rest, scene.entities, true).shade(scene.rest), receivers(points, true))
    plain = np.where(table[..., None], (150, 120, 90), (90, 100, 110)).astype(np.float64)
    photo = (plain * np.where(table[..., None], share, 1)).round().astype(np.uint8)
    cells, _, seen = camera.pixels(scene.rest)
    hidden = np.zeros(table.shape, np.uint8)
    hidden[cells[seen, 1], cells[seen, 0]] = 1
    covered = cv2.dilate(hidden, np.ones((9, 9))) > 0
    photo[covered] = (200, 30, 30)
    found = estimate_light(photo, covered, table, camera, scene.rest, scene.entities)
    assert found is not None
    assert found.light.direction @ true.direction > np.cos(np.radians(25))
    free = table & ~covered
    assert (plain - photo)[free].max() > 25  # there was a shadow to take off
    left = (found.pixels.astype(float) - plain)[free]
    assert np.abs(left).mean() < 2 and left.max() < 12  # nowhere brighter than the table
    assert np.abs(found.kept * found.pixels - photo)[free & ~found.deep].mean() < 2


def test_a_shadow_on_the_wall_is_told_and_where_it_fell_the_wall_is_to_be_filled() -> None:
    scene, true = ball_scene(), before_wall(away_m=0.12)
    assert true.wall is not None
    camera = scene.cameras[0].resized(320, 240)
    depth = np.nan_to_num(table_depth(camera), posinf=50.0)
    table = np.isfinite(table_depth(camera)) & (
        camera.unproject(pixel_centres(camera.height, camera.width), depth)[..., 0] < true.wall.x_m
    )
    share, _ = kept_at(table, camera, scene.rest, scene.entities, true, wall=~table)
    plain = np.where(table[..., None], (150, 120, 90), (170, 180, 175)).astype(np.float64)
    photo = (plain * share).round().astype(np.uint8)
    cells, _, seen = camera.pixels(scene.rest)
    covered = np.zeros(table.shape, np.uint8)
    covered[cells[seen, 1], cells[seen, 0]] = 1
    covered = cv2.dilate(covered, np.ones((9, 9))) > 0
    photo[covered] = (200, 30, 30)
    shadow = ~table & ~covered & (share.min(-1) < 0.9)
    assert shadow.sum() > 300
    backdrop = Backdrop(true.wall.x_m, told=False)
    found = estimate_light(photo, covered, table, camera, scene.rest, scene.entities, backdrop=backdrop)
    assert found is not None and found.light.wall is not None
    assert found.light.direction @ true.direction > np.cos(np.radians(15))
    assert found.light.wall.key == pytest.approx(true.wall.key, abs=0.15)
    assert found.deep[shadow].mean() > 0.95
    # Where the wall has no shadow that should be seen there, none is thrown on it.
    bright = np.where(table[..., None], photo, plain).astype(np.uint8)
    bright[covered] = (200, 30, 30)
    found = estimate_light(bright, covered, table, camera, scene.rest, scene.entities, backdrop=backdrop)
    assert found is None or found.light.wall is None or not found.light.wall.key.any()


@pytest.mark.parametrize("away_m", [0.12, 1.5])
def test_a_told_wall_is_lit_where_no_shadow_reaches_it_and_left_as_it_is_where_its_pattern_hides_one(
    away_m: float,
) -> None:
    scene, true = ball_scene(), before_wall(away_m=away_m)
    assert true.wall is not None
    camera = scene.cameras[0].resized(320, 240)
    depth = np.nan_to_num(table_depth(camera), posinf=50.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    table = np.isfinite(table_depth(camera)) & (points[..., 0] < true.wall.x_m)
    share, _ = kept_at(table, camera, scene.rest, scene.entities, true)
    stripes = np.broadcast_to(np.arange(320) // 6 % 2 == 0, table.shape)
    wall = np.where(stripes[..., None], (200, 190, 60), (60, 90, 170))
    photo = (np.where(table[..., None], (150, 120, 90), wall) * share).round().astype(np.uint8)
    cells, _, seen = camera.pixels(scene.rest)
    covered = np.zeros(table.shape, np.uint8)
    covered[cells[seen, 1], cells[seen, 0]] = 1
    covered = cv2.dilate(covered, np.ones((9, 9))) > 0
    backdrop = Backdrop(true.wall.x_m, told=True)
    found = estimate_light(photo, covered, table, camera, scene.rest, scene.entities, backdrop=backdrop)
    assert found is not None and found.light.wall is not None
    assert bool(found.light.wall.key.any()) == (away_m > 1)


@pytest.mark.parametrize(("by_channel", "told"), [((1.0, 0.9, 0.75), True), ((0.0, 0.1, 1.0), False)])
def test_what_darkens_one_colour_alone_is_no_lamps_shadow(by_channel: tuple[float, ...], told: bool) -> None:
    """As a fruit does that stands beside the thing."""
    scene, true = ball_scene(), light()
    camera = scene.cameras[0].resized(320, 240)
    depth = np.nan_to_num(table_depth(camera), posinf=50.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    table = np.isfinite(table_depth(camera)) & (points[..., 0] < 2)
    share = kept(Caster(scene.rest, scene.entities, true).shade(scene.rest), receivers(points, true))
    plain = np.where(table[..., None], (150, 120, 90), (90, 100, 110)).astype(np.float64)
    photo = (plain * np.where(table[..., None], 1 - (1 - share) * by_channel, 1)).round().astype(np.uint8)
    nothing = np.zeros(table.shape, bool)
    assert (estimate_light(photo, nothing, table, camera, scene.rest, scene.entities) is not None) == told


def test_without_shadows_there_is_no_light() -> None:
    scene = ball_scene()
    camera = scene.cameras[0].resized(320, 240)
    table = np.isfinite(table_depth(camera))
    photo = np.full((240, 320, 3), 120, np.uint8)
    assert estimate_light(photo, np.zeros_like(table), table, camera, scene.rest, scene.entities) is None


def test_a_pattern_is_not_taken_for_shadows() -> None:
    scene = ball_scene()
    camera = scene.cameras[0].resized(320, 240)
    depth = np.nan_to_num(table_depth(camera), posinf=50.0)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    table = np.isfinite(table_depth(camera)) & (points[..., 0] < 2)
    stripes = np.sin(points[..., 1] * 2 * np.pi / 0.05) > 0
    photo = np.where(stripes[..., None], (150, 120, 90), (120, 90, 70)).astype(np.uint8)
    cells, _, seen = camera.pixels(scene.rest)
    covered = np.zeros(table.shape, bool)
    covered[cells[seen, 1], cells[seen, 0]] = True
    assert estimate_light(photo, covered, table, camera, scene.rest, scene.entities) is None
