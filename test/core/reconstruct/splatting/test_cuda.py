"""gsplat's strategy as the fit on CUDA uses it."""

from __future__ import annotations

import pytest
import torch


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
