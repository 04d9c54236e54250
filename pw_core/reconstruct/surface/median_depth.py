"""Where the surface of a fitted entity is: before half of the light has stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.gaussians import Gaussians

FRONT = 0.15
"""Share of the light that has stopped at the surface."""


def fronted(gaussians: Gaussians) -> Gaussians:
    """Gaussians whose median depth is where `FRONT` of the light stops in those given.

    A photometric fit leaves a plain, opaque thing as a fog that thickens inwards: most of its Gaussians are faint, and
    half of the light stops millimetres behind the surface. With transmittance T to the power of k, half stops where
    1 - 0.5 ** (1 / k) did.
    """
    power = np.log(0.5) / np.log(1 - FRONT)
    faint = 1 / (1 + np.exp(gaussians.opacities.astype(np.float64)))  # of the light that goes through
    through = np.clip(faint**power, 1e-6, 1 - 1e-6)
    return replace(gaussians, opacities=(np.log1p(-through) - np.log(through)).astype(np.float32))
