"""What one film leaves open, the next may tell: beliefs with their correlations."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.calibrate.posterior import DRIFT, SPREAD, Belief, handed_on

NAMES = ("wind_x", "floor_friction")


def updated(belief: Belief, seen: np.ndarray, error: float) -> Belief:
    """After a film that told `seen` (P,) . constants with that error."""
    normal = np.linalg.inv(belief.covariance) + np.outer(seen, seen) / error**2
    return Belief(belief.names, np.linalg.inv(normal))


def test_nothing_seen_is_the_prior() -> None:
    belief = Belief.read({}, NAMES)
    assert belief.covariance == pytest.approx(SPREAD**2 * np.eye(2))
    assert belief.figures()["error of wind_x"] == pytest.approx(2 * SPREAD)  # in m/s²


def test_what_only_a_sum_told_stays_open_and_is_closed_by_another_sum() -> None:
    first = updated(Belief.read({}, NAMES), np.array([1.0, 1.0]), 0.05)
    assert (first.errors > 0.5).all()  # neither is known
    again = Belief.read(first.figures(), NAMES)
    assert again.covariance == pytest.approx(first.covariance + DRIFT**2 * np.eye(2), rel=1e-6)
    both = updated(again, np.array([1.0, -0.5]), 0.05)
    assert (both.errors < 0.1).all()
    # Errors alone, without their correlation, would not have told.
    alone = Belief(NAMES, np.diag(np.diag(again.covariance)))
    assert (updated(alone, np.array([1.0, -0.5]), 0.05).errors > 0.3).any()


def test_a_state_hands_on_beliefs_and_nothing_else() -> None:
    figures = Belief.read({}, NAMES).figures()
    assert handed_on(figures | {"psnr_after": 30.0}) == figures


def test_no_constant_is_less_certain_than_before_anything_was_seen() -> None:
    figures = {"error of wind_x": 40.0, "error of floor_friction": 7.0}
    assert (Belief.read(figures, NAMES).errors <= SPREAD + 1e-12).all()
