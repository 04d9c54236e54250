"""Model predictive path integral control (Williams et al. 2017), as a search: each generation is averaged with weights
exp(-cost / temperature)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64
from pw_core.plan.samplers.types import Sampler


@dataclass(frozen=True, kw_only=True)
class MppiOptions:
    """How sharply the best count, and how fast the noise shrinks."""

    temperature: float = 0.3
    """Of the distance from the best to the median cost: costs have the user's unit."""
    shrink: float = 0.85
    """Of the noise, from generation to generation: a tenth of it after 14."""
    least_spread: float = 0.01
    """Of each range: below it, a search has settled."""


class MPPI(Sampler):
    """Draws about the weighted mean of what was drawn before; the noise shrinks from generation to generation."""

    name = "mppi"

    def __init__(
        self, dimensions: int, *, population: int, seed: int, mean: F64 | None = None, spread: float = 0.3,
        options: MppiOptions | None = None,
    ) -> None:  # fmt: skip
        super().__init__(dimensions, population=population, seed=seed, mean=mean, spread=spread)
        self.options = options or MppiOptions()
        self._now = spread

    def ask(self) -> F64:
        """See Sampler: the mean itself is among them."""
        points = self.mean + self._now * self.rng.standard_normal((self.population, self.dimensions))
        points[0] = self.mean
        return np.asarray(np.clip(points, 0, 1))

    def tell(self, points: F64, costs: F64) -> None:
        """See Sampler. The temperature is a share of the costs' own spread, since their unit is the user's."""
        good = np.isfinite(costs)
        if not good.any():
            return
        c = costs[good]
        scale = float(np.median(c) - c.min()) or float(c.max() - c.min()) or 1.0
        weight = np.exp(-(c - c.min()) / (self.options.temperature * scale))
        self.mean = np.asarray((weight[:, None] * points[good]).sum(0) / weight.sum())
        self._now = max(self.options.shrink * self._now, self.options.least_spread)

    @property
    def converged(self) -> bool:
        """See Sampler."""
        return self._now <= self.options.least_spread
