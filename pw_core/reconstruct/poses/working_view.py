"""A picture with its camera, brought to the working size."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.image import working_size, working_valid
from pw_core.reconstruct.inputs import ViewInput
from pw_core.reconstruct.types import Mask, Rgb, View


def working_view(
    given: ViewInput, picture: Rgb, *, K: F64, viewmat: F64, width_px: int, valid: Mask | None = None
) -> View:
    """What was given as a view at the working width, with its depth.

    picture: as a pinhole camera K (3, 3) takes it; viewmat (4, 4): world to camera; valid (H, W): what of the
    picture was seen, None: what was given says it.
    """
    import cv2

    small = working_size(picture, width_px)
    camera = Camera(given.name, K, viewmat, picture.shape[1], picture.shape[0])
    camera = camera.resized(small.shape[1], small.shape[0])
    depth = given.depth
    if depth is not None:
        depth = cv2.resize(depth, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    valid = given.valid if valid is None else valid
    return View(given.name, small, camera, depth, working_valid(valid, (camera.width, camera.height)))
