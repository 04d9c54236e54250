"""The cross-entropy method (Rubinstein 1999; with elites kept and noise that is correlated along the sequence left out,
as in iCEM, Pinneri et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64
from pw_core.plan.samplers.types import Sampler


@dataclass(frozen=True, kw_only=True)
class CemOptions:
    """How the distribution is drawn to the elites."""

    elite_share: float = 0.2
    """Of a generation, whose mean and deviation the next one is drawn from."""
    kept_share: float = 0.3
    """Of the elites, tried again in the next generation: noise in one generation does not lose them."""
    smoothing: float = 0.2
    """Of the old mean and deviation that stays: four elites alone would narrow it too early."""
    least_spread: float = 0.01
    """Of each range: below it, a search has settled."""


class CEM(Sampler):
    """A normal distribution with a diagonal covariance, drawn to the best fifth of each generation."""

    name = "cem"

    def __init__(
        self, dimensions: int, *, population: int, seed: int, mean: F64 | None = None, spread: float = 0.3,
        options: CemOptions | None = None,
    ) -> None:  # fmt: skip
        super().__init__(dimensions, population=population, seed=seed, mean=mean, spread=spread)
        self.options = options or CemOptions()
        self.deviation = np.full(dimensions, spread)
        self._elites = np.zeros((0, dimensions))

    def ask(self) -> F64:
        """See Sampler: the mean itself is among them."""
        points = self.mean + self.deviation * self.rng.standard_normal((self.population, self.dimensions))
        points[0] = self.mean
        kept = self._elites[: math.ceil(self.options.kept_share * len(self._elites))]
        points[1 : 1 + len(kept)] = kept[: self.population - 1]
        return np.asarray(np.clip(points, 0, 1))

    def tell(self, points: F64, costs: F64) -> None:
        """See Sampler."""
        order = np.argsort(costs, kind="stable")
        order = order[np.isfinite(costs[order])]
        if not len(order):
            return
        self._elites = points[order[: max(2, math.ceil(self.options.elite_share * len(points)))]]
        mean, deviation = self._elites.mean(0), self._elites.std(0)
        stays = self.options.smoothing
        self.mean = stays * self.mean + (1 - stays) * mean
        self.deviation = np.maximum(stays * self.deviation + (1 - stays) * deviation, self.options.least_spread)

    @property
    def converged(self) -> bool:
        """See Sampler."""
        return bool((self.deviation <= self.options.least_spread).all())
