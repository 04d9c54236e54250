"""A wall that the scene file has elsewhere than the shadows on it say."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from pw_core.config import TableConfig
from pw_core.reconstruct.background.checks.wall_distance import wall_distance_doubts
from pw_core.reconstruct.background.lifted import Backdrop, kept_at
from pw_core.reconstruct.background.light import estimate_light
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth
from support.ball_scene import ball_scene
from support.lit import before_wall

AWAY_M = 0.12
"""Of the true wall, behind the ball's middle."""
EDGE_M = 0.08
"""Of the table's end, likewise."""


def told(backdrop_m: float, *, shadow: bool = True) -> list[str]:
    """Of a ball before a wall that is 0.04 m beyond the table's end, as if the scene file had it `backdrop_m` there."""
    scene, true = ball_scene(), before_wall(away_m=AWAY_M)
    assert true.wall is not None
    camera, edge = scene.cameras[0].resized(320, 240), float(scene.rest[:, 0].mean()) + EDGE_M
    points = camera.unproject(pixel_centres(camera.height, camera.width), np.nan_to_num(table_depth(camera), posinf=50))
    table = np.isfinite(table_depth(camera)) & (points[..., 0] < edge)
    share, _ = kept_at(table, camera, scene.rest, scene.entities, true, wall=~table)
    share = np.where(table[..., None] | shadow, share, 1.0)
    photo = (np.where(table[..., None], (150, 120, 90), (170, 180, 175)) * share).round().astype(np.uint8)
    cells, _, seen = camera.pixels(scene.rest)
    covered = np.zeros(table.shape, np.uint8)
    covered[cells[seen, 1], cells[seen, 0]] = 1
    hidden = cv2.dilate(covered, np.ones((9, 9))) > 0
    given = TableConfig(edge_m=edge, backdrop_m=backdrop_m)
    backdrop = Backdrop(given.edge_m + backdrop_m, told=True)
    lit = estimate_light(photo, hidden, table, camera, scene.rest, scene.entities, backdrop=backdrop)
    assert lit is not None
    return wall_distance_doubts(photo, hidden, table, camera, scene.rest, scene.entities, lit.light, given)


def test_the_true_distance_is_not_doubted() -> None:
    assert told(AWAY_M - EDGE_M) == []


@pytest.mark.parametrize("backdrop_m", [0.2, 1.0])
def test_a_wrong_distance_is_told_with_the_one_that_fits(backdrop_m: float) -> None:
    (text,) = told(backdrop_m)
    fits = re.search(rf"table\.backdrop_m {backdrop_m:g}\).*: table\.backdrop_m ([\d.]+) would fit", text)
    assert fits is not None and abs(float(fits[1]) - (AWAY_M - EDGE_M)) < 0.03


def test_a_wall_without_shadows_says_nothing_of_its_distance() -> None:
    assert told(1.0, shadow=False) == []
