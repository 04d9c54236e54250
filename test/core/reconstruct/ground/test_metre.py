"""The metre of poses found from pictures alone: of a size, a diameter or a distance that the scene file gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.ground.metre import metre_by_entity, seen_length, upright_sides
from support.hanging_ball import RADIUS, camera, config, shot, shots

UNIT = 0.25
"""[m] of the poses' unit."""


@pytest.mark.parametrize(
    ("said", "size", "whose"),
    [
        ({"diameter_m": 2 * RADIUS}, 0.0, "diameter_m of 'ball'"),
        ({"distance_m": 0.4}, 0.0, "distance_m of 'ball'"),
        ({"distance_m": 3.0, "diameter_m": 5.0}, 2 * RADIUS, "object size 0.1 m"),
    ],
)
def test_what_the_scene_file_says_of_the_first_entity_gives_it(said: dict[str, float], size: float, whose: str) -> None:
    seen = camera(np.zeros(3), 0.3)
    mask = shot(seen, np.zeros(3))[2]
    viewmat = seen.viewmat.copy()
    viewmat[:3, 3] /= UNIT
    box = np.array([[-1.0, -1, -1], [1, 1, 1]]) * RADIUS / UNIT
    entity = EntityConfig.model_validate(config(mask).entities[0].model_dump() | {"diameter_m": 0.0} | said)
    scale, source = metre_by_entity(entity, ViewsSettings(object_size_m=size), box=box, mask=mask,
                                    camera=seen.moved(viewmat, name="v"), assumed_size_m=0.2)  # fmt: skip
    assert scale == pytest.approx(UNIT, rel=0.03) and source == whose


def test_where_nothing_is_said_it_is_assumed_and_a_height_above_no_table_is_refused(tmp_path: Path) -> None:
    seen = camera(np.zeros(3), 0.0)
    mask = shot(seen, np.zeros(3))[2]
    entity = config(mask, diameter_m=0.0).entities[0]
    box = np.array([[0.0, 0, 0], [1, 2, 4]])
    scale, source = metre_by_entity(entity, ViewsSettings(), box=box, mask=mask, camera=seen, assumed_size_m=0.2)
    assert scale == pytest.approx(0.05) and "assumed to be 0.2 m long" in source
    pictures = Inputs(tuple(replace(v, depth=None) for v in shots(np.zeros(3), 4, poses=False).views))
    with pytest.raises(ReconstructError, match=r"camera_height_m is a height above the table's plane") as raised:
        reconstruct(config(mask), pictures, settings=ViewsSettings(camera_height_m=1.5), folder=tmp_path)
    assert raised.value.code == ErrorCode.INVALID_CONFIG


@pytest.mark.parametrize("yaw", [0.0, 20.0, 45.0, 90.0])
def test_a_stick_is_as_long_as_a_rule_says_however_it_lies(yaw: float) -> None:
    corners = np.stack(np.meshgrid([-0.1, 0.1], [-0.01, 0.01], [0, 0.03], indexing="ij"), -1).reshape(-1, 3)
    turn = Rotation.from_euler("z", yaw, degrees=True).as_matrix()
    assert upright_sides(corners @ turn.T) == pytest.approx([0.2, 0.02, 0.03], abs=1e-5)


@pytest.mark.parametrize("arc", [0.1, 0.6])
def test_what_is_seen_of_a_ball_from_one_side_is_as_long_as_it_is(arc: float) -> None:
    cameras = [camera(np.zeros(3), float(angle)) for angle in np.linspace(-arc, arc, 5)]
    ball = np.random.default_rng(0).normal(size=(4000, 3))
    ball *= RADIUS / np.linalg.norm(ball, axis=1, keepdims=True)
    front = ball[(ball @ cameras[2].centre) > RADIUS**2]  # and no point of what lies behind
    masks = [shot(c, np.zeros(3))[2] for c in cameras]
    assert seen_length(front, cameras, masks) == pytest.approx(2 * RADIUS, rel=0.05)
