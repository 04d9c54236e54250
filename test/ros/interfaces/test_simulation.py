"""simulation_interfaces over DDS, with the stand-in world: each call from a client of that package."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import Pose, Twist, Vector3
from rclpy.action import ActionClient
from simulation_interfaces import msg, srv
from simulation_interfaces.action import SimulateSteps
from simulation_interfaces.msg import Bounds, Result, SimulationState, SimulatorFeatures, TagsFilter

from pw_core.actions import parse_action
from pw_ros.convert.geometry import wxyz_to_quaternion, xyz_to_point
from pw_ros.interfaces.simulation.features import LEFT_OUT
from pw_ros.interfaces.simulation.filters import matching
from pw_ros.naming import snake_case
from support.ball_scene import ball_config
from support.ros_world import head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SLOW = parse_action({"type": "wind", "name": "slow", "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "configs").mkdir()
    for name in ("ball", "second"):
        fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": name, "title": f"a {name}"}
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return start_node(
        store=str(folder / "store"), config_dirs=[str(folder / "configs")],
        world_factory="support.fake_world:FakeWorld",
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(node):
    from pw_ros.client import WorldClient

    with WorldClient() as client:
        client.wait_until_ready()
        yield client


@pytest.fixture(scope="module")
def ask(client):
    """`ask("GetEntities", field=value ...)`: the response."""
    made = {}

    def ask(name: str, **fields):
        kind = getattr(srv, name)
        if name not in made:
            made[name] = client.node.create_client(kind, f"/perpetual_wonder/{snake_case(name)}")
            assert made[name].wait_for_service(20)
        return client._wait(made[name].call_async(kind.Request(**fields)), 20, name)

    return ask


@pytest.fixture
def world(client, ask):
    """The client, on the ball as it was reconstructed, paused."""
    client.open_scene("ball")
    client.call("Reset", drop_uncommitted=True)
    if ask("GetSimulationState").state.state != SimulationState.STATE_PAUSED:
        assert ask("SetSimulationState", state=state(SimulationState.STATE_PAUSED)).result.result == Result.RESULT_OK
    return client


def state(value: int) -> SimulationState:
    return SimulationState(state=value)


def ours(node):
    (pose,) = node.worker.snapshot.poses
    return pose


def test_features_are_what_is_served_and_the_rest_says_that_it_is_not(ask) -> None:
    features = set(ask("GetSimulatorFeatures").features.features)
    assert {SimulatorFeatures.ENTITY_STATE_SETTING, SimulatorFeatures.STEP_SIMULATION_ACTION} <= features
    assert not features & {
        SimulatorFeatures.SPAWNING, SimulatorFeatures.DELETING, SimulatorFeatures.NAMED_POSES,
        SimulatorFeatures.SPAWNABLES, SimulatorFeatures.ENTITY_INFO_SETTING, SimulatorFeatures.WORLD_RESOURCE_STRING,
        SimulatorFeatures.SIMULATION_RESET_SPAWNED, SimulatorFeatures.ENTITY_BOUNDS_CONVEX,
    }  # fmt: skip
    for name in LEFT_OUT:
        answer = ask(name).result
        assert answer.result == Result.RESULT_FEATURE_UNSUPPORTED and answer.error_message, name


def test_every_service_of_the_package_is_served(node) -> None:
    served = {name for name, _ in node.get_service_names_and_types_by_node("perpetual_wonder", "/")}
    kinds = [n for n in dir(srv) if n[0].isupper() and not n.endswith(("_Request", "_Response", "_Event"))]
    assert len(kinds) >= 16 and {f"/perpetual_wonder/{snake_case(n)}" for n in kinds} <= served


def test_states_are_ours(world, ask, node) -> None:
    pose = ours(node)
    answer = ask("GetEntityState", entity="ball")
    assert answer.result.result == Result.RESULT_OK and answer.state.header.frame_id == "world"
    p, q = answer.state.pose.position, answer.state.pose.orientation
    assert np.array_equal([p.x, p.y, p.z], pose.position) and np.array_equal([q.w, q.x, q.y, q.z], pose.orientation)
    both = ask("GetEntitiesStates")
    assert both.entities == ["ball"] and both.states[0].pose == answer.state.pose
    info = ask("GetEntityInfo", entity="ball").info
    assert list(info.tags) == ["deformable", "elastic"] and "300 particles" in info.description
    high, low = ask("GetEntityBounds", entity="ball").bounds.points
    assert np.allclose([high.x - low.x, high.z - low.z], (pose.bounds[1] - pose.bounds[0])[[0, 2]], atol=1e-6)
    for name in ("GetEntityState", "GetEntityInfo", "GetEntityBounds", "SetEntityState"):
        assert ask(name, entity="cat").result.result == Result.RESULT_NOT_FOUND


def test_filters_let_pass_what_they_say(world, ask) -> None:
    def found(**parts) -> list[str]:
        answer = ask("GetEntities", filters=msg.EntityFilters(**parts))
        assert answer.result.result == Result.RESULT_OK
        return list(answer.entities)

    def near(x: float) -> Bounds:
        return Bounds(type=Bounds.TYPE_SPHERE, points=[Vector3(x=x, z=0.05), Vector3(x=0.1)])

    corners = [Vector3(x=1.0, y=1.0, z=1.0), Vector3(x=0.6, z=0.0)]
    assert found() == found(filter="b.l+") == found(bounds=near(0.6)) == ["ball"]
    assert found(bounds=Bounds(type=Bounds.TYPE_BOX, points=corners)) == ["ball"]
    assert found(filter="^all") == found(bounds=near(0.2)) == []
    both = ["elastic", "rigid"]
    assert found(tags=TagsFilter(tags=both)) == ["ball"]
    assert found(tags=TagsFilter(tags=both, filter_mode=TagsFilter.FILTER_MODE_ALL)) == []
    category = msg.EntityCategory
    assert found(categories=[category(category=category.CATEGORY_OBJECT)]) == ["ball"]
    assert found(categories=[category(category=category.CATEGORY_HUMAN)]) == []
    hull = msg.EntityFilters(bounds=Bounds(type=Bounds.TYPE_CONVEX_HULL, points=[Vector3()] * 3))
    assert ask("GetEntities", filters=hull).result.result == Result.RESULT_FEATURE_UNSUPPORTED
    bad = ask("GetEntities", filters=msg.EntityFilters(filter="(")).result
    assert bad.result == Result.RESULT_OPERATION_FAILED and "POSIX" in bad.error_message


def test_an_expression_that_takes_for_ever_or_all_memory_is_ended() -> None:
    from pw_ros.interfaces.simulation.answers import Declined

    began = time.monotonic()
    assert matching(["ball", "can"], "[[:alpha:]]{3}$|x") == {"ball", "can"}
    for pattern in (r"(.*)*\1x", "((((a{1,200}){1,200}){1,200}){1,200}){1,200}"):
        with contextlib.suppress(Declined):
            assert matching(["a" * 100], pattern) == set()
    assert time.monotonic() - began < 10


def test_an_entity_is_where_it_was_set_and_that_is_a_committed_state(world, ask, node) -> None:
    before = head(world)
    q = np.array([0.8, 0, 0, 0.6])
    wanted = msg.EntityState(
        pose=Pose(position=xyz_to_point([0.55, 0.1, 0.08]), orientation=wxyz_to_quaternion(q)),
        twist=Twist(linear=Vector3(x=0.2), angular=Vector3(z=1.0)),
    )
    fields = {"entity": "ball", "state": wanted}
    assert ask("SetEntityState", **fields, set_pose=True).result.result == Result.RESULT_OK
    pose = ours(node)
    assert np.allclose(pose.position, [0.55, 0.1, 0.08], atol=1e-6) and abs(pose.orientation @ q) > 1 - 1e-9
    assert not pose.linear.any()
    assert ask("SetEntityState", **fields, set_twist=True).result.result == Result.RESULT_OK
    assert np.allclose(ours(node).linear, [0.2, 0, 0], atol=1e-6) and np.allclose(ours(node).angular, [0, 0, 1])
    got = {s.state_id: s for s in world.states()}
    assert got[head(world)].committed and got[got[head(world)].parent].parent == before
    for bad in (Pose(), Pose(position=xyz_to_point([50, 0, 1]))):
        if bad.position.x == 0:
            bad.orientation.w = 0.0
        answer = ask("SetEntityState", entity="ball", state=msg.EntityState(pose=bad), set_pose=True).result
        assert answer.result == srv.SetEntityState.Response.INVALID_POSE and answer.error_message
    answer = ask("SetEntityState", entity="ball", set_acceleration=True).result
    assert answer.result == Result.RESULT_FEATURE_UNSUPPORTED
    framed = msg.EntityState()
    framed.header.frame_id = "nowhere"
    assert ask("SetEntityState", entity="ball", state=framed, set_pose=True).result.result != Result.RESULT_OK


def test_steps_move_the_head_on_and_commit(world, ask, node) -> None:
    assert ask("StepSimulation", steps=3).result.result == Result.RESULT_OK
    assert node.worker.snapshot.head_time == pytest.approx(0.06) and head(world) in node.worker.snapshot.committed
    assert ask("GetSimulationState").state.state == SimulationState.STATE_PAUSED
    assert ask("StepSimulation", steps=10**9).result.result == Result.RESULT_OPERATION_FAILED
    assert ask("SetSimulationState", state=state(SimulationState.STATE_STOPPED)).result.result == Result.RESULT_OK
    assert head(world) == "root" and ask("GetSimulationState").state.state == SimulationState.STATE_STOPPED
    answer = ask("StepSimulation", steps=1).result
    assert answer.result == Result.RESULT_OPERATION_FAILED and "STATE_PAUSED" in answer.error_message
    again = ask("SetSimulationState", state=state(SimulationState.STATE_STOPPED)).result.result
    assert again == srv.SetSimulationState.Response.ALREADY_IN_TARGET_STATE
    playing = ask("SetSimulationState", state=state(SimulationState.STATE_PLAYING)).result
    assert playing.result == Result.RESULT_FEATURE_UNSUPPORTED


def test_the_action_tells_each_step_and_a_cancelled_one_stays_where_it_was(world, client, node) -> None:
    action = ActionClient(client.node, SimulateSteps, "/perpetual_wonder/simulate_steps")
    assert action.wait_for_server(20)
    told: list = []

    def heard(message) -> None:
        told.append(message.feedback)

    def start(steps: int):
        goal = SimulateSteps.Goal(steps=steps)
        return client._wait(action.send_goal_async(goal, feedback_callback=heard), 20, "goal")

    done = client._wait(start(4).get_result_async(), 20, "result")
    assert done.result.result.result == Result.RESULT_OK
    until(lambda: len(told) == 4)
    assert [(f.completed_steps, f.remaining_steps) for f in told] == [(1, 3), (2, 2), (3, 1), (4, 0)]
    assert node.worker.snapshot.head_time == pytest.approx(0.08)
    told.clear()
    goal = start(3000)
    until(lambda: told)
    client._wait(goal.cancel_goal_async(), 20, "cancel")
    ended = client._wait(goal.get_result_async(), 20, "result")
    steps = round(node.worker.snapshot.head_time / 0.02) - 4
    if ended.result.result.result != Result.RESULT_OK:  # it may have been quicker
        assert 0 < steps < 3000 and f"{steps} of 3000" in ended.result.result.error_message
    action.destroy()


def test_resets_of_time_state_and_both(world, ask, node) -> None:
    wanted = msg.EntityState(pose=Pose(position=xyz_to_point([0.6, 0.1, 0.05])))
    ask("StepSimulation", steps=1)
    ask("SetEntityState", entity="ball", state=wanted, set_pose=True)
    kind = srv.ResetSimulation.Request
    assert ask("ResetSimulation", scope=kind.SCOPE_TIME).result.result == Result.RESULT_OK
    assert node.worker.snapshot.head_time == 0 and ours(node).position[1] == pytest.approx(0.1, abs=1e-6)
    ask("StepSimulation", steps=1)
    assert ask("ResetSimulation", scope=kind.SCOPE_STATE).result.result == Result.RESULT_OK
    assert node.worker.snapshot.head_time == pytest.approx(0.02) and abs(ours(node).position[1]) < 0.01
    assert ask("ResetSimulation", scope=kind.SCOPE_SPAWNED).result.result == Result.RESULT_FEATURE_UNSUPPORTED
    assert ask("ResetSimulation").result.result == Result.RESULT_OK and head(world) == "root"
    assert ask("GetSimulationState").state.state == SimulationState.STATE_PAUSED  # as before


def test_states_answer_while_a_rollout_runs(world, ask) -> None:
    world.rollout([SLOW], 5.0)
    until(lambda: world.feedback() is not None)
    began = time.monotonic()
    assert ask("GetEntityState", entity="ball").result.result == Result.RESULT_OK
    assert ask("SetEntityState", entity="ball", set_twist=True).result.result == Result.RESULT_OK
    assert time.monotonic() - began < 3 and not world.is_done()
    assert ask("UnloadWorld").result.result == Result.RESULT_OPERATION_FAILED  # busy
    world.cancel()
    world.result(20)


def test_worlds_are_loaded_left_and_listed(world, ask) -> None:
    worlds = {w.name: w for w in ask("GetAvailableWorlds").worlds}
    assert worlds["ball"].tags == ["reconstructed"] and worlds["second"].tags == ["configuration"]
    assert worlds["second"].description == "a second"
    wanted = TagsFilter(tags=["configuration"])
    assert [w.name for w in ask("GetAvailableWorlds", filter=wanted).worlds] == ["second"]
    ask("StepSimulation", steps=1)
    for world_name in ("second", "ball"):
        answer = ask("LoadWorld", world_resource=worlds[world_name].world_resource)
        assert answer.result.result == Result.RESULT_OK and answer.world.name == world_name
        assert ask("GetCurrentWorld").world.name == world_name
        assert ask("GetSimulationState").state.state == SimulationState.STATE_STOPPED
    kind = srv.LoadWorld.Response
    for uri, text, code in (
        ("", "", kind.NO_RESOURCE), ("cat", "", Result.RESULT_NOT_FOUND), ("/x/y.sdf", "", kind.UNSUPPORTED_FORMAT),
        ("", "name: x", Result.RESULT_FEATURE_UNSUPPORTED),
    ):  # fmt: skip
        asked = msg.Resource(uri=uri, resource_string=text)
        assert ask("LoadWorld", world_resource=asked).result.result == code, uri
    assert ask("UnloadWorld").result.result == Result.RESULT_OK
    assert ask("GetSimulationState").state.state == SimulationState.STATE_NO_WORLD
    assert ask("GetEntities").result.result == Result.RESULT_INCORRECT_STATE
    assert ask("GetCurrentWorld").result.result == srv.GetCurrentWorld.Response.NO_WORLD_LOADED
    assert ask("UnloadWorld").result.result == srv.UnloadWorld.Response.NO_WORLD_LOADED
    world.open_scene("ball")


def test_calls_beside_each_other_are_all_answered(world, ask) -> None:
    codes: list[int] = []
    asked = [threading.Thread(target=lambda: codes.append(ask("GetEntities").result.result)) for _ in range(8)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(20)
    assert codes == [Result.RESULT_OK] * 8
