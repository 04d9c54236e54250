"""How far a job is: parts of a whole, and fractions that never fall."""

from __future__ import annotations

import pytest

from pw_core.progress import never_falling, no_progress, subrange


def test_a_part_is_told_as_its_range_of_the_whole() -> None:
    seen: list[tuple[str, float]] = []
    part = subrange(lambda stage, fraction: seen.append((stage, fraction)), 0.2, 0.6)
    part("first", 0.0)
    part("last", 1.0)
    subrange(part, 0.5, 1.0)("inner", 0.5)
    assert seen == [("first", 0.2), ("last", pytest.approx(0.6)), ("inner", pytest.approx(0.5))]
    no_progress("first", 0.5)


def test_fractions_do_not_fall_and_a_cancel_goes_through() -> None:
    seen: list[float] = []
    onward = never_falling(lambda stage, fraction: seen.append(fraction))
    for fraction in (0.1, 0.5, 0.3, 0.7):
        onward("stage", fraction)
    assert seen == [0.1, 0.5, 0.5, 0.7]

    def cancel(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        never_falling(cancel)("stage", 0.1)
