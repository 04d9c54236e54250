"""~/reconstruct and ~/cancel_reconstruct: pictures to scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.reconstruct import Inputs
from pw_ros.convert.inputs import request_to_inputs, with_lens
from pw_ros.convert.prompts import with_prompts
from pw_ros.convert.reports import entity_to_info
from pw_ros.convert.scene_config import yaml_to_config
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.services.answering import Readers, ServiceGroup
from pw_ros.worker.inputs import Allowed
from pw_ros.worker.process import Job
from pw_ros.worker.protocol import Event, Progressed
from pw_ros.worker.requests import ConfigRequest, Reconstructed, ReconstructRequest


class ReconstructServices(ServiceGroup):
    """One reconstruction at a time, and none beside a goal."""

    def __init__(self, node: NodeContext, readers: Readers) -> None:
        self._readers = readers
        self._running: Job[Reconstructed] | None = None
        super().__init__(node, {"Reconstruct": self.reconstruct, "CancelReconstruct": self.cancel_reconstruct})

    def reconstruct(self, request: Any, response: Any) -> None:
        """Blocks one thread of the executor's pool, while the worker does the work."""
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
            job = self._running = node.worker.submit(self._asked(request), on_event=self._heard)
            node.report(status="reconstructing", stage="starting", fraction=0.0)
            done = job.future.result()
            snapshot = self.scene()  # before others may select another
        finally:
            self._running = None
            if job is None or job.done:
                node.leave(held)
        if request.table_pose.header.frame_id:
            node.frames.place(request.table_pose)
        response.scene_id, response.state_id = done.scene_id, snapshot.head
        response.entities = [entity_to_info(e) for e in snapshot.entities]
        response.psnr, response.wall_time = done.psnr, done.wall_time
        response.route, response.scale_from, response.left_out = done.route, done.scale_from, list(done.left_out)
        response.doubts = list(done.doubts)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Progressed):
            self.node.report(status="reconstructing", stage=event.stage, fraction=event.fraction)

    def _asked(self, request: Any) -> ReconstructRequest:
        """A single photo's lens goes into the configuration."""
        config = self._config(request)
        inputs, uri = request_to_inputs(request, self.node.frames.to_world), ""
        if inputs is not None and request.input_uri:
            raise PWError("give pictures inline or an input_uri, not both", code=ErrorCode.INVALID_IMAGE)
        if inputs is not None and inputs.route == "photo":
            config = with_lens(config, inputs.views[0])
            photo = Inputs.of_photo(config, inputs.views[0].image)
            inputs = replace(photo, views=(replace(photo.views[0], valid=inputs.views[0].valid),))
        if request.input_uri:
            allowed = Allowed(self.node.get_parameter("input_roots").value, "input_uri", ErrorCode.INVALID_IMAGE)
            uri = str(allowed.path(request.input_uri))
        return ReconstructRequest(config=config, inputs=inputs, uri=uri, replace=bool(request.replace))

    def _config(self, request: Any) -> SceneConfig:
        if request.config_yaml:
            config = yaml_to_config(request.config_yaml)
        elif request.scene:
            config = self._readers.read(ConfigRequest(request.scene))
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

    def cancel_reconstruct(self, request: Any, response: Any) -> None:
        """Call off what runs."""
        job = self._running
        response.canceled = job is not None
        if job is not None:
            self.node.worker.cancel(job)
