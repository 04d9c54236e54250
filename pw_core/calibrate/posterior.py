"""What is known of the constants from one refinement to the next: their covariance, not only their errors.

One film rarely tells everything: a body pushed by an unknown wind over a floor of unknown friction goes as far as one
with less of both. What it does tell is the combination, and the next film, of another push, tells another. So errors
and correlations go with the state, as figures, and the next fit begins from them (a Kalman filter over rounds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pw_core.calibrate.constants import ConstantsOptions, unit_of
from pw_core.gaussians import F64


@dataclass(frozen=True, kw_only=True)
class PosteriorOptions:
    """What is assumed before and between films."""

    prior_deviation: float = 1.0
    """Prior standard deviation, in the units of `unit_of`: of the logarithm of a positive constant, or 2 m/s² of
    wind."""
    drift_deviation: float = 0.05
    """Added to it (as a variance) before the next fit: the same constant need not serve the next motion as well."""
    observable_ratio: float = 0.5
    """A constant was observable in a film if its error is below so much of the prior's deviation."""
    constants: ConstantsOptions = field(default_factory=ConstantsOptions)
    """Units of the constants."""


@dataclass(frozen=True)
class Posterior:
    """Covariance (P, P) of the constants `names`, in the units of `unit_of`."""

    names: tuple[str, ...]
    covariance: F64
    options: PosteriorOptions = PosteriorOptions()

    @classmethod
    def read(
        cls, figures: dict[str, float], names: Sequence[str], *, options: PosteriorOptions = PosteriorOptions()
    ) -> Posterior:
        """What a state's figures hold of these constants; the prior and no correlation where they hold none."""
        units = [unit_of(n, options=options.constants) for n in names]
        prior = options.prior_deviation
        error = np.array([figures.get(_error(n), prior * unit) / unit for n, unit in zip(names, units, strict=True)])
        together = np.eye(len(names))
        for i, a in enumerate(names):
            for j, b in enumerate(names[:i]):
                together[i, j] = together[j, i] = figures.get(_correlation(a, b), figures.get(_correlation(b, a), 0.0))
        known = np.array([_error(n) in figures for n in names])
        drift = np.diag(np.where(known, options.drift_deviation**2, 0.0))
        covariance = together * np.outer(error, error) + drift
        # Never less certain than if nothing had been seen.
        scale = np.minimum(1, prior / np.sqrt(np.diag(covariance)))
        return cls(tuple(names), np.asarray(covariance * np.outer(scale, scale)), options)

    @property
    def errors(self) -> F64:
        """Standard deviations (P,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def observable(self) -> list[bool]:
        """For each constant, whether the films told it: an error well below the prior's."""
        return [bool(e < self.options.observable_ratio * self.options.prior_deviation) for e in self.errors]

    def figures(self) -> dict[str, float]:
        """As a state's figures hold it: errors relative, of wind [m/s²]."""
        error = self.errors
        units = [unit_of(n, options=self.options.constants) for n in self.names]
        out = {_error(n): float(e * unit) for n, e, unit in zip(self.names, error, units, strict=True)}
        for i, a in enumerate(self.names):
            for j, b in enumerate(self.names[:i]):
                out[_correlation(a, b)] = float(self.covariance[i, j] / (error[i] * error[j]))
        return out


def handed_on(figures: dict[str, float]) -> dict[str, float]:
    """Those of a state's figures that are a posterior's."""
    return {k: v for k, v in figures.items() if k.startswith((_error(""), "correlation of "))}


def names_in(figures: dict[str, float]) -> list[str]:
    """The constants whose errors a state's figures hold."""
    return sorted(k.removeprefix(_error("")) for k in figures if k.startswith(_error("")))


def _error(name: str) -> str:
    return f"error of {name}"


def _correlation(a: str, b: str) -> str:
    return f"correlation of {a} and {b}"
