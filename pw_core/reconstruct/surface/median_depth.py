"""Where the surface of a fitted entity is: before half of the light has stopped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pw_core.gaussians import Gaussians


@dataclass(frozen=True, kw_only=True)
class MedianDepthOptions:
    """Where the surface of a fog is."""

    stopped_share: float = 0.15
    """Of the light, at the surface."""


def fronted(gaussians: Gaussians, *, options: MedianDepthOptions = MedianDepthOptions()) -> Gaussians:
    """Gaussians whose median depth is where `stopped_share` of the light stops in those given.

    A photometric fit leaves a plain, opaque thing as a fog that thickens inwards: most of its Gaussians are faint, and
    half of the light stops millimetres behind the surface. With transmittance T to the power of k, half stops where
    1 - 0.5 ** (1 / k) did.
    """
    power = np.log(0.5) / np.log(1 - options.stopped_share)
    faint = 1 / (1 + np.exp(gaussians.opacities.astype(np.float64)))  # of the light that goes through
    through = np.clip(faint**power, 1e-6, 1 - 1e-6)
    return replace(gaussians, opacities=(np.log1p(-through) - np.log(through)).astype(np.float32))
