"""Which shade at a thing's foot goes with it where no lamp is told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pw_core.reconstruct.background.contact import contact_shade
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from pw_core.reconstruct.types import Mask
from support.lit import lit_scene

WIDTH, HEIGHT = 960, 720
SCENE = lit_scene()
CAMERA = SCENE.cameras[0].resized(WIDTH, HEIGHT)
LOW, HIGH = SCENE.rest[:, :2].min(0), SCENE.rest[:, :2].max(0)
RADIUS = float((HIGH - LOW).max()) / 2


def plane() -> tuple[Mask, NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the table; how far [radii] they are from the ball's middle, and what way round it [rad]."""
    depth = table_depth(CAMERA)
    table = np.isfinite(depth) & (np.nan_to_num(depth, posinf=50) < 2)
    points = CAMERA.unproject(pixel_centres(HEIGHT, WIDTH), np.where(table, depth, 1.0))[..., :2]
    x, y = np.moveaxis((points - (LOW + HIGH) / 2) / RADIUS, -1, 0)
    return table, np.hypot(x, y), np.arctan2(y, x)


def found(share: NDArray[np.float64]) -> Mask:
    """The shade on a table that keeps a share (H, W) of its brightness, the ball's foot hidden."""
    table, away, _ = plane()
    grain = np.random.default_rng(0).normal(size=share.shape)
    photo = (np.array([170, 140, 100]) * share[..., None] + 2 * grain[..., None]).clip(0, 255).astype(np.uint8)
    return contact_shade(photo, away < 0.6, table, CAMERA, SCENE.rest, SCENE.entities)


def test_what_darkens_steadily_towards_the_foot_is_the_things() -> None:
    table, away, _ = plane()
    shade = found(1 - 0.4 * np.clip((1.0 - away) / 0.4, 0, 1))
    assert shade[table & (away > 0.65) & (away < 0.9)].mean() > 0.9
    assert shade[away > 1.15].mean() < 0.01


def test_where_flour_hides_it_the_other_sides_still_go_with_the_thing() -> None:
    table, away, way = plane()
    floured = np.abs(way) > 2.0  # towards the camera
    shade = found(np.where(floured, 1.2, 1 - 0.4 * np.clip((1.0 - away) / 0.4, 0, 1)))
    assert shade[table & ~floured & (np.abs(way) < 1.6) & (away > 0.65) & (away < 0.85)].mean() > 0.9
    assert shade[floured & (np.abs(way) > 2.3)].mean() < 0.02


def test_the_tables_own_pattern_stays_on_it() -> None:
    _, away, way = plane()
    assert not found(np.ones(away.shape)).any()
    assert found(np.where(away * np.cos(way) > 0.7, 0.6, 1.0)).mean() < 0.002  # a dark board behind it
    assert found(np.where(away < 1.0, 1.2, 1.0)).mean() < 0.002  # flour all round
