"""A goal ends when nobody is left to hear of it: `end_orphans_after`."""

from __future__ import annotations

import time

import pytest
from rclpy.parameter import Parameter

from pw_core.actions import parse_action
from pw_ros.client import WorldClient
from support.ros_world import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SLOW = {"type": "wind", "name": "slow", "duration": 60, "direction": [0, 1, 0], "magnitude": 1}
PATIENCE = 1.0


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("world")
    node = start_node(
        namespace="orphans", store=str(folder / "store"), world_factory="support.fake_world:FakeWorld",
        end_orphans_after=PATIENCE,
    )  # fmt: skip
    with WorldClient("orphans/perpetual_wonder") as client:
        client.wait_until_ready()
        client.reconstruct("jam")
    return node


def left_behind(node) -> None:
    """A goal of 20 s or more whose client has gone."""
    until(lambda: not node.gate.running)
    with WorldClient("orphans/perpetual_wonder") as client:
        client.wait_until_ready()
        client.rollout([parse_action(SLOW)], 20.0, frame_interval=0.05)
        until(lambda: client.feedback() is not None)


def test_a_goal_whose_client_is_gone_ends_and_the_next_one_has_the_world(node) -> None:
    left_behind(node)
    assert node.gate.running == "rollout"
    until(lambda: not node.gate.running, 10.0)
    with WorldClient("orphans/perpetual_wonder") as client:
        client.wait_until_ready()
        client.rollout([], 0.1)
        assert client.result(20).state_id


def test_a_goal_goes_on_while_another_client_of_its_action_is_there_and_where_patience_is_0(node) -> None:
    with WorldClient("orphans/perpetual_wonder") as other:
        other.wait_until_ready()
        left_behind(node)
        time.sleep(2 * PATIENCE)
        assert node.gate.running == "rollout"
        node.set_parameters([Parameter("end_orphans_after", value=0.0)])
    time.sleep(2 * PATIENCE)
    assert node.gate.running == "rollout"
    node.set_parameters([Parameter("end_orphans_after", value=PATIENCE)])
    until(lambda: not node.gate.running, 10.0)
