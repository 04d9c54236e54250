"""What is said of the world when a goal's thread is slower than its job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pw_core.errors import ErrorCode, PWError
from pw_core.limits import LIMITS
from pw_msgs.action import Rollout
from pw_ros.interfaces.actions.goals import GoalServer
from pw_ros.interfaces.calls import Calls
from pw_ros.interfaces.gate import Gate, Pass
from pw_ros.node import WorldNode


def node() -> Any:
    """As much of a node as a goal needs; `said` holds the statuses."""
    out = SimpleNamespace(
        gate=Gate(), worker=SimpleNamespace(state="ready"), said=[], now=lambda: None, calls=Calls(), limits=LIMITS,
        get_logger=lambda: SimpleNamespace(info=print, error=print),
    )  # fmt: skip
    out.report = lambda **fields: out.said.append(fields["status"]) if "status" in fields else None
    out.settle = lambda: WorldNode.settle(out)
    out.leave = lambda held: WorldNode.leave(out, held)
    return out


class Late(GoalServer):
    """Tells of a step after its job has ended."""

    def __init__(self, node: Any) -> None:
        self.node, self.name, self._unknown = node, "late", ErrorCode.REFINE_UNKNOWN
        self.kind = SimpleNamespace(Result=lambda: SimpleNamespace(wall_time=0.0, error_code=0, error_msg=""))

    def run(self, handle: Any, result: Any, stamp: Any) -> None:
        held = Pass("late")
        self.node.gate.enter(held, wait=False)
        self.node.leave(held)
        self.node.report(status="refining")


@pytest.mark.parametrize("other", ["", "rollout"])
def test_a_step_told_late_does_not_leave_the_world_busy(other: str) -> None:
    world = node()
    server = Late(world)
    ended: list[int] = []
    if other:  # another goal got the gate meanwhile
        leave = world.leave
        world.leave = lambda held: (leave(held), world.gate.enter(Pass(other), wait=False))
    goal = {"request": Rollout.Goal(), "goal_id": SimpleNamespace(uuid=bytes(16))}
    server._execute(SimpleNamespace(succeed=lambda: ended.append(1), **goal))
    assert ended == [1]
    assert world.said == (["idle", "refining"] if other else ["idle", "refining", "idle"])


@pytest.mark.parametrize(("asked", "end"), [(True, "canceled"), (False, "abort")])
def test_a_goal_that_ends_as_canceled_unasked_is_aborted_and_keeps_its_reason(asked: bool, end: str) -> None:
    class Orphan(Late):
        def run(self, handle: Any, result: Any, stamp: Any) -> None:
            raise PWError("ended: its client is gone", code=ErrorCode.CANCELED)

    ended: list[str] = []
    ways = {w: lambda w=w: ended.append(w) for w in ("succeed", "canceled", "abort")}
    goal = {"request": Rollout.Goal(), "goal_id": SimpleNamespace(uuid=bytes(16)), "is_cancel_requested": asked}
    result = Orphan(node())._execute(SimpleNamespace(**ways, **goal))
    assert ended == [end] and result.error_code == ErrorCode.CANCELED and "gone" in result.error_msg
