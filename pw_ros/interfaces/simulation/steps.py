"""Steps of the head, which are committed: StepSimulation and the action SimulateSteps."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle
from simulation_interfaces.action import SimulateSteps
from simulation_interfaces.msg import Result

from pw_core.errors import ErrorCode, PWError
from pw_ros.interfaces.actions.goals import KEEP_WITHIN, GoalServer
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.simulation.answers import SimulationServices, tell
from pw_ros.interfaces.simulation.running import RunningServices
from pw_ros.worker.protocol import Event, FrameData
from pw_ros.worker.requests import CommitRequest, RolledOut, RolloutRequest


def request_of(node: NodeContext, steps: int) -> RolloutRequest:
    """So many steps without actions; each is a frame."""
    step = float(node.get_parameter("simulation_step").value)
    return RolloutRequest(actions=(), duration=steps * step, frame_interval=step, commit=True)


class StepServices(SimulationServices):
    """Blocks one thread of the executor's pool, while the worker does the work."""

    def __init__(self, node: NodeContext, prefix: str, running: RunningServices) -> None:
        self._running = running
        super().__init__(node, prefix, {"StepSimulation": self.step_simulation})

    def step_simulation(self, request: Any, response: Any) -> None:
        """As a rollout is, one at a time."""
        node = self.node
        self._running.need_paused()
        if not request.steps:
            return
        held = Pass("step_simulation", moves_head=True)
        node.enter(held, wait=node.get_parameter("busy_policy").value == "wait")
        job = None
        try:
            job = node.worker.submit(request_of(node, int(request.steps)))
            node.report(status="rolling out", stage="stepping", fraction=None)
            done = job.future.result()
        finally:
            if job is None or job.done:
                node.leave(held)
        if not done.committed:
            raise PWError("called off", code=ErrorCode.CANCELED)


class StepsServer(GoalServer[RolledOut]):
    """One goal at a time. A cancelled one leaves the head at the last step that was done."""

    def __init__(self, node: NodeContext, prefix: str, running: RunningServices) -> None:
        self._running = running
        super().__init__(node, SimulateSteps, "simulate_steps", unknown=ErrorCode.ROLLOUT_UNKNOWN, prefix=prefix)

    def run(self, handle: ServerGoalHandle, result: Any, stamp: Time) -> None:
        """See GoalServer."""
        node, steps, done = self.node, int(handle.request.steps), -1
        self._running.need_paused()
        if not steps:
            return
        running = self.start(handle, request_of(node, steps), commit=True)
        node.report(status="compiling", stage="starting", fraction=None)

        def heard(event: Event) -> None:
            nonlocal done
            if isinstance(event, FrameData):
                done += 1  # the first frame is the start
                node.report(status="rolling out", stage="stepping", fraction=event.fraction)
                if done:
                    told = SimulateSteps.Feedback(completed_steps=done, remaining_steps=steps - done)
                    handle.publish_feedback(told)

        self.follow(handle, running, heard, patience=lambda: KEEP_WITHIN)
        ended = running.job.future.result() if running.job.done else RolledOut(canceled=True)
        if not ended.committed:
            kept = self._keep(ended.state_id) if ended.state_id else 0
            raise PWError(f"canceled after {kept} of {steps} steps", code=ErrorCode.CANCELED)

    def _keep(self, state_id: str) -> int:
        """Where the steps that were done have led becomes the head; how many they were. The worker may have done one
        more than it told of."""
        held = Pass("commit", alone=False, moves_head=True, service=True)
        self.node.enter(held, wait=True, patience=KEEP_WITHIN)
        try:
            self.node.worker.call(CommitRequest(state_id))
        finally:
            self.node.leave(held)
        times = {s.id: s.time_s for s in self.node.worker.snapshot.states}
        parent = next(s.parent for s in self.node.worker.snapshot.states if s.id == state_id)
        return round((times[state_id] - times[parent]) / float(self.node.get_parameter("simulation_step").value))

    def close(self, result: Any, code: int, why: str, wall_time: float) -> None:
        """See GoalServer."""
        result.result.result = Result.RESULT_OK
        if code:
            tell(result, PWError(why, code=code))
