"""Entities cast shadows on each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.light.between import Between
from support.lit import lit_scene


def test_what_comes_between_another_thing_and_the_lamp_darkens_its_lit_side_alone() -> None:
    scene = lit_scene()
    light, ball = scene.light, scene.entities[0]
    assert light is not None
    n, size = len(scene.rest), float(np.ptp(scene.rest[:, 0]))
    rest = np.concatenate([scene.rest, scene.rest + np.float32([0, 3 * size, 0])])
    both = Between(rest, [ball, replace(ball, name="other", particles=slice(n, 2 * n))], light)
    assert both.ratio(rest) is None
    now = rest.copy()
    now[n:] = scene.rest + np.float32(1.2 * size * light.direction)  # towards the lamp
    ratio = both.ratio(now)
    assert ratio is not None
    assert np.allclose(ratio[n:], 1), "nothing is between the lamp and the other one"
    facing = (scene.rest - scene.rest.mean(0)) @ light.direction
    lit, away = facing > 0.7 * facing.max(), facing < 0.5 * facing.min()
    assert np.abs(ratio[:n][lit] - (1 - light.key)).max() < 0.1 and np.abs(ratio[:n][away] - 1).max() < 0.05
    now[n:] = rest[n:] + np.float32([0.4 * size, 0, 0])
    assert both.ratio(now) is None
