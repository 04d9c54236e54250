"""What a refinement says while it runs and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pw_core.calibrate.gauss_newton import Estimate
from pw_core.gaussians import F32
from pw_core.scene import AppearanceParameters, PhysicsState


@dataclass(frozen=True)
class RefineStep:
    """How far it is: stage, iteration of iterations in it, fraction of all, loss and PSNR [dB] of the last iteration
    (NaN where there are none), eta_s [s] of wall time left (-1: not known)."""

    stage: str
    iteration: int
    iterations: int
    fraction: float
    loss: float
    psnr: float
    eta_s: float


@dataclass(frozen=True)
class Correction:
    """What came of it: the corrected end, positions [m] (T, J, 3) and bodies (T, 13) of the corrected trajectory,
    figures before and after, and the constants that were fitted."""

    physics: PhysicsState
    appearance: AppearanceParameters
    positions: F32
    bodies: dict[str, Any]
    parameters: dict[str, float]
    estimates: tuple[Estimate, ...]
    figures: dict[str, float]
    views: dict[str, Any]


class Instant(NamedTuple):
    """One frame of the trajectory as corrected so far: enough to draw it, and its time [s]."""

    physics: PhysicsState
    appearance: AppearanceParameters
    time_s: float
