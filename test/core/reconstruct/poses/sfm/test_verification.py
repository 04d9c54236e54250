"""Pairs of pictures that agree by chance."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.poses.sfm.verification import log10_expected


def scattered(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 640, (count, 2)), rng.uniform(0, 640, (count, 2))


def test_a_few_matches_of_many_are_chance_and_most_of_them_are_not() -> None:
    assert log10_expected(*scattered(16), 40, error_px=4.0) > 0
    assert log10_expected(*scattered(30), 40, error_px=4.0) < -10


def test_matches_on_a_line_or_too_few_say_nothing() -> None:
    line = np.stack([np.arange(30.0), 2 * np.arange(30.0)], 1)
    assert log10_expected(line, line, 30, error_px=4.0) == np.inf
    assert log10_expected(*scattered(7), 7, error_px=4.0) == np.inf
