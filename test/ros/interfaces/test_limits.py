"""Requests beyond the node's limits, seen from the messages' own definitions before anything is made of them."""

from __future__ import annotations

import array

import pytest
from geometry_msgs.msg import Pose
from sensor_msgs.msg import Image

from pw_core.errors import ErrorCode, PWError
from pw_core.limits import LIMITS, Limits
from pw_msgs.action import Evaluate, Plan, Rollout
from pw_msgs.msg import EntityPrompt, PhysicalAction
from pw_msgs.srv import Commit, Reconstruct
from pw_ros.interfaces.limits import check_request


def tool(count: int) -> PhysicalAction:
    return PhysicalAction(type="tool", poses=[Pose()] * count, times=[0.0] * count)


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (Commit.Request(state_id="x" * (LIMITS.text_chars + 1)), "state_id"),
        (Reconstruct.Request(config_yaml="x" * (LIMITS.document_bytes + 1)), "config_yaml"),
        (Reconstruct.Request(entities=[EntityPrompt()] * (LIMITS.entities + 1)), "entities"),
        (Reconstruct.Request(entities=[EntityPrompt(name="x" * 5000)]), "entities[0].name"),
        (Rollout.Goal(actions=[PhysicalAction()] * (LIMITS.actions + 1)), "actions"),
        (Rollout.Goal(actions=[tool(1), tool(LIMITS.poses + 1)]), "actions[1]."),
    ],
)
def test_what_is_too_large_is_refused_by_field_and_limit(request_, where: str) -> None:
    with pytest.raises(PWError, match=r"at most \d+ may be \(limits\.\w+\)") as caught:
        check_request(request_)
    assert caught.value.code == ErrorCode.TOO_LARGE and str(caught.value).startswith(where)


def test_poses_and_bytes_are_added_up_over_the_whole_request() -> None:
    goal = Rollout.Goal(actions=[tool(40)] * 3)
    check_request(goal, limits=Limits(request_poses=120))
    with pytest.raises(PWError, match="120 poses in all"):
        check_request(goal, limits=Limits(request_poses=119))
    pictures = Reconstruct.Request(images=[Image(data=array.array("B", bytes(1000)))] * 3)
    check_request(pictures, limits=Limits(request_bytes=3000))
    with pytest.raises(PWError, match="3000 bytes"):
        check_request(pictures, limits=Limits(request_bytes=2999))


def test_whole_texts_of_objectives_and_templates_may_be_long() -> None:
    text = "x" * LIMITS.document_bytes
    check_request(Evaluate.Goal(objective=text))
    check_request(Plan.Goal(objective=text[:1000], template_yaml=text[:-1000]))
