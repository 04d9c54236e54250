"""Where a fit starts, and how its Gaussians grow and shrink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pw_core.gaussians import SH_C0
from pw_core.reconstruct.splatting.parameters import DensifyOptions, Params, RateOptions, extent, start
from pw_core.reconstruct.types import View
from support.ball import camera, shot


def grid(n: int = 5, step: float = 0.1) -> np.ndarray:
    axis = step * np.arange(n)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def test_gaussians_start_as_wide_as_their_neighbours_are_away() -> None:
    points = grid()
    g = start(points, np.full_like(points, 0.8), sh_degree=2)
    assert np.allclose(np.exp(g.log_scales), 0.1, rtol=1e-5) and g.sh.shape == (125, 9, 3)
    assert np.allclose(0.5 + SH_C0 * g.sh[:, 0], 0.8, atol=1e-6) and (g.sh[:, 1:] == 0).all()
    assert np.allclose(1 / (1 + np.exp(-g.opacities)), 0.1, atol=1e-6)


def test_the_scenes_size_is_that_of_the_cameras_ring() -> None:
    views = [View(f"v{a}", shot(camera(a))[0], camera(a)) for a in (0.0, np.pi / 2, np.pi, 1.5 * np.pi)]
    assert extent(views) == pytest.approx(1.1 * 0.4)
    assert extent(views[:1]) == 1.0


def test_densification_begins_and_ends_in_proportion_to_the_steps() -> None:
    assert DensifyOptions().schedule(150) == (60, 30, 105)
    assert DensifyOptions().schedule(1600) == (200, 53, 1120)
    assert DensifyOptions().schedule(30_000) == (500, 100, 21_000)


@pytest.fixture
def params() -> Params:
    g = start(grid(), grid(), sh_degree=1)
    wide = g.log_scales.copy()
    wide[:10] = np.log(0.3)  # more than a hundredth of the scene, less than half
    wide[10:12] = np.log(3.0)  # more than half of it
    faint = g.opacities.copy()
    faint[12:15] = -9
    wide[15:] = np.log(0.001)
    return Params(replace(g, log_scales=wide, opacities=faint), 5.0, "cpu")


def test_what_is_wide_is_split_what_is_narrow_copied_what_is_huge_or_faint_dropped(params: Params) -> None:
    params.densify(torch.ones(125), 1000, seed=0)
    # 10 split into two each, 2 and 3 dropped, 110 copied.
    assert params.n == 20 + 2 * 110
    widths = torch.exp(params.tensors["log_scales"]).max(1).values
    assert int((widths > 0.1).sum()) == 20 and float(widths.max()) == pytest.approx(0.3 / 1.6, rel=1e-5)


def test_no_more_stay_than_the_budget_and_those_grow_whose_gradient_is_steepest(params: Params) -> None:
    steep = torch.linspace(1, 2, 125)
    first = params.tensors["means"].detach().clone()
    params.densify(steep, 124, seed=0)
    assert params.n == 124
    means = params.tensors["means"].detach()
    twice = torch.tensor([int((means == row).all(1).sum()) == 2 for row in first])
    assert twice[-4:].all() and not twice[:-4].any()


def test_adam_forgets_what_is_new_and_keeps_what_stays(params: Params) -> None:
    sum(t.sum() for t in params.tensors.values()).backward()
    params.step(0, 100)
    params.densify(torch.zeros(125), 1000, seed=0)
    assert params.n == 120
    state = params.optimiser.state[params.tensors["means"]]
    assert state["exp_avg"].shape == (120, 3) and (state["exp_avg"] != 0).all()


def test_the_means_rate_is_in_sizes_of_the_scene_and_falls_to_a_hundredth(params: Params) -> None:
    assert params.means_rate(0, 100) == pytest.approx(5 * RateOptions().means)
    assert params.means_rate(100, 100) == pytest.approx(0.05 * RateOptions().means)
