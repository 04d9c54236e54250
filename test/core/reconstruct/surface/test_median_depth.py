"""The surface of a fog is where its light begins to stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.surface.median_depth import MedianDepthOptions, fronted
from support.ball import camera


def layers(opacity: float, *, count: int = 30, apart: float = 0.002) -> Gaussians:
    """Broad sheets one behind the other across the view, each as faint."""
    cam = camera(0.0)
    forward = cam.viewmat[2, :3]
    means = cam.centre + forward * (0.4 + apart * np.arange(count))[:, None]
    n = len(means)
    scales = np.full((n, 3), np.log(0.5))
    scales[:, 2] = np.log(1e-5)
    # The thin axis along the line of sight.
    turn = np.stack([cam.viewmat[0, :3], cam.viewmat[1, :3], forward], axis=1)
    from scipy.spatial.transform import Rotation

    quat = np.roll(Rotation.from_matrix(turn).as_quat(), 1)
    logit = np.full(n, np.log(opacity / (1 - opacity)))
    sh = np.zeros((n, 1, 3))
    return Gaussians(*(a.astype(np.float32) for a in (means, np.tile(quat, (n, 1)), scales, logit, sh)))


@pytest.mark.parametrize("opacity", [0.02, 0.1, 0.3])
def test_median_depth_is_where_its_share_stops(opacity: float) -> None:
    cam = camera(0.0)
    with torch.no_grad():
        drawn = draw_gaussians(fronted(layers(opacity)), cam, render_depth="median")
    depth = float(drawn.depth[0, cam.height // 2, cam.width // 2, 0])
    stopped = 1 - (1 - opacity) ** np.arange(1, 31)
    expected = 0.4 + 0.002 * int(np.argmax(stopped >= MedianDepthOptions().stopped_share))
    assert depth == pytest.approx(expected, abs=1e-3)


def test_what_is_opaque_or_clear_stays_so() -> None:
    sure = fronted(layers(0.999, count=1))
    assert 1 / (1 + np.exp(-sure.opacities[0])) > 0.998
    faint = fronted(layers(1e-6, count=1))
    assert 1 / (1 + np.exp(-faint.opacities[0])) < 1e-4
