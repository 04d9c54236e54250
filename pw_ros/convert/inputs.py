"""What a reconstruct request holds of pictures, as inputs of the core: pure functions that need no node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, ImageError, PWError
from pw_core.media.pictures import Picture
from pw_core.reconstruct import Inputs, ViewInput
from pw_ros.convert.cameras import camera_info_to_intrinsics, lens_of, undistort
from pw_ros.convert.geometry import pose_to_matrix
from pw_ros.convert.images import depth_to_metres, image_to_numpy, message_to_picture

OFF_CENTRE = 0.05
ToWorld = Callable[[str], NDArray[np.float64] | None]
"""The transform (4, 4) from a frame to the scene's; None where they are the same."""


def request_to_inputs(request: Any, to_world: ToWorld) -> Inputs | None:
    """The inline pictures, with the intrinsics, poses [m] and depth that came along; None where there are none.

    Pictures are called image_000.png and so on, raw ones first. Distortion is taken out of picture and depth.

    Raises:
        PWError: INVALID_IMAGE, INVALID_CAMERA, INVALID_FRAME; the message says which of them and why.
    """
    pictures: list[tuple[str, Any]] = [(f"images[{i}]", m) for i, m in enumerate(request.images)]
    pictures += [(f"compressed_images[{i}]", m) for i, m in enumerate(request.compressed_images)]
    for field in ("camera_infos", "camera_poses", "depths"):
        count = len(getattr(request, field))
        if count not in (0, len(pictures)):
            raise PWError(f"{field}: {count} for {len(pictures)} pictures; give one each, or none",
                          code=ErrorCode.INVALID_IMAGE)  # fmt: skip
    if request.camera_poses and not request.camera_infos:
        raise PWError("camera_poses need camera_infos: a pose without intrinsics places nothing",
                      code=ErrorCode.INVALID_CAMERA)  # fmt: skip
    if not pictures:
        return None
    views = []
    for i, (what, message) in enumerate(pictures):
        try:
            views.append(_view(i, message_to_picture(message), request, to_world))
        except PWError as error:
            raise PWError(f"{what}: {error}", code=error.code) from None
    return Inputs(tuple(views))


def _view(i: int, given: Picture, request: Any, to_world: ToWorld) -> ViewInput:
    depth = K = viewmat = None
    picture, valid = given.rgb, given.valid
    if request.depths:
        try:
            depth = np.nan_to_num(depth_to_metres(image_to_numpy(request.depths[i])), nan=0.0)
        except ImageError as error:
            raise PWError(f"depths[{i}]: {error}", code=error.code) from None
    if request.camera_infos:
        info = request.camera_infos[i]
        if lens_of(info) is not None:
            picture, lens, seen = undistort(picture, info)
            depth = None if depth is None else undistort(depth, info)[0]
            if valid is not None:
                shown = undistort(valid.astype(np.float32), info)[0] > 0
                seen = shown if seen is None else seen & shown
            valid = seen
        else:
            lens = camera_info_to_intrinsics(info)
        height, width = picture.shape[:2]
        if (lens.width, lens.height) != (width, height):
            raise PWError(f"camera_infos[{i}] is of {lens.width} x {lens.height} px, the picture of {width} x {height}",
                          code=ErrorCode.INVALID_CAMERA)  # fmt: skip
        K = lens.K
    if request.camera_poses:
        pose = request.camera_poses[i]
        placed = pose_to_matrix(pose.pose, what=f"camera_poses[{i}]", code=ErrorCode.INVALID_CAMERA)
        world = to_world(pose.header.frame_id)
        viewmat = np.asarray(np.linalg.inv(placed if world is None else world @ placed), dtype=np.float64)
    return ViewInput(f"image_{i:03d}.png", picture, depth, K, viewmat, given.focal_px, valid)


def with_lens(config: SceneConfig, view: ViewInput) -> SceneConfig:
    """The configuration with the field of view of the intrinsics that came with a single photo, if they did.

    Raises:
        PWError (INVALID_CAMERA): a pose, which the lift has no use for, or a centre far from the picture's.
    """
    if view.viewmat is not None:
        raise PWError(
            "camera_poses: the lift of a single photo has the camera's height and pitch from the scene's "
            "configuration; leave the pose out, or give a depth image", code=ErrorCode.INVALID_CAMERA,
        )  # fmt: skip
    if view.K is None:
        return config
    height, width = view.image.shape[:2]
    off = np.abs(view.K[:2, 2] / (width, height) - 0.5)
    if off.max() > OFF_CENTRE:
        raise PWError(
            f"camera_infos[0]: the optical centre is {100 * off.max():.0f} % of the picture away from its middle; the "
            "lift of a single photo takes only whole pictures", code=ErrorCode.INVALID_CAMERA,
        )  # fmt: skip
    hfov = float(np.degrees(2 * np.arctan(width / 2 / view.K[0, 0])))
    return config.model_copy(update={"camera": config.camera.model_copy(update={"hfov_deg": hfov})})
