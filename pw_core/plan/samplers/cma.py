"""CMA-ES (Hansen 2016, "The CMA evolution strategy: a tutorial") by the package `cmaes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.gaussians import F64
from pw_core.plan.samplers.types import Sampler


class CMAES(Sampler):
    """A normal distribution whose whole covariance is learnt; needs two free numbers or more.

    Raises:
        ValueError: one dimension only.
    """

    name = "cma_es"

    def __init__(
        self, dimensions: int, *, population: int, seed: int, mean: F64 | None = None, spread: float = 0.3
    ) -> None:
        super().__init__(dimensions, population=population, seed=seed, mean=mean, spread=spread)
        from cmaes import CMA

        if dimensions < 2:
            raise ValueError("CMA-ES needs two free numbers or more; use cem or mppi for one")
        bounds = np.tile([0.0, 1.0], (dimensions, 1))
        self._search: Any = CMA(
            mean=np.clip(self.mean, 0.01, 0.99), sigma=spread, bounds=bounds, seed=seed, population_size=population
        )

    def ask(self) -> F64:
        """See Sampler."""
        return np.stack([self._search.ask() for _ in range(self.population)])

    def tell(self, points: F64, costs: F64) -> None:
        """See Sampler. What failed counts as worse than the worst that did not."""
        good = costs[np.isfinite(costs)]
        worst = 2 * abs(good.max()) + 1 if len(good) else 1.0
        self._search.tell([(p, float(c) if np.isfinite(c) else worst) for p, c in zip(points, costs)])

    @property
    def converged(self) -> bool:
        """See Sampler."""
        return bool(self._search.should_stop())
