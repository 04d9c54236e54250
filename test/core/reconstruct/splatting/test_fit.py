"""Which fit is gone, and how near a fit came to its pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.fit import fit, score
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.types import View
from support.ball import camera
from support.ball_floor import floor


def test_surfels_are_for_cuda_alone_and_that_is_said() -> None:
    first = start(np.eye(3), np.eye(3), sh_degree=0)
    with pytest.raises(ReconstructError, match="'2dgs' needs CUDA") as caught:
        fit([], first, ViewsSettings(model="2dgs", device="cpu"), progress=lambda s, f: None)
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_a_score_is_the_mean_over_views_of_what_is_drawn_and_what_should_be() -> None:
    views = []
    for angle in (0.0, 1.0):
        cam = camera(angle, name=f"v{angle}")
        drawn = draw_gaussians(floor(), cam).rgb[0].clamp(0, 1).numpy()
        views.append(View(cam.name, (255 * drawn).round().astype(np.uint8), cam))
    exact = score(views, floor())
    assert exact["psnr_db"] > 50 and exact["ssim"] > 0.999
    off = View("off", np.clip(views[1].image.astype(int) + 40, 0, 255).astype(np.uint8), views[1].camera)
    half = score([views[0], off], floor())
    alone = [score([v], floor()) for v in (views[0], off)]
    assert half["psnr_db"] == pytest.approx(np.mean([a["psnr_db"] for a in alone]))
    assert half["ssim"] == pytest.approx(np.mean([a["ssim"] for a in alone])) and half["psnr_db"] < exact["psnr_db"]
