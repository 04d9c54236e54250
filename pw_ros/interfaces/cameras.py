"""Which camera a request means."""

from __future__ import annotations

from typing import Any

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_msgs.msg import CameraView
from pw_ros.convert.cameras import messages_to_camera
from pw_ros.interfaces.context import NodeContext


def camera_of(node: NodeContext, view: CameraView) -> Camera:
    """The camera a request means: one of the scene's by name, or its own.

    Raises:
        PWError: UNKNOWN_CAMERA, INVALID_CAMERA, INVALID_FRAME.
    """
    if not view.camera_info.width:
        return node.camera(view.name)
    to_world = node.frames.to_world(view.pose.header.frame_id)
    return messages_to_camera(view.camera_info, view.pose.pose, name=view.name or "view", to_world=to_world)


def target_camera(node: NodeContext, view: Any) -> Camera:
    """As `camera_of`, with TARGET_CAMERA_UNKNOWN for a name that the scene does not have."""
    try:
        return camera_of(node, view)
    except PWError as error:
        if error.code != ErrorCode.UNKNOWN_CAMERA:
            raise
        raise PWError(str(error), code=ErrorCode.TARGET_CAMERA_UNKNOWN) from None
