"""Shadows on the wall behind the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.light.cast import Caster
from pw_core.light.occlusion import Shade
from pw_core.light.overlay import kept, kept_tensor, receivers
from pw_core.scene import Light
from support.ball_scene import ball_scene
from support.lit import before_wall

REST = ball_scene().rest


def shade(light: Light, move: tuple[float, float, float] = (0, 0, 0)) -> Shade:
    scene = ball_scene()
    return Caster(scene.rest, scene.entities, light).shade(scene.rest + np.float32(move))


def share(light: Light, move: tuple[float, float, float], *yz: tuple[float, float]) -> list[float]:
    """What the wall keeps at its points y, z [m]."""
    assert light.wall is not None
    points = np.array([(light.wall.x_m, y, z) for y, z in yz])
    return [float(v) for v in kept(shade(light, move), receivers(points, light))[:, 0]]


def thrown(light: Light, move: tuple[float, float, float] = (0, 0, 0)) -> tuple[float, float]:
    """Where the light through the ball's middle meets the wall: y, z [m]."""
    assert light.wall is not None
    middle = REST.mean(0) + move
    far = (light.wall.x_m - middle[0]) / -light.direction[0]
    at = middle - far * light.direction
    return float(at[1]), float(at[2])


def test_a_lamp_before_the_thing_throws_its_shadow_on_the_wall_where_the_light_goes() -> None:
    light = before_wall()
    y, z = thrown(light)
    dark, beside, left = share(light, (0, 0, 0), (y, z), (y - 0.15, z), (y + 0.25, z))
    assert dark < 0.6 and beside > 0.95 and left > 0.95


@pytest.mark.parametrize("move", [(0.0, 0.06, 0.0), (0.03, 0.0, 0.0), (0.0, -0.04, 0.05)])
def test_it_goes_with_the_thing(move: tuple[float, float, float]) -> None:
    light = before_wall()
    there = thrown(light, move)
    assert share(light, move, there)[0] == pytest.approx(share(light, (0, 0, 0), thrown(light))[0], abs=0.12)


def test_what_the_photo_showed_of_it_goes_with_the_thing_and_not_with_one_that_is_far_from_the_wall() -> None:
    plain, dark = before_wall(), before_wall(observed=float(np.log(0.5)))
    y, z = (float(v) for v in REST.mean(0)[1:])
    for move, ratio in (((0, 0, 0), 0.5), ((0, 0.05, 0), 0.5), ((-0.2, 0, 0), 1.0)):
        at = (y + move[1], z)
        assert share(dark, move, at)[0] / share(plain, move, at)[0] == pytest.approx(ratio, abs=0.05)


def test_a_lamp_behind_the_wall_and_a_thing_far_before_it_leave_it_as_it_is() -> None:
    behind = shade(before_wall(lamp=(1, 0.2, 0.7), away_m=0.4))
    far = shade(before_wall(lamp=(-1, 0.5, 0.7)), (-0.45, 0, 0))
    assert behind.wall is None and far.wall is None


def test_pixels_of_table_and_wall_take_each_its_own_shade_by_both_ways() -> None:
    light = before_wall()
    assert light.wall is not None
    x, (y, z) = light.wall.x_m, thrown(light)
    points = np.array([[(x, y, z), (x - 0.11, 0.0, 0.0), (x, y, 0.002), (x + 0.001, y, 0.03), (0.2, 0.1, 0.3)]])
    places = receivers(points, light)
    assert np.sign(places[0, :, 2]).tolist() == [-1, 1, -1, -1, 0]
    found = shade(light)
    here = kept(found, places)
    assert np.abs(kept_tensor(found, torch.from_numpy(places)).numpy() - here).max() < 1e-5
    assert here[0, 0, 0] < 0.6 and here[0, 1, 0] < 0.6 and here[0, 4, 0] == 1
