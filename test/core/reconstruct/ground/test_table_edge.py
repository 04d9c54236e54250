"""The table's far edge in the photo against the camera of the scene file."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.reconstruct.ground.table_edge import standing_doubts, table_edge_doubts
from support.ball_photo import HEIGHT, WIDTH, ball_config, ball_mask, ball_photo
from support.ball_scene import ball_scene


def told(photo: np.ndarray | None = None, *, edge_m: float = 1.2, **camera: float) -> list[str]:
    """Of the drawn ball, whose camera is 0.2 m high and 15 degrees down, as if the scene file said otherwise."""
    known = ball_config()
    config = known.model_copy(update={
        "camera": known.camera.model_copy(update=camera), "table": known.table.model_copy(update={"edge_m": edge_m}),
    })  # fmt: skip
    return table_edge_doubts(ball_photo() if photo is None else photo, [ball_mask()], _camera(config), config)


def _camera(config: SceneConfig) -> Camera:
    c = config.camera
    return Camera.above_table(
        height_m=c.height_m, pitch_deg=c.pitch_deg, hfov_deg=c.hfov_deg, width=WIDTH, height=HEIGHT
    )


def test_the_true_camera_is_not_doubted() -> None:
    assert told() == []


@pytest.mark.parametrize("pitch_deg", [10.5, 19.5, 30.0])
def test_a_wrong_pitch_is_told_with_the_one_that_fits(pitch_deg: float) -> None:
    (text,) = told(pitch_deg=pitch_deg)
    fits = re.search(r"camera\.pitch_deg ([\d.]+) \(not", text)
    assert fits is not None and abs(float(fits[1]) - 15) < 0.5


@pytest.mark.parametrize("height_m", [0.14, 0.26])
def test_a_wrong_height_is_told_with_the_one_that_fits(height_m: float) -> None:
    (text,) = told(height_m=height_m)
    fits = re.search(r"camera\.height_m ([\d.]+) \(not", text)
    assert fits is not None and abs(float(fits[1]) - 0.2) < 0.015


def test_a_photo_that_shows_no_edge_contradicts_nothing() -> None:
    plain = np.random.default_rng(0).normal((120, 85, 50), 3, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    assert told(plain, pitch_deg=19.5) == []


def test_an_edge_that_the_scene_file_does_not_name_is_told_with_its_distance() -> None:
    (text,) = told(edge_m=100.0)
    fits = re.search(r"no end of it \(table\.edge_m 100\).*: table\.edge_m ([\d.]+) would fit", text)
    assert fits is not None and abs(float(fits[1]) - 1.2) < 0.1
    plain = np.random.default_rng(0).normal((120, 85, 50), 3, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    assert told(plain, edge_m=100.0) == []


def test_a_table_that_ends_before_the_foot_of_what_stands_on_it_is_doubted() -> None:
    texts = told(edge_m=0.3)
    (edge,) = (re.search(r"table\.edge_m is at least ([\d.]+), not 0\.3", t) for t in texts if "its foot" in t)
    assert edge is not None and 0.5 < float(edge[1]) < 0.65  # the ball stands at 0.6 m, its outline ends before


@pytest.mark.parametrize(("edge_m", "backdrop_m", "said"), [
    (0.02, 1.0, ""), (-0.02, 1.0, "is beyond the table's end"), (0.02, 0.0, "reaches through the wall"),
    (0.06, 0.0, ""),
])  # fmt: skip
def test_what_stands_beyond_the_tables_end_or_in_the_wall_is_told(edge_m: float, backdrop_m: float, said: str) -> None:
    scene = ball_scene()
    middle = float(scene.rest[:, 0].mean())
    table = scene.config.table.model_copy(update={"edge_m": middle + edge_m, "backdrop_m": backdrop_m})
    texts = standing_doubts(scene.rest, scene.entities, scene.config.model_copy(update={"table": table}))
    assert len(texts) == bool(said) and said in " ".join(texts)
