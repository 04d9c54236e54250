"""Every sampler asks for the same points again with the same seed, stays in the cube, and finds what can be found."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import PlanError
from pw_core.plan.search import SAMPLERS, SearchOptions, make_sampler

GOAL = np.array([0.8, 0.15, 0.6])


def run(name: str, *, seed: int, generations: int = 20, bad: float = 0.0) -> tuple[float, np.ndarray]:
    sampler = make_sampler(SearchOptions(sampler=name, seed=seed, population=16), 3)
    asked, best = [], np.inf
    for _ in range(generations):
        points = sampler.ask()
        assert points.shape == (16, 3) and (points >= 0).all() and (points <= 1).all()
        costs = np.linalg.norm(points - GOAL, axis=1)
        costs[points[:, 0] < bad] = np.inf
        sampler.tell(points, costs)
        asked.append(points)
        best = min(best, costs.min())
    return best, np.concatenate(asked)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_same_seed_asks_for_the_same_points(name) -> None:
    assert (run(name, seed=3, generations=4)[1] == run(name, seed=3, generations=4)[1]).all()
    assert (run(name, seed=3, generations=4)[1] != run(name, seed=4, generations=4)[1]).any()


@pytest.mark.parametrize("name", ["cem", "mppi", "cma_es"])
@pytest.mark.parametrize("seed", range(3))
def test_searches_find_a_minimum_better_than_chance(name, seed) -> None:
    found, chance = run(name, seed=seed)[0], run("random", seed=seed)[0]
    assert found < 0.03 and found < chance


@pytest.mark.parametrize("name", ["cem", "mppi", "cma_es"])
def test_failed_points_do_not_stop_a_search(name) -> None:
    assert run(name, seed=0, bad=0.4)[0] < 0.05


def test_bad_options_are_refused() -> None:
    for options, text in (
        (SearchOptions(sampler="cmaes"), "cma_es"),
        (SearchOptions(population=1), "two candidates"),
    ):
        with pytest.raises(PlanError, match=text):
            make_sampler(options, 3)
    with pytest.raises(PlanError, match="two free numbers"):
        make_sampler(SearchOptions(sampler="cma_es"), 1)
