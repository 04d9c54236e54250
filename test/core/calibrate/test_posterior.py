"""What one film leaves open, the next may tell: posteriors with their correlations."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.calibrate.posterior import Posterior, PosteriorOptions, handed_on

NAMES = ("wind_x", "floor_friction")
OPTIONS = PosteriorOptions()


def updated(posterior: Posterior, seen: np.ndarray, error: float) -> Posterior:
    """After a film that told `seen` (P,) . constants with that error."""
    normal = np.linalg.inv(posterior.covariance) + np.outer(seen, seen) / error**2
    return Posterior(posterior.names, np.linalg.inv(normal))


def test_nothing_seen_is_the_prior() -> None:
    posterior = Posterior.read({}, NAMES)
    assert posterior.covariance == pytest.approx(OPTIONS.prior_deviation**2 * np.eye(2))
    assert posterior.figures()["error of wind_x"] == pytest.approx(2 * OPTIONS.prior_deviation)  # in m/s²


def test_what_only_a_sum_told_stays_open_and_is_closed_by_another_sum() -> None:
    first = updated(Posterior.read({}, NAMES), np.array([1.0, 1.0]), 0.05)
    assert (first.errors > 0.5).all()  # neither is known
    again = Posterior.read(first.figures(), NAMES)
    assert again.covariance == pytest.approx(first.covariance + OPTIONS.drift_deviation**2 * np.eye(2), rel=1e-6)
    both = updated(again, np.array([1.0, -0.5]), 0.05)
    assert (both.errors < 0.1).all()
    # Errors alone, without their correlation, would not have told.
    alone = Posterior(NAMES, np.diag(np.diag(again.covariance)))
    assert (updated(alone, np.array([1.0, -0.5]), 0.05).errors > 0.3).any()


def test_a_state_hands_on_its_posterior_and_nothing_else() -> None:
    figures = Posterior.read({}, NAMES).figures()
    assert handed_on(figures | {"psnr_after": 30.0}) == figures


def test_no_constant_is_less_certain_than_before_anything_was_seen() -> None:
    figures = {"error of wind_x": 40.0, "error of floor_friction": 7.0}
    assert (Posterior.read(figures, NAMES).errors <= OPTIONS.prior_deviation + 1e-12).all()


def test_a_constant_is_observable_once_its_error_is_well_below_the_prior() -> None:
    posterior = updated(Posterior.read({}, NAMES), np.array([0.0, 1.0]), 0.05)
    assert posterior.observable() == [False, True]
    strict = PosteriorOptions(observable_ratio=0.01)
    assert Posterior(NAMES, posterior.covariance, strict).observable() == [False, False]
