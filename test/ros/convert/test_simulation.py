"""Releases of simulation_interfaces name the world's resource and set entities otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("simulation_interfaces", reason="built by `make setup`")

from simulation_interfaces.msg import Resource, WorldResource
from simulation_interfaces.srv import LoadWorld, SetEntityState

from pw_ros.convert.simulation import asked_resource, chosen_parts, resource_field, world_to_message


class Before21(SimpleNamespace):
    """A world's description as releases before 2.1 have it."""

    @staticmethod
    def get_fields_and_field_types() -> dict[str, str]:
        return {"name": "string", "level_resource": "simulation_interfaces/Resource"}


class LoadBefore21(SimpleNamespace):
    """A request of before 2.1, whose resource is its own fields."""

    @staticmethod
    def get_fields_and_field_types() -> dict[str, str]:
        return {"uri": "string", "resource_string": "string"}


def test_the_worlds_resource_is_found_under_its_name_of_the_release() -> None:
    assert resource_field(WorldResource) == "world_resource" and resource_field(Before21) == "level_resource"
    fields = {"uri": "ball", "description": "a ball", "tags": ["reconstructed"]}
    assert world_to_message("ball", **fields).world_resource.uri == "ball"
    assert world_to_message("ball", **fields, kind=Before21).level_resource.uri == "ball"
    assert asked_resource(LoadWorld.Request(world_resource=Resource(uri="x"))).uri == "x"
    assert asked_resource(LoadBefore21(uri="y", resource_string="")).uri == "y"


def test_what_is_set_of_an_entity_is_what_flags_say_or_all() -> None:
    assert chosen_parts(SetEntityState.Request(set_twist=True)) == (False, True, False)
    assert chosen_parts(SimpleNamespace(entity="", state=None)) == (True, True, True)
