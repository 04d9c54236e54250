"""The action ~/rollout: goals in, feedback while it runs, tracks and views at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_msgs.action import Rollout
from pw_msgs.msg import View
from pw_ros.convert.actions import message_to_action
from pw_ros.convert.cameras import camera_to_info
from pw_ros.convert.geometry import time_after
from pw_ros.convert.images import numpy_to_compressed
from pw_ros.convert.reports import pose_to_state, poses_to_tracks
from pw_ros.interfaces.actions.goals import GoalServer
from pw_ros.interfaces.cameras import camera_of
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Began, Event, FrameData, Picture, Progressed, Viewed
from pw_ros.worker.requests import RolledOut, RolloutRequest


class RolloutServer(GoalServer[RolledOut]):
    """Serves goals one at a time, as the node's gate lets them through."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node, Rollout, "rollout", unknown=ErrorCode.ROLLOUT_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Rollout.Result, stamp: Time) -> None:
        """See GoalServer."""
        node, request = self.node, handle.request
        actions = [message_to_action(a, to_world=node.frames.to_world(a.header.frame_id)) for a in request.actions]
        cameras: list[Camera] = []
        if request.return_views:
            names = list(request.cameras) or ([""] if not request.views else [])
            cameras = [node.camera(name) for name in names] + [camera_of(node, v) for v in request.views]
        asked = RolloutRequest(
            actions=actions, duration=float(request.duration), start=request.from_state,
            frame_interval=float(request.frame_interval) or None, commit=bool(request.commit), cameras=cameras,
            max_views=int(request.max_views),
        )  # fmt: skip
        running = self.start(handle, asked, commit=asked.commit)
        node.report(status="compiling", stage="starting", fraction=None)
        node.topics.predict_actions(request.actions)
        frames: list[FrameData] = []
        views: list[View] = []
        try:
            self.follow(handle, running, self._listener(handle, frames, views, result, stamp))
        finally:
            self._tracks(result, frames, stamp)
            if frames:  # the views stay with the prediction, which is no longer live
                end = {"trajectory": result.trajectory_id, "time_s": frames[-1].time_s}
                node.topics.show(end, stamp)
        done = running.job.future.result() if running.job.done else RolledOut(canceled=True)
        if handle.is_cancel_requested and not done.committed:
            raise PWError(f"canceled after {result.simulated_time:.3f} s of simulated time", code=ErrorCode.CANCELED)
        result.committed = done.committed
        result.views = views

    def _listener(
        self, handle: ServerGoalHandle, frames: list[FrameData], views: list[View], result: Any, stamp: Time
    ) -> Callable[[Event], None]:
        node, first = self.node, 0.0
        feedback = Rollout.Feedback(stage="compiling")

        def heard(event: Event) -> None:
            nonlocal first
            now = time.monotonic()
            if isinstance(event, Progressed):
                node.report(status="compiling", stage=event.stage, fraction=event.fraction)
                handle.publish_feedback(feedback)
            elif isinstance(event, Began):
                result.trajectory_id, result.state_id = event.trajectory_id, event.state_id
                first = now
            elif isinstance(event, FrameData):
                frames.append(event)
                wall = now - first
                feedback.stage = "stepping"
                feedback.simulated_time, feedback.fraction = event.time_s, event.fraction
                feedback.real_time_factor = event.time_s / wall if wall > 0 else 0.0
                at = time_after(stamp, event.time_s)
                feedback.entities = [pose_to_state(p, frame_id=node.frames.frame_id, stamp=at) for p in event.poses]
                handle.publish_feedback(feedback)
                eta = wall * (1 / event.fraction - 1) if event.fraction > 0 else None
                node.report(status="rolling out", stage="stepping", fraction=event.fraction, eta=eta)
                node.topics.predict(event, stamp, {"live": True})
            elif isinstance(event, Viewed):
                views.append(self._view(event.camera, event.picture, stamp))

        return heard

    def _tracks(self, result: Rollout.Result, frames: Sequence[FrameData], stamp: Time) -> None:
        if frames:
            result.simulated_time = frames[-1].time_s
            result.tracks = poses_to_tracks(
                [f.time_s for f in frames], [f.poses for f in frames], frame_id=self.node.frames.frame_id, stamp=stamp
            )

    def _view(self, camera: Camera, picture: Picture, stamp: Time) -> View:
        at, frame = time_after(stamp, picture.time_s), self.node.frames.optical(camera.name)
        quality = int(self.node.get_parameter("jpeg_quality").value)
        return View(
            camera=camera.name,
            time=picture.time_s,
            camera_info=camera_to_info(camera, frame_id=frame, stamp=at),
            image=numpy_to_compressed(picture.rgb, format="jpeg", quality=quality, frame_id=frame, stamp=at),
        )
