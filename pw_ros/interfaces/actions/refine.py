"""The action ~/refine: target frames in, feedback while they correct a trajectory, the corrected state at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_core.refine.types import RefineStep
from pw_msgs.action import Refine
from pw_ros.convert.geometry import time_to_seconds
from pw_ros.convert.refine import estimate_to_message, figures_of, goal_to_changes
from pw_ros.interfaces.actions.goals import DETACH_AFTER, KEEP_WITHIN, GoalServer
from pw_ros.interfaces.actions.targets import frames_to_films, sources_of
from pw_ros.interfaces.cameras import target_camera
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.inputs import Allowed
from pw_ros.worker.protocol import Event, Progressed
from pw_ros.worker.requests import Film, Refined, RefineRequest


class RefineServer(GoalServer[Refined]):
    """Serves goals one at a time with rollouts, as the node's gate lets them through."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node, Refine, "refine", unknown=ErrorCode.REFINE_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Refine.Result, stamp: Time) -> None:
        """See GoalServer."""
        node, request = self.node, handle.request
        views = [target_camera(node, v.view) for v in request.views]
        named = [c if v.view.camera_info.width else c.name for c, v in zip(views, request.views, strict=True)]
        films, uri, origin = self._targets(request, named)
        every = int(node.get_parameter("refine_preview_every").value)
        asked = RefineRequest(
            provider=request.provider or (Refine.Goal.OBSERVED if sources_of(request) else ""),
            trajectory=request.trajectory_id, cameras=views, films=films, frames_uri=uri, time_origin=origin,
            changes=goal_to_changes(request), keep_best=bool(request.keep_best_on_cancel), commit=bool(request.commit),
        )  # fmt: skip
        running = self.start(handle, asked, commit=asked.commit)
        node.topics.predict_actions(())
        node.report(status="refining", stage="starting", fraction=None)
        loss, polished = math.nan, 0

        def heard(event: Event) -> None:
            nonlocal loss, polished
            if isinstance(event, Progressed):  # of the provider, within a step
                node.report(status="refining", stage=event.stage, fraction=None)
            elif isinstance(event, RefineStep):
                if math.isfinite(event.loss):
                    loss, polished = event.loss, polished + 1
                feedback = Refine.Feedback(
                    stage=event.stage, fraction=event.fraction, iteration=event.iteration, iterations=event.iterations,
                    loss=event.loss, psnr=event.psnr, eta=event.eta_s,
                )  # fmt: skip
                handle.publish_feedback(feedback)
                if event.iteration % every == 0:  # drawn if someone looks
                    node.topics.show({"live": True}, stamp, again=True)
                eta = event.eta_s if event.eta_s >= 0 else None
                node.report(status="refining", stage=event.stage, fraction=event.fraction, eta=eta)

        try:
            patience = KEEP_WITHIN if request.keep_best_on_cancel else DETACH_AFTER
            self.follow(handle, running, heard, patience=lambda: patience)
        finally:
            node.topics.show(None, stamp)
        result.iterations = polished
        done = running.job.future.result() if running.job.done else Refined()
        if done.state_id:
            result.state_id, result.parent, result.committed = done.state_id, done.parent, done.committed
            result.before = figures_of(done.figures, "before")
            result.after = figures_of(done.figures, "after", loss=loss)
            result.estimates = [estimate_to_message(e, done.parameters) for e in done.estimates]
        if done.canceled or (handle.is_cancel_requested and not done.committed):
            kept = f"; the best so far is state '{result.state_id}'" if result.state_id else ""
            raise PWError(f"canceled after {polished} iterations{kept}", code=ErrorCode.CANCELED)

    def _targets(self, request: Any, views: Sequence[Camera | str]) -> tuple[list[Film], str, float | None]:
        """Films, or the path of the folder that they lie in, and the stamp [s] of t = 0 on their clock."""
        node = self.node
        if len(sources := sources_of(request)) > 1:
            raise PWError(f"found {' and '.join(sources)}, expected one of them", code=ErrorCode.INVALID_TARGET)
        if request.frames_uri:
            allowed = Allowed(node.get_parameter("input_roots").value, "frames_uri", ErrorCode.INVALID_TARGET)
            return [], str(allowed.path(request.frames_uri)), time_to_seconds(request.time_origin) or None
        if request.frames:
            return frames_to_films(request.frames, views, request.time_origin), "", 0.0
        if request.provider not in ("", Refine.Goal.OBSERVED) or not (request.record_id or node.recorder.record_id):
            return [], "", 0.0
        return node.recorder.films(request.record_id, request.time_origin), "", 0.0
