"""The constants behind a config's words, their values, and steps in their units."""

from __future__ import annotations

import math

import pytest

from pw_core.calibrate.constants import ConstantsOptions, names_of, stepped, unit_of, value_of


def test_words_name_the_constants_of_the_entities_that_have_them(scene) -> None:
    names = names_of(scene, ["stiffness", "viscosity", "wind", "friction"])
    assert names == ["ball.youngs_modulus_pa", "wind_x", "wind_y", "floor_friction"]


def test_a_value_is_what_was_estimated_or_else_the_configs(scene) -> None:
    config = scene.config
    assert value_of(scene, {}, "ball.youngs_modulus_pa") == config.entity("ball").material.youngs_modulus_pa
    assert value_of(scene, {"wind_x": 3.0}, "wind_x") == 3.0 and value_of(scene, {}, "wind_y") == 0.0
    assert value_of(scene, {}, "floor_friction") == config.simulation.floor_friction


def test_wind_is_stepped_by_its_unit_and_positive_constants_by_factors(scene) -> None:
    out = stepped(scene, {"floor_friction": 0.5}, {"wind_x": 1.5, "floor_friction": 1.0})
    assert out == {"wind_x": 3.0, "floor_friction": pytest.approx(0.5 * math.e)}
    options = ConstantsOptions(wind_unit_m_s2=1.0, smallest_value=0.1)
    out = stepped(scene, {"floor_friction": 0.0}, {"wind_x": 1.5, "floor_friction": 0.0}, options=options)
    assert out == {"wind_x": 1.5, "floor_friction": pytest.approx(0.1)}
    assert unit_of("wind_y", options=options) == 1.0 and unit_of("floor_friction") == 1.0
