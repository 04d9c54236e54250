"""~/render_view, ~/get_trajectory, ~/play_trajectory: what there is to see."""

from __future__ import annotations

from typing import Any

from pw_core.errors import ErrorCode, PWError
from pw_ros.convert.actions import action_to_message
from pw_ros.convert.cameras import camera_to_info
from pw_ros.convert.clouds import particles_to_cloud
from pw_ros.convert.geometry import time_after
from pw_ros.convert.images import numpy_to_compressed, numpy_to_image
from pw_ros.convert.reports import poses_to_tracks
from pw_ros.interfaces.cameras import camera_of
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import Readers, ServiceGroup
from pw_ros.worker.requests import RenderRequest, TrajectoryRequest

SLOWEST = 1e-4
"""Of playing back [simulated seconds a second]: the longest trajectory then takes a week."""


class LookingServices(ServiceGroup):
    """Answered between a goal's frames and while kernels compile."""

    def __init__(self, node: NodeContext, readers: Readers) -> None:
        self._readers = readers
        super().__init__(
            node,
            {
                "RenderView": self.render_view, "GetTrajectory": self.get_trajectory,
                "PlayTrajectory": self.play_trajectory,
            },
        )  # fmt: skip

    def render_view(self, request: Any, response: Any) -> None:
        """A picture of a state, or of an instant of a trajectory."""
        node = self.node
        how = request.format or "raw"
        if how not in ("raw", "jpeg", "png"):
            raise PWError(f"format '{how}' is none of raw, jpeg, png", code=ErrorCode.INVALID_VIEW)
        snapshot = self.scene()
        camera = camera_of(node, request.view)
        if request.state_id and request.trajectory_id:
            raise PWError("give state_id or trajectory_id, not both", code=ErrorCode.INVALID_VIEW)
        stamp, frame = node.now(), node.frames.optical(camera.name)
        asked = RenderRequest(
            camera=camera, state=request.state_id, trajectory=request.trajectory_id, time_s=float(request.time),
            depth=bool(request.with_depth),
        )  # fmt: skip
        view = self._readers.read(asked, timeout=float(node.get_parameter("render_timeout").value))
        if how == "raw":
            response.image = numpy_to_image(view.rgb, frame_id=frame, stamp=stamp)
        else:
            quality = int(node.get_parameter("jpeg_quality").value)
            response.compressed = numpy_to_compressed(
                view.rgb, format=how, quality=quality, frame_id=frame, stamp=stamp
            )
        if request.with_depth:
            assert view.depth is not None
            response.depth = numpy_to_image(view.depth, frame_id=frame, stamp=stamp)
        response.camera_info = camera_to_info(camera, frame_id=frame, stamp=stamp)
        response.state_id = "" if request.trajectory_id else request.state_id or snapshot.head

    def get_trajectory(self, request: Any, response: Any) -> None:
        """Frames as clouds, and tracks."""
        snapshot, node = self.scene(), self.node
        chosen = slice(None)
        if request.entity:
            slices = {e.name: e.particles for e in snapshot.entities}
            if request.entity not in slices:
                raise PWError(
                    f"entity '{request.entity}' is none of {', '.join(slices)}", code=ErrorCode.UNKNOWN_ENTITY
                )
            chosen = slices[request.entity]
        trajectory, frames = self._readers.read(
            TrajectoryRequest(request.trajectory_id, float(request.start), float(request.end), int(request.stride))
        )
        stamp, frame_id = node.now(), node.frames.frame_id
        response.times = [f.time_s for f in frames]
        response.frames = [
            particles_to_cloud(
                f.positions[chosen],
                velocities=f.velocities[chosen],
                colors=None if snapshot.colors is None else snapshot.colors[chosen],
                entities=snapshot.entity_ids[chosen],
                frame_id=frame_id,
                stamp=time_after(stamp, f.time_s),
            )
            for f in frames
        ]
        if frames:
            response.tracks = poses_to_tracks(response.times, [f.poses for f in frames], frame_id=frame_id, stamp=stamp)
        response.actions = [action_to_message(a, frame_id=frame_id) for a in trajectory.actions]
        response.start_state, response.end_state = trajectory.start, trajectory.end

    def play_trajectory(self, request: Any, response: Any) -> None:
        """Start or stop the playback."""
        node = self.node
        if request.stop:
            node.topics.stop()
            return
        if not (request.rate == 0 or SLOWEST <= request.rate <= 1 / SLOWEST):
            text = f"rate must be 0 or a number from {SLOWEST:g} to {1 / SLOWEST:g}, got {request.rate}"
            raise PWError(text, code=ErrorCode.INVALID_DURATION)
        if node.gate.running == "rollout":
            raise PWError("a rollout uses the prediction topics", code=ErrorCode.BUSY)
        self.scene()
        trajectory, frames = self._readers.read(TrajectoryRequest(request.trajectory_id))
        actions = [action_to_message(a, frame_id=node.frames.frame_id) for a in trajectory.actions]
        node.topics.play(frames, actions, trajectory.id, rate=request.rate or 1.0, loop=request.loop)
        response.duration = float(trajectory.times[-1])
