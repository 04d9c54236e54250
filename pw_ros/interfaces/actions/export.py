"""The action ~/export: a state or trajectory as a file for other programs, in the node's folder of exports."""

from __future__ import annotations

import time
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_msgs.action import Export
from pw_ros.interfaces.actions.goals import GoalServer
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Event, Progressed
from pw_ros.worker.scene_requests import Exported, ExportRequest

CLEARED_WITHIN = 10.0
"""[s] a cancelled export waits for the worker to take away what it had written."""


class ExportServer(GoalServer[Exported]):
    """Serves goals one at a time, as the node's gate lets them through; the head is not touched."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node, Export, "export", unknown=ErrorCode.SCENE_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Any, stamp: Time) -> None:
        """See GoalServer."""
        node, goal = self.node, handle.request
        asked = ExportRequest(
            name=goal.name, state=goal.state_id, trajectory=goal.trajectory_id, replace=bool(goal.replace),
            time_s=float(goal.time) if goal.at_time else None,
        )  # fmt: skip
        running = self.start(handle, asked, commit=False)
        began = time.monotonic()

        def heard(event: Event) -> None:
            if isinstance(event, Progressed):
                wall, part = time.monotonic() - began, event.fraction
                eta = wall * (1 / part - 1) if part > 0 else None
                told = Export.Feedback(stage=event.stage, fraction=part, eta=-1.0 if eta is None else eta)
                handle.publish_feedback(told)
                node.report(stage=f"exporting {goal.name}", fraction=part, eta=eta)

        self.follow(handle, running, heard, patience=lambda: CLEARED_WITHIN)
        if not running.job.done:
            raise PWError("canceled", code=ErrorCode.CANCELED)
        result.path, result.size = running.job.future.result()
