"""State services over DDS beside goals: while they run, after they were called off, beside clients that send more."""

from __future__ import annotations

import threading
import time

import pytest
import yaml

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import WorldStatus
from pw_ros.client import WorldClient
from support.ball_scene import ball_config
from support.fake_world import COMPILE_S
from support.ros_world import code_of, head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LONG = "very slow compile"


def wind(name: str = ""):
    return parse_action({"type": "wind", "name": name, "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("world")
    (folder / "configs").mkdir()
    for name in ("ball", "other"):
        fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": name}
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return start_node(
        store=str(folder / "store"), config_dirs=[str(folder / "configs")], world_factory="support.fake_world:FakeWorld"
    )


@pytest.fixture(scope="module")
def client(node):
    with WorldClient() as client:
        client.wait_until_ready()
        client.reconstruct("other")
        yield client


@pytest.fixture
def world(client):
    """The client, on a fresh scene."""
    client.reconstruct("ball", replace=True)
    return client


def a_state(world) -> str:
    world.rollout([], 0.04)
    return world.result(30).state_id


def everything(world, made: str) -> None:
    """Every state service once."""
    assert made in {s.state_id for s in world.states()}
    assert world.call("SaveState", state_id=made, label="kept").state_id == made
    assert world.commit(made) == "root" and head(world) == made
    assert world.call("RestoreState", state_id="root").previous_head == made
    assert world.call("Reset").state_id == "root" and head(world) == "root"
    assert list(world.call("DeleteState", state_id=made).deleted) == [made]
    assert {s.scene_id for s in world.call("ListScenes").scenes} == {"ball", "other"}


def test_all_is_free_after_a_cancel_while_kernels_compile(world, node) -> None:
    made = a_state(world)
    world.rollout([wind(LONG)], 5.0, commit=True)
    until(lambda: world.status().status == WorldStatus.COMPILING)
    began = time.monotonic()
    assert world.cancel() and world.result(5).error_code == ErrorCode.CANCELED
    everything(world, made)
    world.call("SelectScene", scene_id="other")
    world.call("SelectScene", scene_id="ball")
    assert time.monotonic() - began < COMPILE_S[LONG] / 2 and node.gate.running == ""
    world.rollout([wind()], 0.04, commit=True)  # which waits for the compile
    assert world.result(30).committed and time.monotonic() - began > COMPILE_S[LONG] / 2


def test_all_is_free_after_a_cancel_while_it_steps(world) -> None:
    made = a_state(world)
    world.rollout([wind("very slow")], 5.0)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0)
    assert world.cancel()
    partial = world.result(5)
    everything(world, made)
    assert world.commit(partial.state_id) == "root" and head(world) == partial.state_id


def test_a_running_what_if_disturbs_no_state_service(world) -> None:
    made = a_state(world)
    world.rollout([wind("slow")], 20.0)
    until(lambda: world.feedback() is not None)
    everything(world, made)
    assert not world.is_done() and world.cancel()
    assert world.result(5).error_code == ErrorCode.CANCELED and head(world) == "root"


def test_a_running_goal_that_moves_the_head_is_named(world, node) -> None:
    from rclpy.parameter import Parameter

    made = a_state(world)
    world.rollout([wind("slow")], 20.0, commit=True)
    until(lambda: world.feedback() is not None)
    node.set_parameters([Parameter("busy_policy", value="reject")])
    try:
        for call in (
            lambda: world.commit(made), lambda: world.call("Reset"), lambda: world.call("RestoreState", state_id=made)
        ):  # fmt: skip
            with pytest.raises(PWError, match=r"rollout [0-9a-f]{16}, which moves the head, is running") as caught:
                call()
            assert caught.value.code == ErrorCode.BUSY
    finally:
        node.set_parameters([Parameter("busy_policy", value="wait")])
    assert code_of(world.call, "DeleteState", state_id="root") == ErrorCode.STATE_IN_USE
    assert world.call("SaveState", state_id=made, label="x").state_id == made  # leaves the head alone
    assert list(world.call("DeleteState", state_id=made).deleted) == [made]
    assert world.cancel() and world.result(5).error_code == ErrorCode.CANCELED


@pytest.mark.parametrize("commit", [False, True])
def test_beside_two_clients_that_send_goals_every_state_service_gets_through(world, commit: bool) -> None:
    stop, ended, others = threading.Event(), [0, 0], [WorldClient(), WorldClient()]

    def work(k: int) -> None:
        while not stop.is_set():
            others[k].rollout([wind("slow")], 0.1, commit=commit)
            others[k].result(60)
            ended[k] += 1

    for other in others:  # discovery takes its own time: the claim is about the queue
        other.wait_until_ready()
    made = a_state(world)
    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: min(ended) > 0)
        for _ in range(6):
            world.call("SaveState", state_id=made, label="kept")
            world.commit(made)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for other in others:
            other.close()
    assert min(ended) > 1 and {s.label for s in world.states() if s.state_id == made} == {"kept"}
