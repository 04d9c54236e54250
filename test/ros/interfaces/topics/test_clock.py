"""/clock: off unless asked for, and it follows committed time only."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from pw_core.actions import parse_action
from pw_ros.worker.requests import CommitRequest, ReconstructRequest, ResetRequest, RolloutRequest
from support.ball_scene import ball_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WIND = parse_action({"type": "wind", "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture
def make(start_node, tmp_path: Path):
    def start(**values):
        node = start_node(**{"store": str(tmp_path), "world_factory": "support.fake_world:FakeWorld", **values})
        assert node.worker.wait_ready(60)
        return node

    return start


def test_clock_is_off_by_default(make) -> None:
    assert "/clock" not in dict(make().get_publisher_names_and_types_by_node("perpetual_wonder", "/"))


def test_clock_follows_committed_time_only(make) -> None:
    node = make(publish_clock=True)
    node.worker.call(ReconstructRequest(config=ball_config()), timeout=60)
    told: list[float] = []
    node.create_subscription(Clock, "/clock", lambda m: told.append(m.clock.sec + m.clock.nanosec * 1e-9), 10)

    def now() -> float:
        told.clear()
        deadline = time.monotonic() + 10
        while len(told) < 3 and time.monotonic() < deadline:  # repeated, for who comes late
            time.sleep(0.01)
        return told[-1]

    assert now() == 0
    what_if = node.worker.call(RolloutRequest(actions=[WIND], duration=1.5, frame_interval=0.5))
    assert now() == 0
    node.worker.call(CommitRequest(what_if.state_id))
    assert now() == pytest.approx(1.5)
    node.worker.call(RolloutRequest(actions=[WIND], duration=0.25, commit=True))
    assert now() == pytest.approx(1.75)
    node.worker.call(ResetRequest())
    assert now() == 0
    assert not node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful


def test_the_node_does_not_wait_for_its_own_clock(make) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        make(publish_clock=True, use_sim_time=True)


def test_views_and_diagnostics_go_on_while_another_clock_stands_still(make) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    node = make(use_sim_time=True)
    got: list[DiagnosticArray] = []
    node.create_subscription(DiagnosticArray, "/diagnostics", got.append, 10)
    deadline = time.monotonic() + 20
    while len(got) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(got) >= 2
