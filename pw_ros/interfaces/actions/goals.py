"""What the node's actions have in common: goals always accepted, one at a time through the node's gate, done by the
worker, and ended SUCCEEDED, ABORTED with an error code, or CANCELED."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from builtin_interfaces.msg import Time
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.limits import shortened
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.limits import check_request
from pw_ros.worker.process import Job
from pw_ros.worker.protocol import Committing, Event
from pw_ros.worker.requests import Request

T = TypeVar("T")

DETACH_AFTER = 0.1
"""[s] a cancelled goal waits for the worker to notice; then it ends without it, and the worker goes on behind."""
KEEP_WITHIN = 120.0
"""[s] a cancelled goal that keeps its best waits for the worker to do so."""


@dataclass(frozen=True)
class Running(Generic[T]):
    """A goal's job in the worker, its events, of which the last is None, and what it holds of the gate."""

    job: Job[T]
    events: queue.SimpleQueue[Event | None]
    held: Pass


class GoalServer(Generic[T]):
    """Serves the action `~/<name>`; `run` does a goal, for which the worker answers with a T.

    Args:
        kind: the action's type.
        name: of the action, and of the worker's operation.
        unknown: the code of what nobody foresaw.
        prefix: of the action's name.
    """

    def __init__(self, node: NodeContext, kind: Any, name: str, *, unknown: ErrorCode, prefix: str = "~/") -> None:
        self.node, self.kind, self.name, self._unknown = node, kind, name, unknown
        self.action = prefix + name
        self.server = ActionServer(
            node,
            kind,
            self.action,
            execute_callback=self._execute,
            goal_callback=lambda _: GoalResponse.REJECT if node.closing else GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=node.group,
        )

    def run(self, handle: ServerGoalHandle, result: Any, stamp: Time) -> None:
        """Do the goal that came at `stamp`, and fill in the result; PWError says why not."""
        raise NotImplementedError

    def _execute(self, handle: ServerGoalHandle) -> Any:
        with self.node.calls:
            return self._done(handle)

    def _done(self, handle: ServerGoalHandle) -> Any:
        began, stamp, code, why = time.monotonic(), self.node.now(), 0, ""
        result = self.kind.Result()
        try:
            check_request(handle.request, limits=self.node.limits)
            self.run(handle, result, stamp)
        except PWError as error:
            code, why = int(error.code), str(error)
        except Exception as error:
            code, why = int(self._unknown), shortened(f"{type(error).__name__}: {error}")
            self.node.get_logger().error(f"{self.name} {goal_id(handle)}: {why}")
        # The job may have ended, and idle been said, while this thread still told of its steps.
        self.node.settle()
        wall_time = time.monotonic() - began
        self.close(result, code, why, wall_time)
        how = f"error {code}: {why}" if code else "succeeded"
        self.node.get_logger().info(f"{self.name} {goal_id(handle)} ended after {wall_time:.3f} s: {how}")
        if code not in (ErrorCode.CANCELED, ErrorCode.BUSY):
            self.node.report(error_code=code, error_msg=why)
        if code == ErrorCode.CANCELED and handle.is_cancel_requested:
            handle.canceled()  # of one that nobody asked to cancel, as of clients that are gone, it is no valid end
        elif code:
            handle.abort()
        else:
            handle.succeed()
        return result

    def close(self, result: Any, code: int, why: str, wall_time: float) -> None:
        """Write into the result how the goal ended, after `wall_time` [s]: an error's code (0: none) and text."""
        result.error_code, result.error_msg, result.wall_time = code, why, wall_time

    def start(self, handle: ServerGoalHandle, request: Request[T], *, commit: bool) -> Running[T]:
        """Take the gate, ask the worker. `commit`: the goal will make its end the head.

        Raises:
            PWError: BUSY; CANCELED or SHUTTING_DOWN while it waited.
        """
        node = self.node
        held = Pass(self.name, moves_head=commit, goal_id=goal_id(handle))
        node.enter(held, wait=node.get_parameter("busy_policy").value == "wait", handle=handle)
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        job = node.worker.submit(request, on_event=events.put)

        def over(_: Any) -> None:
            node.leave(held)
            events.put(None)

        job.future.add_done_callback(over)
        return Running(job, events, held)

    def follow(
        self, handle: ServerGoalHandle, running: Running[T], heard: Callable[[Event], None], *,
        patience: Callable[[], float] = lambda: DETACH_AFTER,
    ) -> None:  # fmt: skip
        """Hand events to `heard` until the job is done, or was cancelled `patience` [s] ago. Then the worker goes on
        behind, and the gate is free: goals wait in the worker for it to end, services do not. A job that has begun to
        commit is waited for, so that its result says how that went.

        Raises:
            PWError: SHUTTING_DOWN; CANCELED where no client is left to hear of it.
        """
        canceled_at, committing = 0.0, False
        alone = _Alone(self.node, self.action)
        while True:
            with contextlib.suppress(queue.Empty):
                event = running.events.get(timeout=0.02)
                if event is None:
                    return
                committing = committing or isinstance(event, Committing)
                heard(event)
            now = time.monotonic()
            if handle.is_cancel_requested and not canceled_at:
                canceled_at = now
                self.node.worker.cancel(running.job)
            if alone.too_long(now):
                self.node.worker.cancel(running.job)
                self.node.leave(running.held)
                raise PWError("ended: its client is gone", code=ErrorCode.CANCELED)
            if self.node.closing:
                self.node.worker.cancel(running.job)
                raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
            if canceled_at and now - canceled_at > patience() and not committing and running.events.empty():
                self.node.leave(running.held)
                return


class _Alone:
    """Whether an action's clients are all gone: each subscribes to its feedback as long as it lives."""

    def __init__(self, node: NodeContext, action: str, *, every: float = 0.5) -> None:
        self._node, self._every = node, every
        self._topic = node.resolve_topic_name(f"{action}/_action/feedback")
        self._asked = time.monotonic()
        self._since = 0.0

    def too_long(self, now: float) -> bool:
        """Whether that is so for longer than the parameter says; asked for twice a second at most."""
        if now - self._asked < self._every:
            return False
        self._asked = now
        patience = float(self._node.get_parameter("end_orphans_after").value)
        if patience == 0 or self._node.count_subscribers(self._topic):
            self._since = 0.0
        elif not self._since:
            self._since = now
        return bool(self._since) and now - self._since >= patience


def goal_id(handle: ServerGoalHandle) -> str:
    """The first half of the goal's id, enough to tell goals apart."""
    return bytes(handle.goal_id.uuid).hex()[:16]
