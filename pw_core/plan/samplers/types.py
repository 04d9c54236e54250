"""What every sampler does."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from pw_core.gaussians import F64


class Sampler(ABC):
    """Asks for points of the unit cube (d,) and learns from their costs. The same seed asks for the same points.

    Args:
        dimensions: d.
        population: points a generation.
        seed: of all chance in it.
        mean: where the search begins (d,); None: the middle.
        spread: how far from there it looks first, as a standard deviation in the unit cube.
    """

    name = ""

    def __init__(
        self, dimensions: int, *, population: int, seed: int, mean: F64 | None = None, spread: float = 0.3
    ) -> None:
        self.dimensions, self.population = dimensions, population
        self.rng = np.random.default_rng(seed)
        self.mean = np.full(dimensions, 0.5) if mean is None else np.clip(np.asarray(mean, np.float64), 0, 1)
        self.spread = spread

    @abstractmethod
    def ask(self) -> F64:
        """The next generation (population, d)."""

    @abstractmethod
    def tell(self, points: F64, costs: F64) -> None:
        """What those points (n, d) cost (n,); inf where one failed."""

    @property
    def converged(self) -> bool:
        """Whether going on would ask for the same place again."""
        return False
