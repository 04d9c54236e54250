"""Parts of the photometric fit that can be held against others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.views.fit import resume, write_checkpoint


def test_the_masked_strategy_sums_what_gsplats_own_sums() -> None:
    gsplat = pytest.importorskip("gsplat")
    from pw_core.reconstruct.views.fit_cuda import _strategy

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


def test_a_checkpoint_keeps_steps_seconds_and_error(tmp_path: Path) -> None:
    one = Gaussians(*(np.ones(s, np.float32) for s in ((2, 3), (2, 4), (2, 3), (2,), (2, 1, 3))))
    assert resume(tmp_path / "fit.safetensors", one) == (one, 0, 0.0, [])
    write_checkpoint(tmp_path / "fit.safetensors", one, 7, 12.5, 0.25)
    gaussians, steps, seconds, errors = resume(tmp_path / "fit.safetensors", one[:0])
    assert (len(gaussians), steps, seconds, errors) == (2, 7, 12.5, [0.25])
    assert [f.name for f in tmp_path.iterdir()] == ["fit.safetensors"]
