"""The fit on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.config import ViewsSettings
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.fit import fit
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.types import View
from support.ball import camera, shot


def test_a_fit_writes_to_none_of_the_arrays_it_is_given() -> None:
    cam = camera(0.0, name="v0")
    picture, depth, _ = shot(cam)
    y, x = (a.ravel() for a in np.mgrid[2 : cam.height : 12, 2 : cam.width : 12])
    at = cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64))
    first = start(at, np.full((len(at), 3), 0.5), sh_degree=0)
    before = {k: v.copy() for k, v in first.arrays().items()}
    found = fit([View("v0", picture, cam)], first, ViewsSettings(steps=10, device="cpu"), progress=lambda *_: None)
    assert all(np.array_equal(v, before[k]) for k, v in first.arrays().items())
    assert not np.array_equal(found.gaussians.means, first.means)


@pytest.mark.slow
def test_dark_things_are_fitted_opaque() -> None:
    """Drawn on black, half-transparent Gaussians would do for them (a third of the pixels is opaque then)."""
    views, points = [], []
    for i in range(5):
        cam = camera(2 * np.pi * i / 5, name=f"v{i}")
        picture, depth, _ = shot(cam)
        views.append(View(cam.name, (0.3 * picture).astype(np.uint8), cam))
        y, x = (a.ravel() for a in np.mgrid[2 : cam.height : 9, 2 : cam.width : 9])
        points.append(cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64)))
    at = np.concatenate(points)
    first = start(at, np.full((len(at), 3), 0.15), sh_degree=0)
    found = fit(views, first, ViewsSettings(steps=150, device="cpu", max_gaussians=6000), progress=lambda *_: None)
    alpha = torch.stack([draw_gaussians(found.gaussians, v.camera).alpha[0] for v in views])
    assert found.psnr_db > 27
    assert (alpha > 0.95).float().mean() > 0.85
