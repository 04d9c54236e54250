"""Pictures to a scene, as the worker does it: progress out as events. No ROS here."""

from __future__ import annotations

import time

from pw_core.errors import ErrorCode, ReconstructError
from pw_ros.worker.context import Context
from pw_ros.worker.inputs import Allowed, opened
from pw_ros.worker.protocol import Progressed
from pw_ros.worker.requests import Reconstructed, ReconstructRequest


def reconstruct(context: Context, request: ReconstructRequest) -> Reconstructed:
    """See ReconstructRequest."""
    from pw_core.reconstruct import Inputs, describe_route
    from pw_core.reconstruct.report.outcome import Outcome

    world, desk, config, inputs = context.world, context.desk, request.config, request.inputs
    views, began = config.reconstruct.views, time.monotonic()
    world.store.check_free(config.name, replace=request.replace)
    if request.uri:
        with opened(request.uri, Allowed(context.input_roots, "input_uri", ErrorCode.INVALID_IMAGE)) as path:
            inputs = Inputs.load(path, max_frames=views.max_frames, depth_scale=views.depth_scale)
    route = describe_route(config, inputs)

    def progress(stage: str, fraction: float) -> None:
        desk.event(Progressed(f"{route}: {stage}", fraction))
        desk.serve()
        if desk.canceled:
            raise ReconstructError("called off through ~/cancel_reconstruct", code=ErrorCode.RECONSTRUCT_CANCELED)

    scene = world.reconstruct(config, inputs=inputs, replace=request.replace, progress=progress)
    outcome = Outcome.of(scene)
    return Reconstructed(
        scene_id=scene.id, wall_time=time.monotonic() - began, route=route, psnr=outcome.psnr_db,
        scale_from=outcome.scale_from, left_out=outcome.left_out, doubts=outcome.doubts,
    )  # fmt: skip
