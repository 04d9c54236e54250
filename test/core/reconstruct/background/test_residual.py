"""What a photo shows round a thing beyond table and cast shadow goes with the thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.gaussians import F64
from pw_core.light.cast import Caster
from pw_core.light.overlay import kept, receivers
from pw_core.reconstruct.background.lifted import Lit, kept_at
from pw_core.reconstruct.background.residual import unlit, with_residual
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask, Rgb
from support.lit import lit_scene


def test_the_photo_comes_back_and_the_rest_of_it_moves_with_the_thing() -> None:
    scene = lit_scene()
    assert scene.light is not None
    light, camera = scene.light, scene.cameras[0].resized(320, 240)
    depth = table_depth(camera)
    table = np.isfinite(depth) & (np.nan_to_num(depth, posinf=50) < 2)
    points = camera.unproject(pixel_centres(240, 320), np.where(table, depth, 1.0))
    low, high = scene.rest[:, :2].min(0), scene.rest[:, :2].max(0)
    size, middle = float((high - low).max()), (low + high) / 2
    cells = np.ceil(1.6 * (high - low) / light.step_m).astype(int)
    first = np.round(middle / light.step_m).astype(int) - cells // 2
    light = replace(light, first=first, observed=np.zeros((1, *cells, 3), np.float32))
    share, _ = kept_at(table, camera, scene.rest, scene.entities, light)
    away = np.linalg.norm(points[..., :2] - middle, axis=-1)
    ring = table & (away > 0.45 * size) & (away < 0.7 * size)
    filled = np.full((240, 320, 3), (180, 140, 90), np.uint8)
    drawn = filled * share
    photo = np.where(ring[..., None], 0.6 * drawn, drawn).round().astype(np.uint8)  # darker round its foot
    lit = with_residual(
        Lit(light, filled, share, np.zeros_like(table)), photo, filled, ring, table, camera, scene.rest, scene.entities
    )
    inner = table & (away > 0.5 * size) & (away < 0.65 * size)
    assert np.abs(filled * lit.kept - photo)[inner].mean() < 3 < np.abs(drawn - photo)[inner].mean()
    step = np.float32([0, -2 * size, 0])
    shade = Caster(scene.rest, scene.entities, lit.light).shade(scene.rest + step)
    gone = kept(shade, receivers(points, light))
    assert gone[inner].min() > 0.9


def _without_a_lamp(shares: tuple[float, float, float]) -> tuple[Lit, Rgb, Rgb, Mask, F64]:
    """What goes with a thing round which a table keeps those shares of its colours: the light, the photo and the table
    (H, W, 3), where (H, W) it is shaded, and how far (H, W) from the thing's middle, in sizes, the table is seen."""
    scene = lit_scene()
    camera = scene.cameras[0].resized(320, 240)
    depth = table_depth(camera)
    table = np.isfinite(depth) & (np.nan_to_num(depth, posinf=50) < 2)
    points = camera.unproject(pixel_centres(240, 320), np.where(table, depth, 1.0))
    low, high = scene.rest[:, :2].min(0), scene.rest[:, :2].max(0)
    away = np.linalg.norm(points[..., :2] - (low + high) / 2, axis=-1) / float((high - low).max())
    away[~table] = np.inf
    filled = np.full((240, 320, 3), (180, 140, 90), np.uint8)
    shadow = away < 0.7
    photo = np.where(shadow[..., None], shares * filled, filled).round().astype(np.uint8)
    start = unlit(photo, table, camera, scene.rest, scene.entities, shadow)
    lit = with_residual(
        start, photo, filled, away < 0.9, table, camera, scene.rest, scene.entities, darker=True
    )  # fmt: skip
    return lit, photo, filled, shadow, away


def test_beside_a_deep_shadow_the_table_stays_as_bright_as_in_the_photo() -> None:
    lit, photo, filled, shadow, away = _without_a_lamp((0.06, 0.06, 0.06))
    beside = (away > 0.72) & (away < 0.78)  # one to three of the light's cells
    drawn = filled * lit.kept
    assert drawn[beside].mean() > 0.92 * photo[beside].mean()
    assert np.abs(drawn - photo)[shadow].mean() < 4
    assert lit.kept.max() <= 1  # a table without a lamp is not brightened


def test_a_table_that_is_of_another_colour_round_a_thing_does_not_tint_what_the_thing_moves_to() -> None:
    lit, _, _, shadow, _ = _without_a_lamp((1.0, 0.3, 1.0))
    kept_there = lit.kept[shadow]
    assert (kept_there.max(-1) / kept_there.min(-1)).max() < 2
