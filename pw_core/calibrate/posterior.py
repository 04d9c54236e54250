"""What is believed of the constants from one refinement to the next: their covariance, not only their errors.

One film rarely tells everything: a body pushed by an unknown wind over a floor of unknown friction goes as far as one
with less of both. What it does tell is the combination, and the next film, of another push, tells another. So errors
and correlations go with the state, as figures, and the next fit begins from them (a Kalman filter over rounds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.calibrate.constants import unit_of
from pw_core.gaussians import F64

SPREAD = 1.0
"""Prior standard deviation, in the units of `unit_of`: of the logarithm of a positive constant, or 2 m/s² of wind."""
DRIFT = 0.05
"""Added to it (as a variance) before the next fit: the same constant need not serve the next motion as well."""


@dataclass(frozen=True)
class Belief:
    """Covariance (P, P) of the constants `names`, in the units of `unit_of`."""

    names: tuple[str, ...]
    covariance: F64

    @classmethod
    def read(cls, figures: dict[str, float], names: Sequence[str]) -> Belief:
        """What a state's figures hold of these constants; `SPREAD` and no correlation where they hold none."""
        error = np.array([figures.get(_error(n), SPREAD * unit_of(n)) / unit_of(n) for n in names])
        together = np.eye(len(names))
        for i, a in enumerate(names):
            for j, b in enumerate(names[:i]):
                together[i, j] = together[j, i] = figures.get(_correlation(a, b), figures.get(_correlation(b, a), 0.0))
        known = np.array([_error(n) in figures for n in names])
        covariance = together * np.outer(error, error) + np.diag(np.where(known, DRIFT**2, 0.0))
        # Never less certain than if nothing had been seen.
        scale = np.minimum(1, SPREAD / np.sqrt(np.diag(covariance)))
        return cls(tuple(names), np.asarray(covariance * np.outer(scale, scale)))

    @property
    def errors(self) -> F64:
        """Standard deviations (P,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def figures(self) -> dict[str, float]:
        """As a state's figures hold it: errors relative, of wind [m/s²]."""
        error = self.errors
        out = {_error(n): float(e * unit_of(n)) for n, e in zip(self.names, error, strict=True)}
        for i, a in enumerate(self.names):
            for j, b in enumerate(self.names[:i]):
                out[_correlation(a, b)] = float(self.covariance[i, j] / (error[i] * error[j]))
        return out


def handed_on(figures: dict[str, float]) -> dict[str, float]:
    """Those of a state's figures that are beliefs."""
    return {k: v for k, v in figures.items() if k.startswith((_error(""), "correlation of "))}


def _error(name: str) -> str:
    return f"error of {name}"


def _correlation(a: str, b: str) -> str:
    return f"correlation of {a} and {b}"
