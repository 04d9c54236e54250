"""Physical actions to and from messages, without a node."""

import math

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3

from pw_core.actions import parse_action
from pw_core.errors import RolloutError
from pw_msgs.msg import ErrorCodes, PhysicalAction
from pw_ros.convert import actions
from pw_ros.convert import geometry as conversions

HALF = math.sqrt(0.5)


def push(**changes: object) -> PhysicalAction:
    fields: dict[str, object] = {
        "type": "push", "name": "nudge", "start": 0.1, "duration": 0.2, "entity": "dough",
        "center": Point(x=0.4, y=0.1, z=0.02), "direction": Vector3(x=1.0), "radius": 0.05, "magnitude": 2.0,
        "falloff": "gaussian",
    }  # fmt: skip
    return PhysicalAction(**(fields | changes))


def test_push_there_and_back() -> None:
    fields = actions.action_to_fields(push())
    assert fields == {
        "type": "push", "name": "nudge", "start": 0.1, "duration": 0.2, "entity": "dough", "center": [0.4, 0.1, 0.02],
        "direction": [1.0, 0.0, 0.0], "radius": 0.05, "magnitude": 2.0, "falloff": "gaussian",
    }  # fmt: skip
    assert actions.fields_to_action(fields) == push()


def test_gravity_has_neither_centre_nor_radius() -> None:
    fields = actions.action_to_fields(push(type="gravity", entity="", falloff=""))
    assert set(fields) == {"type", "name", "start", "duration", "magnitude", "direction"}


def test_action_in_another_frame() -> None:
    to_world = np.eye(4)
    to_world[:3, :3] = conversions.wxyz_to_matrix([HALF, 0, 0, HALF])  # a quarter turn about z
    to_world[:3, 3] = [1, 0, 0]
    fields = actions.action_to_fields(push(), to_world=to_world)
    np.testing.assert_allclose(fields["center"], [0.9, 0.4, 0.02], atol=1e-12)
    np.testing.assert_allclose(fields["direction"], [0, 1, 0], atol=1e-12)


def test_actions_of_the_core_survive_the_message() -> None:
    for fields in (
        actions.action_to_fields(push()),
        {"type": "gravity", "duration": 1, "direction": [0, 0, -1], "magnitude": 3.7},
        {"type": "wind", "duration": 1, "direction": [0, 1, 0], "magnitude": 4, "center": [1, 2, 3], "radius": 0.2},
        {"type": "poke", "duration": 0.1, "direction": [0, 0, -1], "magnitude": 4, "center": [1, 2, 3], "radius": 0.2},
        {
            "type": "tool",
            "duration": 1,
            "entity": "pin",
            "times": [0.5],
            "poses": [{"position": [1, 2, 3]}],
            "relative": True,
        },
    ):
        action = parse_action(fields)
        assert actions.message_to_action(actions.action_to_message(action)) == action


def test_the_core_refuses_what_a_message_can_say() -> None:
    for changes in (
        {"duration": 0.0},
        {"direction": Vector3()},
        {"radius": -1.0},
        {"falloff": "steep"},
        {"start": -1.0},
    ):
        with pytest.raises(RolloutError) as caught:
            actions.message_to_action(push(**changes))
        assert caught.value.code == ErrorCodes.INVALID_ACTION


def test_relative_tool_poses_turn_with_their_frame() -> None:
    # A quarter turn about z, and somewhere else: a step along x becomes one along y, a turn about x one about y.
    to_world = np.eye(4)
    to_world[:3, :3] = conversions.wxyz_to_matrix([HALF, 0, 0, HALF])
    to_world[:3, 3] = [5, 6, 7]
    step = conversions.arrays_to_pose([0.1, 0, 0], [HALF, HALF, 0, 0])
    message = PhysicalAction(type="tool", entity="pin", duration=1.0, poses=[step], times=[1.0], relative=True)
    (pose,) = actions.message_to_action(message, to_world=to_world).poses
    np.testing.assert_allclose(pose.position, [0, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(pose.orientation, [HALF, 0, HALF, 0], atol=1e-12)


def test_tool_there_and_back_in_another_frame() -> None:
    poses = [
        conversions.arrays_to_pose([0, 0, 0.1], [1, 0, 0, 0]),
        conversions.arrays_to_pose([0.2, 0, 0], [HALF, HALF, 0, 0]),
    ]
    message = PhysicalAction(type="tool", entity="pin", duration=1.0, poses=poses, times=[0.0, 1.0])
    fields = actions.action_to_fields(message)
    assert fields["times"] == [0.0, 1.0]
    assert fields["poses"][0]["orientation"] == [1.0, 0.0, 0.0, 0.0]
    back = actions.fields_to_action(fields)
    for got, want in zip(back.poses, poses, strict=True):
        np.testing.assert_allclose(conversions.pose_to_matrix(got), conversions.pose_to_matrix(want), atol=1e-12)
    to_world = np.eye(4)
    to_world[:3, 3] = [0, 0, 5]
    moved = actions.action_to_fields(message, to_world=to_world)
    np.testing.assert_allclose(moved["poses"][1]["position"], [0.2, 0, 5])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "shove"}, "shove"),
        ({"duration": math.nan}, "duration"),
        ({"magnitude": math.inf}, "magnitude"),
        ({"center": Point(x=math.nan)}, "center"),
        ({"direction": Vector3(z=math.inf)}, "direction"),
        ({"type": "tool"}, "as many times as poses"),
        ({"type": "tool", "poses": [Pose()], "times": [0.0, 1.0]}, "1 poses, 2 times"),
        ({"type": "tool", "poses": [Pose(orientation=Quaternion(w=0.0))], "times": [0.0]}, r"poses\[0\].orientation"),
    ],
)
def test_bad_actions_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(conversions.ConversionError, match=says) as caught:
        actions.action_to_fields(push(**changes))
    assert caught.value.code == ErrorCodes.INVALID_ACTION
