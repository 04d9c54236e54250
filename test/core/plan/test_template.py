"""Free numbers in actions: found, filled, and refused where they make no sense."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.template import Template, on_surface

PUSH = {
    "type": "push", "duration": 0.2, "radius": 0.05, "entity": "ball",
    "center": {"on": "ball", "azimuth_deg": {"free": [0, 360], "name": "side"}, "height": 0.5},
    "direction": {"azimuth_deg": {"free": [0, 360], "name": "towards"}},
    "magnitude": {"free": [1, 100], "log": True, "name": "force"},
}  # fmt: skip


def test_free_numbers_are_filled_in(setting) -> None:
    template = Template([PUSH])
    assert template.names == ["side", "towards", "force"]
    (action,) = template.at(np.array([0.0, 0.25, 0.5]), setting)
    assert action.magnitude == pytest.approx(10) and action.direction == pytest.approx((0, 1, 0), abs=1e-9)
    p = setting.start.positions
    assert action.center[0] == pytest.approx(p[:, 0].max(), abs=0.015)
    assert action.center[2] == pytest.approx(0.05, abs=0.01)


def test_numbers_of_one_name_are_one_number(setting) -> None:
    poke = {"type": "poke", "duration": 0.1, "radius": 0.05, "center": [0.6, 0, {"free": [0, 0.1], "name": "z"}],
            "direction": [0, 0, -1], "magnitude": {"free": [0, 5]}}  # fmt: skip
    template = Template([poke, {**poke, "start": 0.2}])
    assert template.names == ["z", "0.magnitude", "1.magnitude"]
    first, second = template.at(np.array([0.5, 0, 1]), setting)
    assert first.center[2] == second.center[2] == pytest.approx(0.05) and second.magnitude == 5


def test_points_and_values_are_each_others_inverse() -> None:
    template = Template([PUSH])
    point = np.array([0.2, 0.9, 0.3])
    assert template.point(template.values(point)) == pytest.approx(point)
    assert template.point({"force": 1e9})[2] == 1  # clipped to its range


def test_the_surface_is_where_a_ray_leaves_the_entity(setting) -> None:
    centre = setting.start.positions.mean(0)
    for azimuth in (0, 90, 200):
        x, y, _ = on_surface(setting, on="ball", azimuth_deg=azimuth)
        away = np.array([x, y]) - centre[:2]
        assert np.linalg.norm(away) == pytest.approx(0.05, abs=0.012)
        assert away @ [math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))] > 0.9 * np.linalg.norm(away)
    deeper = on_surface(setting, on="ball", azimuth_deg=0, inset=0.02)
    assert deeper[0] == pytest.approx(on_surface(setting, on="ball", azimuth_deg=0)[0] - 0.02)


@pytest.mark.parametrize("change, text", [
    ({"magnitude": {"free": [5, 1]}}, "low below its high"),
    ({"magnitude": {"free": [0, 1], "log": True}}, "over 0"),
    ({"magnitude": {"free": [1]}}, "low, high"),
    ({"magnitude": {"free": [0, float("nan")]}}, "low below its high"),
    ({"magnitude": {"free": [0, 1], "step": 2}}, "step"),
])  # fmt: skip
def test_bad_ranges_are_refused_with_their_place(change, text) -> None:
    with pytest.raises(PlanError, match=text) as caught:
        Template([PUSH | change])
    assert caught.value.code == ErrorCode.INVALID_TEMPLATE and "0.magnitude" in str(caught.value)


def test_values_out_of_range_are_taken_to_its_nearer_end() -> None:
    template = Template([PUSH | {"magnitude": {"free": [1, 4], "log": True, "name": "force"}}])
    at = template.names.index("force")
    assert [template.point({"force": v})[at] for v in (-1, 0, 2, 9)] == pytest.approx([0, 0, 0.5, 1])


@pytest.mark.parametrize("actions", ["push", {"type": "push"}, ["push"], [None], [[1]]])
def test_what_is_no_list_of_actions_is_refused(actions) -> None:
    with pytest.raises(PlanError, match="list of actions") as caught:
        Template(actions)
    assert caught.value.code == ErrorCode.INVALID_TEMPLATE


@pytest.mark.parametrize("change, text", [
    ({"direction": {"azimuth_deg": "north"}}, "direction.azimuth_deg.*'north'"),
    ({"direction": {"azimuth_deg": float("inf")}}, "direction.azimuth_deg.*inf"),
    ({"direction": {"azimuth_deg": 0, 5: 1}}, "direction takes.*5"),
    ({"center": {"on": "ball", "height": "top"}}, "center.height.*'top'"),
    ({"center": {"on": "ball", "inset": None}}, "center.inset.*None"),
    ({"center": {"height": 0.5}}, "center takes on"),
])  # fmt: skip
def test_directions_and_centres_that_are_no_numbers_are_refused_by_name(setting, change, text) -> None:
    template = Template([PUSH | {"magnitude": {"free": [1, 2]}} | change])
    with pytest.raises(PlanError, match=text) as caught:
        template.at(np.full(len(template.free), 0.5), setting)
    assert caught.value.code == ErrorCode.INVALID_TEMPLATE


def test_templates_without_anything_free_are_refused(setting) -> None:
    fixed = {**PUSH, "center": [0, 0, 0], "direction": [1, 0, 0], "magnitude": 1}
    for actions in ([], [fixed]):
        with pytest.raises(PlanError):
            Template(actions)
    with pytest.raises(PlanError, match="radius"):
        Template([{**PUSH, "radius": {"free": [-1, -0.5]}}]).at(np.full(4, 0.5), setting)
    with pytest.raises(PlanError, match="bowl"):
        Template([{**PUSH, "center": {"on": "bowl"}}]).at(np.full(2, 0.5), setting)
