"""Parts of the photometric fit that can be held against others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pw_core.config import ViewsSettings
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.splatting.checkpoint import resume, write_checkpoint
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.reconstruct.splatting.fit import fit
from pw_core.reconstruct.splatting.parameters import start
from pw_core.reconstruct.types import View
from support.ball import camera, shot


def test_the_masked_strategy_sums_what_gsplats_own_sums() -> None:
    gsplat = pytest.importorskip("gsplat")
    from pw_core.reconstruct.splatting.cuda import _strategy

    torch.manual_seed(0)
    params = {"means": torch.zeros(50, 3)}
    sums = []
    for strategy in (_strategy("means2d"), gsplat.DefaultStrategy()):
        state = strategy.initialize_state(scene_scale=1.0)
        for seed in range(3):
            torch.manual_seed(seed)
            at = torch.zeros(1, 50, 2, requires_grad=True)
            at.grad = torch.randn(1, 50, 2)
            radii = torch.randint(-1, 4, (1, 50, 2))
            info = {"means2d": at, "radii": radii, "width": 64, "height": 40, "n_cameras": 1, "gaussian_ids": None}
            strategy._update_state(params, state, info)
        sums.append(state)
    assert torch.allclose(sums[0]["grad2d"], sums[1]["grad2d"], rtol=1e-5)
    assert torch.equal(sums[0]["count"], sums[1]["count"]) and sums[0]["count"].max() > 0


def test_the_number_of_gaussians_has_a_limit_on_cuda_too() -> None:
    pytest.importorskip("gsplat")
    from pw_core.reconstruct.splatting.cuda import _strategy

    def grown(most: int) -> tuple[int, torch.Tensor]:
        """How many of 40 there are after those grow whose gradient is above gsplat's threshold, which is all; and which
        of them did."""
        torch.manual_seed(0)
        shapes = {"means": 3, "scales": 3, "quats": 4, "opacities": 0, "sh0": 3}
        params = torch.nn.ParameterDict({
            k: torch.nn.Parameter(torch.randn(40, n) if n else torch.randn(40)) for k, n in shapes.items()
        })  # fmt: skip
        first = params["means"].detach().clone()
        params["scales"].data[:] = -8.0  # small: duplicated, not split
        optimisers = {k: torch.optim.Adam([{"params": [v], "name": k}]) for k, v in params.items()}
        strategy = _strategy("means2d", most=most)
        state = strategy.initialize_state(scene_scale=1.0)
        state["grad2d"], state["count"] = 1.0 + torch.arange(40.0), torch.ones(40)
        strategy._grow_gs(params, optimisers, state, 0)
        means = params["means"].detach()
        return len(means), torch.tensor([int((means == row).all(-1).sum()) > 1 for row in first])

    assert grown(0)[0] == 80 and grown(1000)[0] == 80
    count, which = grown(50)
    assert count == 50 and which[30:].all() and not which[:30].any()
    assert grown(30)[0] == 40


def test_a_checkpoint_keeps_steps_seconds_and_error(tmp_path: Path) -> None:
    one = Gaussians(*(np.ones(s, np.float32) for s in ((2, 3), (2, 4), (2, 3), (2,), (2, 1, 3))))
    assert resume(tmp_path / "fit.safetensors", one) == (one, 0, 0.0, [])
    write_checkpoint(tmp_path / "fit.safetensors", one, 7, 12.5, 0.25)
    gaussians, steps, seconds, errors = resume(tmp_path / "fit.safetensors", one[:0])
    assert (len(gaussians), steps, seconds, errors) == (2, 7, 12.5, [0.25])
    assert [f.name for f in tmp_path.iterdir()] == ["fit.safetensors"]


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
