"""WorldClient: the node for planners, as plain calls that block with a timeout, in the manner of nav2's commander.

with WorldClient() as world:
    world.wait_until_ready()
    world.reconstruct("play_doh")
    world.rollout([push], duration=0.5)
    while not world.is_done():
        print(world.feedback().fraction)
    result = world.result()
    world.commit(result.state_id)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PWError
from pw_core.plan.objective import Objective
from pw_core.plan.template import Template
from pw_msgs import srv
from pw_msgs.action import Evaluate, Export, Plan, Refine, Rollout
from pw_msgs.msg import CameraView, Candidate, PhysicalAction, StateInfo, TargetFrame, WorldStatus
from pw_ros.convert.actions import action_to_message
from pw_ros.convert.images import image_to_numpy, numpy_to_image
from pw_ros.convert.plans import objective_to_text, template_to_text
from pw_ros.naming import snake_case
from pw_ros.qos import LATCHED
from pw_ros.spinning import Spinning


class WorldClient:
    """Talks to one world node from a node and a thread of its own.

    Args:
        world: the world node's name, with its namespace if it has one.
        timeout: [s] the short calls may take.

    All calls raise PWError with the node's code and message when it answers with an error, and with NODE_UNKNOWN when
    it does not answer in time.
    """

    def __init__(self, world: str = "perpetual_wonder", *, timeout: float = 30.0) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("world_client", context=self._context)
        self._world, self.timeout = "/" + world.strip("/"), timeout
        self._clients: dict[str, Any] = {}
        self._actions: dict[type, ActionClient] = {Rollout: self._action_client(Rollout)}
        self._goal: Any = None
        self._result: Any = None
        self._feedback: Any = None
        self._status: WorldStatus | None = None
        self.node.create_subscription(WorldStatus, f"{self._world}/status", self._on_status, LATCHED)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self.node)
        self._spinning = Spinning(executor, name="world-client")

    def _on_status(self, message: WorldStatus) -> None:
        self._status = message

    def __enter__(self) -> WorldClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; a running rollout goes on."""
        if not self._context.ok():
            return
        if self._spinning.end():
            for action in self._actions.values():
                action.destroy()
            self.node.destroy_node()
        self._context.try_shutdown()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _wait(self, future: Any, timeout: float, what: str) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise PWError(f"{what}: {self._world} did not answer within {timeout:g} s", code=ErrorCode.NODE_UNKNOWN)
        return future.result()

    def call(self, name: str, *, timeout: float | None = None, **fields: Any) -> Any:
        """Any service of the node by its type's name, e.g. `call("ListScenes")`; the response without error."""
        kind = getattr(srv, name)
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, f"{self._world}/{snake_case(name)}")
        limit = self.timeout if timeout is None else timeout
        if not self._clients[name].wait_for_service(limit):
            raise PWError(f"{name}: there is no node {self._world}", code=ErrorCode.NODE_UNKNOWN)
        return _checked(self._wait(self._clients[name].call_async(kind.Request(**fields)), limit, name))

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Until the node is there and its worker has started."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self._status
            if status is not None and status.status == WorldStatus.ERROR:
                raise PWError(status.error_msg, code=status.error_code)
            if (
                status is not None
                and status.status != WorldStatus.STARTING
                and self._actions[Rollout].server_is_ready()
            ):
                return
            time.sleep(0.02)
        status = self._status
        missing = (
            "nothing was heard of it" if status is None
            else "its worker is starting" if status.status == WorldStatus.STARTING
            else "its action servers were not found"
        )  # fmt: skip
        raise PWError(f"{self._world} was not ready within {timeout:g} s: {missing}", code=ErrorCode.NODE_UNKNOWN)

    def status(self) -> WorldStatus | None:
        """The last report."""
        return self._status

    def reconstruct(
        self, scene: str = "", *, photo: NDArray[np.uint8] | None = None, timeout: float = 300.0, **fields: Any
    ) -> Any:
        """A scene of its configuration's photo, or of another, uint8 (H, W, 3) RGB; the response of `Reconstruct`.

        Fields are those of the request; without `replace=True` a scene that is there is not touched (SCENE_EXISTS).
        """
        images = [] if photo is None else [numpy_to_image(photo)]
        return self.call("Reconstruct", timeout=timeout, scene=scene, images=images, **fields)

    def open_scene(self, scene: str, *, timeout: float = 300.0) -> None:
        """Work on that scene as it was left; where the store has none, it is made of its configuration."""
        listed = self.call("ListScenes")
        if scene not in {s.scene_id for s in listed.scenes if s.reconstructed}:
            self.reconstruct(scene, timeout=timeout)
        elif scene != listed.selected:
            self.call("SelectScene", scene_id=scene)

    def cancel_reconstruct(self) -> bool:
        """Whether one was running."""
        return bool(self.call("CancelReconstruct").canceled)

    def rollout(self, actions: Sequence[Action | PhysicalAction], duration: float, **fields: Any) -> None:
        """Start; fields are those of the goal (from_state, commit, frame_interval, return_views ...)."""
        goal = Rollout.Goal(actions=_messages(actions), duration=float(duration), **fields)
        self._start(Rollout, goal)

    def refine(self, frames: Sequence[TargetFrame] = (), **fields: Any) -> None:
        """Start a correction by what cameras saw; fields are those of the goal (trajectory_id, time_origin, provider,
        iterations, commit ...). It is followed and cancelled as a rollout is."""
        self._start(Refine, Refine.Goal(frames=list(frames), **fields))

    def evaluate(
        self, candidates: Sequence[Candidate | Sequence[Action | PhysicalAction]], duration: float, *,
        objective: str | Mapping[str, Any] | Objective, keep: int = 1, **fields: Any,
    ) -> None:  # fmt: skip
        """Start to score action sequences; objective: text, plain fields or parsed; fields are those of the goal
        (from_state, frame_interval, prune). It is followed and cancelled as a rollout is."""
        messages = [c if isinstance(c, Candidate) else Candidate(actions=_messages(c)) for c in candidates]
        goal = Evaluate.Goal(
            candidates=messages, objective=objective_to_text(objective), duration=float(duration), keep=keep, **fields
        )
        self._start(Evaluate, goal)

    def plan(
        self, template: str | Sequence[Mapping[str, Any]] | Template, duration: float, *,
        objective: str | Mapping[str, Any] | Objective, max_candidates: int = 0, max_seconds: float = 0.0,
        warm: Mapping[str, float] | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        """Start a search for the template's free numbers within a budget; template and objective: text, plain fields
        or parsed; warm: values to search near; fields are those of the goal (from_state, sampler, seed ...). A
        cancelled one's result is the best so far."""
        near = {k: float(v) for k, v in (warm or {}).items()}
        goal = Plan.Goal(
            template_yaml=template_to_text(template), objective=objective_to_text(objective), duration=float(duration),
            max_candidates=max_candidates, max_seconds=float(max_seconds), warm_names=list(near),
            warm_values=list(near.values()), **fields,
        )  # fmt: skip
        self._start(Plan, goal)

    def export(self, name: str, **fields: Any) -> None:
        """Start to write a state (empty state_id: the head) or a trajectory for other programs; the ending of `name`
        says how; fields are those of the goal (state_id, trajectory_id, at_time and time, replace). It is followed and
        cancelled as a rollout is; the result's `path` is on the node's machine."""
        self._start(Export, Export.Goal(name=name, **fields))

    def _action_client(self, kind: type) -> ActionClient:
        """Made when it is first used: each is nine readers and writers that every participant must hear of."""
        return ActionClient(self.node, kind, f"{self._world}/{snake_case(kind.__name__)}")

    def _start(self, kind: type, goal: Any) -> None:
        if kind not in self._actions:
            self._actions[kind] = self._action_client(kind)
        action = self._actions[kind]
        if not action.wait_for_server(self.timeout):
            raise PWError(f"there is no node {self._world}", code=ErrorCode.NODE_UNKNOWN)
        self._feedback = self._result = None
        sent = self._spinning.do(lambda: action.send_goal_async(goal, feedback_callback=self._on_feedback))
        self._goal = self._wait(sent, self.timeout, "goal")
        if not self._goal.accepted:
            self._goal = None
            raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
        self._result = self._spinning.do(self._goal.get_result_async)

    def _on_feedback(self, message: Any) -> None:
        self._feedback = message.feedback

    def is_done(self) -> bool:
        """Whether the started goal has ended."""
        return self._result is not None and self._result.done()

    def feedback(self) -> Any:
        """The last of the started goal; None before the first."""
        return self._feedback

    def result(self, timeout: float = 600.0) -> Any:
        """Wait for the end of the started goal. A cancelled one returns what there was, with CANCELED as code."""
        if self._result is None:
            raise PWError("no goal was started", code=ErrorCode.ROLLOUT_UNKNOWN)
        answer = self._wait(self._result, timeout, "result")
        return answer.result if answer.status == GoalStatus.STATUS_CANCELED else _checked(answer.result)

    def cancel(self, timeout: float = 5.0) -> bool:
        """Call the started goal off; whether the node took it, which it does not when the goal has just ended."""
        if self._goal is None or self.is_done():
            return False
        return bool(self._wait(self._spinning.do(self._goal.cancel_goal_async), timeout, "cancel").goals_canceling)

    def render(self, camera: str = "", *, timeout: float | None = None, **fields: Any) -> NDArray[np.uint8]:
        """A camera's picture, uint8 (H, W, 3) RGB; fields: state_id, or trajectory_id and time, or view."""
        fields.setdefault("view", CameraView(name=camera))
        response = self.call("RenderView", timeout=timeout, **fields)
        return image_to_numpy(response.image)  # type: ignore[return-value]

    def states(self) -> list[StateInfo]:
        """Of the selected scene."""
        return list(self.call("ListStates").states)

    def commit(self, state_id: str) -> str:
        """Make it the head; the head before."""
        return str(self.call("Commit", state_id=state_id).previous_head)


def _messages(actions: Sequence[Action | PhysicalAction]) -> list[PhysicalAction]:
    return [a if isinstance(a, PhysicalAction) else action_to_message(a) for a in actions]


def _checked(response: Any) -> Any:
    if response.error_code:
        raise PWError(response.error_msg, code=response.error_code)
    return response
