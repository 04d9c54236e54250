"""The action ~/evaluate: many action sequences in, what each would cost and the best of them out."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.plan.candidates import MAX_CANDIDATES
from pw_msgs.action import Evaluate
from pw_ros.convert.plans import goal_to_robust, score_to_message, text_to_objective
from pw_ros.interfaces.actions.candidates import CandidateServer, candidate_of
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Scored
from pw_ros.worker.requests import Evaluated, EvaluateRequest


class EvaluateServer(CandidateServer[Evaluated]):
    """For planners with a sampler of their own."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node, Evaluate, "evaluate", unknown=ErrorCode.PLAN_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Evaluate.Result, stamp: Time) -> None:
        """See GoalServer."""
        node, request = self.node, handle.request
        total = len(request.candidates)
        if not 0 < total <= MAX_CANDIDATES:
            text = f"{total} candidates, expected 1 to {MAX_CANDIDATES}; one without actions does nothing"
            raise PWError(text, code=ErrorCode.INVALID_CANDIDATES)
        asked = EvaluateRequest(
            candidates=[candidate_of(node, c, i) for i, c in enumerate(request.candidates)],
            objective=text_to_objective(request.objective), duration=float(request.duration),
            start=request.from_state, frame_interval=float(request.frame_interval) or None, keep=int(request.keep),
            prune=bool(request.prune), robust=goal_to_robust(request),
        )  # fmt: skip
        running = self.start(handle, asked, commit=False)

        def feedback(event: Scored) -> Evaluate.Feedback:
            return Evaluate.Feedback(total=total, best_candidate=max(event.best_index, 0))

        self.tell(handle, running, stamp, feedback)
        done = running.job.future.result() if running.job.done else Evaluated(canceled=True)
        scores = done.scores or (None,) * total
        result.scores = [score_to_message(s, index=i) for i, s in enumerate(scores)]
        result.best = [self.kept(k, stamp) for k in done.best]
        result.evaluated = sum(s is not None for s in scores)
        if done.canceled:
            raise PWError(f"canceled after {result.evaluated} of {total} candidates", code=ErrorCode.CANCELED)
