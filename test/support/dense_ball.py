"""The ball and its floor as opaque Gaussians on all that some cameras see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pw_core.gaussians import Camera, Gaussians
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.types import Mask, View
from support.ball import shot


def dense_ball(cameras: Sequence[Camera]) -> tuple[list[View], dict[str, Mask], Gaussians]:
    """Views, the ball's true masks, and opaque Gaussians on all that the views show."""
    views, masks, points = [], {}, []
    for cam in cameras:
        picture, depth, mask = shot(cam)
        views.append(View(cam.name, picture, cam))
        masks[cam.name] = mask
        y, x = (a.ravel() for a in np.mgrid[1 : cam.height : 2, 1 : cam.width : 2])
        points.append(cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64)))
    at = np.concatenate(points)
    gaussians = start(at, np.full((len(at), 3), 0.5), sh_degree=0)
    gaussians.opacities[:] = 4.0
    gaussians.log_scales[:] -= 0.7  # or the table would seem as high as they are thick
    return views, masks, gaussians
