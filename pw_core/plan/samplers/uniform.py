"""Points drawn evenly: what a search must beat."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import F64
from pw_core.plan.samplers.types import Sampler


class Uniform(Sampler):
    """Evenly over the unit cube; learns nothing."""

    name = "random"

    def ask(self) -> F64:
        """See Sampler."""
        return np.asarray(self.rng.uniform(size=(self.population, self.dimensions)))

    def tell(self, points: F64, costs: F64) -> None:
        """Ignored."""
