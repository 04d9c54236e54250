"""The action ~/plan: a template and an objective in, the action sequence that serves best out."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_msgs.action import Plan
from pw_ros.convert.actions import action_to_message
from pw_ros.convert.plans import goal_to_robust, goal_to_search, text_to_objective, text_to_template
from pw_ros.interfaces.actions.candidates import CandidateServer
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Scored
from pw_ros.worker.requests import Planned, PlanRequest


class PlanServer(CandidateServer[Planned]):
    """Searches; a cancelled search gives the best so far."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node, Plan, "plan", unknown=ErrorCode.PLAN_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Plan.Result, stamp: Time) -> None:
        """See GoalServer."""
        node, request = self.node, handle.request
        budget, options, warm = goal_to_search(request)
        asked = PlanRequest(
            template=text_to_template(request.template_yaml), objective=text_to_objective(request.objective),
            duration=float(request.duration), budget=budget, options=options, warm=warm, start=request.from_state,
            frame_interval=float(request.frame_interval) or None, robust=goal_to_robust(request),
        )  # fmt: skip
        running = self.start(handle, asked, commit=False)

        def feedback(event: Scored) -> Plan.Feedback:
            return Plan.Feedback(names=list(event.values), values=[float(v) for v in event.values.values()])

        last = self.tell(handle, running, stamp, feedback)
        done = running.job.future.result() if running.job.done else Planned(canceled=True)
        result.evaluated = done.evaluated or (last.evaluated if last is not None else 0)
        result.ended = done.why
        result.names, result.values = list(done.values), [float(v) for v in done.values.values()]
        result.history_evaluated = [n for n, _, _ in done.history]
        result.history_cost = [float(cost) for _, _, cost in done.history]
        if done.best is not None:
            frame = node.frames.frame_id
            result.actions = [action_to_message(a, frame_id=frame) for a in done.actions]
            result.best = self.kept(done.best, stamp)
            if not node.gate.running:  # a goal that has begun since shows its own
                node.topics.predict_actions(result.actions)
                node.topics.show({"trajectory": done.best.trajectory_id, "time_s": done.best.track.times[-1]}, stamp)
        if done.canceled:
            found = f"; the best so far is state '{done.best.state_id}'" if done.best is not None else ""
            raise PWError(f"canceled after {result.evaluated} candidates{found}", code=ErrorCode.CANCELED)
