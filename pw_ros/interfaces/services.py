"""The services: read the request, ask the worker, write the answer; errors go into the same two fields everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_msgs import srv
from pw_msgs.msg import ReplacedScene, SceneInfo
from pw_ros.convert.actions import action_to_message
from pw_ros.convert.cameras import camera_to_info
from pw_ros.convert.clouds import particles_to_cloud
from pw_ros.convert.geometry import seconds_to_time, time_after
from pw_ros.convert.images import numpy_to_compressed, numpy_to_image
from pw_ros.convert.inputs import request_to_inputs, with_lens
from pw_ros.convert.prompts import with_prompts
from pw_ros.convert.reports import entity_to_info, state_to_info
from pw_ros.convert.scene_config import yaml_to_config
from pw_ros.interfaces.frames import optical_frame
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.rollout import camera_of, frames_to_tracks
from pw_ros.worker.inputs import Allowed
from pw_ros.worker.protocol import Snapshot

if TYPE_CHECKING:
    from pw_ros.node import WorldNode

READ_TIMEOUT = 60.0
"""[s] a call that only reads waits for the worker before it answers BUSY."""
PATIENCE = 5.0
"""[s] a service waits for a running goal that is to move the head too, before it answers BUSY."""
MAX_READERS = 6
"""Calls that may wait for the worker at a time, so that they never take all of the executor's threads."""


