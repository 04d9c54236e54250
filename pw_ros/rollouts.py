"""The action ~/rollout: goals in, feedback while it runs, tracks and views at the end."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from builtin_interfaces.msg import Time
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_msgs.action import Rollout
from pw_msgs.msg import CameraView, EntityTrack, View
from pw_ros.actions import message_to_action
from pw_ros.cameras import camera_to_info, messages_to_camera
from pw_ros.conversions import time_after
from pw_ros.frames import optical_frame
from pw_ros.images import numpy_to_compressed
from pw_ros.reports import pose_to_state, poses_to_track
from pw_ros.worker_messages import FrameData, Picture

if TYPE_CHECKING:
    from pw_ros.node import WorldNode

DETACH_AFTER = 0.1
"""[s] a cancelled goal waits for the worker to notice; then it ends without it, and the worker goes on behind."""


class RolloutServer:
    """Serves goals one at a time, as the node's gate lets them through."""

    def __init__(self, node: WorldNode) -> None:
        self.node = node
        self.server = ActionServer(
            node,
            Rollout,
            "~/rollout",
            execute_callback=self._execute,
            goal_callback=lambda _: GoalResponse.REJECT if node.closing else GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=node.group,
        )

    def _execute(self, handle: ServerGoalHandle) -> Rollout.Result:
        began, stamp = time.monotonic(), self.node.now()
        result = Rollout.Result()
        try:
            self._run(handle, result, stamp)
        except PWError as error:
            result.error_code, result.error_msg = int(error.code), str(error)
        except Exception as error:
            self.node.get_logger().error(f"rollout: {type(error).__name__}: {error}")
            result.error_code = int(ErrorCode.ROLLOUT_UNKNOWN)
            result.error_msg = f"{type(error).__name__}: {error}"
        result.wall_time = time.monotonic() - began
        if result.error_code not in (ErrorCode.CANCELED, ErrorCode.BUSY):
            self.node.report(error_code=result.error_code, error_msg=result.error_msg)
        if result.error_code == ErrorCode.CANCELED:
            handle.canceled()
        elif result.error_code:
            handle.abort()
        else:
            handle.succeed()
        return result

    def _run(self, handle: ServerGoalHandle, result: Rollout.Result, stamp: Time) -> None:
        node, request = self.node, handle.request
        actions = [message_to_action(a, to_world=node.frames.to_world(a.header.frame_id)) for a in request.actions]
        cameras: list[Camera] = []
        if request.return_views:
            names = list(request.cameras) or ([""] if not request.views else [])
            cameras = [node.camera(name) for name in names] + [camera_of(node, v) for v in request.views]
        node.enter("rollout", wait=node.get_parameter("busy_policy").value == "wait", handle=handle)
        events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        job = node.worker.submit(
            "rollout",
            on_event=lambda name, value: events.put((name, value)),
            actions=actions,
            duration=float(request.duration),
            start=request.from_state,
            frame_interval=float(request.frame_interval) or None,
            commit=bool(request.commit),
            cameras=cameras,
            max_views=int(request.max_views),
        )

        def over(_: Any) -> None:
            node.leave()
            events.put(("done", None))

        job.future.add_done_callback(over)
        node.report(status="compiling", stage="starting", fraction=None)
        node.topics.predict_actions(request.actions)
        frames: list[FrameData] = []
        try:
            views = self._follow(handle, job, events, frames, result, stamp)
        finally:
            self._tracks(result, frames, stamp)
            if frames:  # the views stay with the prediction, which is no longer live
                end = {"trajectory": result.trajectory_id, "time_s": frames[-1].time_s}
                node.topics.show(end, stamp)
        done = job.future.result() if job.done else {"canceled": True}
        if handle.is_cancel_requested and not done.get("committed"):
            raise PWError(f"canceled after {result.simulated_time:.3f} s of simulated time", code=ErrorCode.CANCELED)
        result.committed = bool(done["committed"])
        result.views = views

    def _follow(
        self, handle: ServerGoalHandle, job: Any, events: Any, frames: list[FrameData], result: Any, stamp: Time
    ) -> list[View]:
        node, canceled_at, first = self.node, 0.0, 0.0
        views: list[View] = []
        feedback = Rollout.Feedback(stage="compiling")
        while True:
            try:
                name, value = events.get(timeout=0.02)
            except queue.Empty:
                name, value = "", None
            if name == "done":
                return views
            now = time.monotonic()
            if name == "progress":
                node.report(status="compiling", stage=value[0], fraction=value[1])
                handle.publish_feedback(feedback)
            elif name == "ids":
                result.trajectory_id, result.state_id = value
                first = now
            elif name == "frame":
                frames.append(value)
                wall = now - first
                feedback.stage = "stepping"
                feedback.simulated_time, feedback.fraction = value.time_s, value.fraction
                feedback.real_time_factor = value.time_s / wall if wall > 0 else 0.0
                at = time_after(stamp, value.time_s)
                feedback.entities = [pose_to_state(p, frame_id=node.frames.frame_id, stamp=at) for p in value.poses]
                handle.publish_feedback(feedback)
                eta = wall * (1 / value.fraction - 1) if value.fraction > 0 else None
                node.report(status="rolling out", stage="stepping", fraction=value.fraction, eta=eta)
                node.topics.predict(value, stamp, {"live": True})
            elif name == "view":
                views.append(self._view(*value, stamp))
            if handle.is_cancel_requested and not canceled_at:
                canceled_at = now
                node.worker.cancel(job)
            if node.closing:
                node.worker.cancel(job)
                raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
            if canceled_at and now - canceled_at > DETACH_AFTER:
                return views

    def _tracks(self, result: Rollout.Result, frames: Sequence[FrameData], stamp: Time) -> None:
        if frames:
            result.simulated_time = frames[-1].time_s
            result.tracks = frames_to_tracks(frames, frame_id=self.node.frames.frame_id, stamp=stamp)

    def _view(self, camera: Camera, picture: Picture, stamp: Time) -> View:
        at, frame = time_after(stamp, picture.time_s), optical_frame(camera.name)
        quality = int(self.node.get_parameter("jpeg_quality").value)
        return View(
            camera=camera.name,
            time=picture.time_s,
            camera_info=camera_to_info(camera, frame_id=frame, stamp=at),
            image=numpy_to_compressed(picture.rgb, format="jpeg", quality=quality, frame_id=frame, stamp=at),
        )


def frames_to_tracks(frames: Sequence[FrameData], *, frame_id: str, stamp: Time) -> list[EntityTrack]:
    """One track an entity."""
    times = [f.time_s for f in frames]
    return [
        poses_to_track(times, [f.poses[i] for f in frames], frame_id=frame_id, stamp=stamp)
        for i in range(len(frames[0].poses))
    ]


def camera_of(node: WorldNode, view: CameraView) -> Camera:
    """The camera a request means: one of the scene's by name, or its own.

    Raises:
        PWError: UNKNOWN_CAMERA, INVALID_CAMERA, INVALID_FRAME.
    """
    if not view.camera_info.width:
        return node.camera(view.name)
    to_world = node.frames.to_world(view.pose.header.frame_id)
    return messages_to_camera(view.camera_info, view.pose.pose, name=view.name or "view", to_world=to_world)