class Services:
    """All services of the node but the action's."""

    def __init__(self, node: WorldNode) -> None:
        self.node = node
        self._readers = threading.Semaphore(MAX_READERS)
        self._reconstruction: Any = None
        for name in (
            "Reconstruct", "CancelReconstruct", "RenderView", "GetTrajectory", "PlayTrajectory", "Commit", "ListStates",
            "DeleteState", "SaveState", "RestoreState", "Reset", "ListScenes", "SelectScene",
            "RestoreScene", "Record",
        ):  # fmt: skip
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
            node.create_service(
                getattr(srv, name), f"~/{snake}", self._guard(getattr(self, snake)), callback_group=node.group
            )

    def _guard(self, handler: Callable[[Any, Any], None]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            try:
                if self.node.closing:
                    raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
                handler(request, response)
            except PWError as error:
                response.error_code, response.error_msg = int(error.code), str(error)
            except Exception as error:
                self.node.get_logger().error(f"{handler.__name__}: {type(error).__name__}: {error}")
                response.error_code = int(ErrorCode.NODE_UNKNOWN)
                response.error_msg = f"{handler.__name__}: {type(error).__name__}: {error}"
            return response

        return answer

    def _read(self, operation: str, *, timeout: float = READ_TIMEOUT, **arguments: Any) -> Any:
        if not self._readers.acquire(blocking=False):
            raise PWError(f"{operation}: {MAX_READERS} calls wait for the worker already", code=ErrorCode.BUSY)
        try:
            return self.node.worker.call(operation, timeout=timeout, **arguments)
        finally:
            self._readers.release()

    def _move(self, operation: str, *, alone: bool = False, **arguments: Any) -> Any:
        """Do what changes the head, or (`alone`) the scene: at once, or after the running goal where that is about to
        move the head too."""
        wanted = Pass(operation, alone=alone, moves_head=True, service=True)
        self.node.enter(wanted, wait=self.node.get_parameter("busy_policy").value == "wait", patience=PATIENCE)
        try:
            return self.node.worker.call(operation, **arguments)
        finally:
            self.node.leave(wanted)

    def _scene(self) -> Snapshot:
        snapshot = self.node.worker.snapshot
        if not snapshot.scene_id:
            raise PWError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        return snapshot

    # --- reconstruct --------------------------------------------------------------------------------------------------

    def reconstruct(self, request: Any, response: Any) -> None:
        """Pictures to scene; blocks one thread of the executor's pool, while the worker does the work."""
        node = self.node
        if request.world_frame not in ("", node.frames.frame_id):
            raise PWError(
                f"world_frame '{request.world_frame}' is not the node's parameter frame_id '{node.frames.frame_id}'",
                code=ErrorCode.INVALID_FRAME,
            )
        if request.table_pose.header.frame_id:
            node.frames.check_place(request.table_pose)
        held = Pass("reconstruct")
        node.enter(held, wait=False)
        job = None
        try:
            config = self._config(request)
            config, pictures = self._pictures(request, config)
            job = self._reconstruction = node.worker.submit(
                "reconstruct",
                on_event=lambda _, v: node.report(status="reconstructing", stage=v[0], fraction=v[1]),
                config=config,
                replace=bool(request.replace),
                **pictures,
            )
            node.report(status="reconstructing", stage="starting", fraction=0.0)
            done = job.future.result()
        finally:
            self._reconstruction = None
            if job is None or job.done:
                node.leave(held)
        if request.table_pose.header.frame_id:
            node.frames.place(request.table_pose)
        snapshot = self._scene()
        response.scene_id, response.state_id = done["scene_id"], snapshot.head
        response.entities = [entity_to_info(e) for e in snapshot.entities]
        response.psnr, response.wall_time = float(done["psnr"]), float(done["wall_time"])
        response.route, response.scale_from, response.left_out = done["route"], done["scale_from"], done["left_out"]

    def _config(self, request: Any) -> SceneConfig:
        if request.config_yaml:
            config = yaml_to_config(request.config_yaml)
        elif request.scene:
            config = self._read("config", name=request.scene)
        else:
            raise PWError(
                "give the name of a scene configuration in `scene`, or one in `config_yaml`",
                code=ErrorCode.INVALID_CONFIG,
            )
        config = with_prompts(config, request.entities)
        if request.scene_id:
            fields = {**config.model_dump(exclude_unset=True), "name": request.scene_id}
            config = SceneConfig.parse(fields, source="scene_id")
        return config

    def _pictures(self, request: Any, config: SceneConfig) -> tuple[SceneConfig, dict[str, Any]]:
        """For the worker: `photo`, `inputs`, `uri` or nothing; a single photo's lens goes into the configuration."""
        inputs = request_to_inputs(request, self.node.frames.to_world)
        if inputs is not None and request.input_uri:
            raise PWError("give pictures inline or an input_uri, not both", code=ErrorCode.INVALID_IMAGE)
        if inputs is not None and inputs.route == "photo":
            return with_lens(config, inputs.views[0]), {"photo": inputs.views[0].image}
        if inputs is not None:
            return config, {"inputs": inputs}
        if not request.input_uri:
            return config, {}
        allowed = Allowed(self.node.get_parameter("input_roots").value, "input_uri", ErrorCode.INVALID_IMAGE)
        return config, {"uri": str(allowed.path(request.input_uri))}

    def cancel_reconstruct(self, request: Any, response: Any) -> None:
        """Call off what runs."""
        job = self._reconstruction
        response.canceled = job is not None
        if job is not None:
            self.node.worker.cancel(job)

    # --- looking ------------------------------------------------------------------------------------------------------

    def render_view(self, request: Any, response: Any) -> None:
        """A picture of a state, or of an instant of a trajectory."""
        node = self.node
        how = request.format or "raw"
        if how not in ("raw", "jpeg", "png"):
            raise PWError(f"format '{how}' is none of raw, jpeg, png", code=ErrorCode.INVALID_VIEW)
        snapshot = self._scene()
        camera = camera_of(node, request.view)
        if request.state_id and request.trajectory_id:
            raise PWError("give state_id or trajectory_id, not both", code=ErrorCode.INVALID_VIEW)
        stamp, frame = node.now(), optical_frame(camera.name)
        view = self._read(
            "render",
            timeout=float(node.get_parameter("render_timeout").value),
            camera=camera,
            state=request.state_id,
            trajectory=request.trajectory_id,
            time_s=float(request.time),
            depth=bool(request.with_depth),
        )
        if how == "raw":
            response.image = numpy_to_image(view.rgb, frame_id=frame, stamp=stamp)
        else:
            quality = int(node.get_parameter("jpeg_quality").value)
            response.compressed = numpy_to_compressed(
                view.rgb, format=how, quality=quality, frame_id=frame, stamp=stamp
            )
        if request.with_depth:
            response.depth = numpy_to_image(view.depth, frame_id=frame, stamp=stamp)
        response.camera_info = camera_to_info(camera, frame_id=frame, stamp=stamp)
        response.state_id = "" if request.trajectory_id else request.state_id or snapshot.head

    def get_trajectory(self, request: Any, response: Any) -> None:
        """Frames as clouds, and tracks."""
        snapshot, node = self._scene(), self.node
        chosen = slice(None)
        if request.entity:
            slices = {e.name: e.particles for e in snapshot.entities}
            if request.entity not in slices:
                raise PWError(
                    f"entity '{request.entity}' is none of {', '.join(slices)}", code=ErrorCode.UNKNOWN_ENTITY
                )
            chosen = slices[request.entity]
        trajectory, frames = self._read("trajectory", trajectory=request.trajectory_id)
        end = request.end or float("inf")
        frames = [f for f in frames if request.start - 1e-9 <= f.time_s <= end + 1e-9][:: max(request.stride, 1)]
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
            response.tracks = frames_to_tracks(frames, frame_id=frame_id, stamp=stamp)
        response.actions = [action_to_message(a, frame_id=frame_id) for a in trajectory.actions]
        response.start_state, response.end_state = trajectory.start, trajectory.end

    def play_trajectory(self, request: Any, response: Any) -> None:
        """Start or stop the playback."""
        node = self.node
        if request.stop:
            node.topics.stop()
            return
        if not (np.isfinite(request.rate) and request.rate >= 0):
            raise PWError(f"rate must be a number >= 0, got {request.rate}", code=ErrorCode.INVALID_DURATION)
        if node.gate.running == "rollout":
            raise PWError("a rollout uses the prediction topics", code=ErrorCode.BUSY)
        self._scene()
        trajectory, frames = self._read("trajectory", trajectory=request.trajectory_id)
        actions = [action_to_message(a, frame_id=node.frames.frame_id) for a in trajectory.actions]
        node.topics.play(frames, actions, trajectory.id, rate=request.rate or 1.0, loop=request.loop)
        response.duration = float(trajectory.times[-1])

    def record(self, request: Any, response: Any) -> None:
        """Start, stop or forget the recording of camera topics, or tell what there is."""
        self.node.recorder.answer(request, response)

    # --- states and scenes --------------------------------------------------------------------------------------------

    def commit(self, request: Any, response: Any) -> None:
        """Move the head."""
        done = self._move("commit", state_id=request.state_id)
        response.state_id, response.previous_head = done["state_id"], done["previous_head"]

    def restore_state(self, request: Any, response: Any) -> None:
        """Move the head, to a state on disk too."""
        done = self._move("restore", state_id=request.state_id)
        response.state_id, response.previous_head = done["state_id"], done["previous_head"]

    def list_states(self, request: Any, response: Any) -> None:
        """From the last snapshot, so it answers while anything runs."""
        snapshot = self._scene()
        if request.scene_id not in ("", snapshot.scene_id):
            raise PWError(
                f"scene '{request.scene_id}' is not the selected one, '{snapshot.scene_id}': select it first",
                code=ErrorCode.UNKNOWN_SCENE,
            )
        response.states = [
            state_to_info(
                s,
                committed=s.id in snapshot.committed,
                head=s.id == snapshot.head,
                saved=s.id in snapshot.committed or bool(s.label),
            )
            for s in snapshot.states
        ]
        response.head_state = snapshot.head

    def delete_state(self, request: Any, response: Any) -> None:
        """Forget states."""
        response.deleted = self.node.worker.call("delete", state_id=request.state_id, recursive=request.recursive)

    def save_state(self, request: Any, response: Any) -> None:
        """Keep a state."""
        response.state_id = self.node.worker.call("save", state_id=request.state_id, label=request.label)
        response.path = f"{self._scene().scene_id}/states/{response.state_id}.safetensors"

    def reset(self, request: Any, response: Any) -> None:
        """Back to the reconstruction."""
        response.state_id = self._move("reset", drop_uncommitted=request.drop_uncommitted)

    def list_scenes(self, request: Any, response: Any) -> None:
        """Of the store and the configurations, and what was replaced."""
        snapshot = self.node.worker.snapshot
        for entry in self.node.worker.call("scenes", timeout=READ_TIMEOUT):
            if entry.id == snapshot.scene_id and entry.reconstructed:
                response.scenes.append(self._info(snapshot))
            else:
                response.scenes.append(
                    SceneInfo(
                        scene_id=entry.id,
                        title=entry.title,
                        reconstructed=entry.reconstructed,
                        created=seconds_to_time(entry.created),
                    )
                )
        response.replaced = [
            ReplacedScene(
                id=r.id, scene_id=r.scene_id, replaced=seconds_to_time(r.replaced), states=r.states, size=r.size
            )
            for r in self.node.worker.call("replaced", timeout=READ_TIMEOUT)
        ]
        response.selected = snapshot.scene_id

    def restore_scene(self, request: Any, response: Any) -> None:
        """Put a replaced scene back and work on it."""
        self._move("restore_replaced", alone=True, replaced_id=request.id, replace=request.replace)
        response.scene = self._info(self._scene())

    def select_scene(self, request: Any, response: Any) -> None:
        """Work on another scene."""
        self._move("select", alone=True, scene_id=request.scene_id)
        response.scene = self._info(self._scene())

    def _info(self, snapshot: Snapshot) -> SceneInfo:
        return SceneInfo(
            scene_id=snapshot.scene_id,
            title=snapshot.title,
            reconstructed=True,
            selected=True,
            frame_id=self.node.frames.frame_id,
            head_state=snapshot.head,
            cameras=[c.name for c in snapshot.cameras],
            entities=[entity_to_info(e) for e in snapshot.entities],
            created=seconds_to_time(snapshot.created),
        )
