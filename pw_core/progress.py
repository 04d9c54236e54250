"""How long jobs say how far they are, and how they are called off: one callback, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction (0 to 1) of it that is done; may raise to cancel."""


Ask = Callable[[], None]
"""Called every 100 ms of work or more often, by what has nothing to tell; may raise to cancel."""


def no_question() -> None:
    """For callers that never cancel."""


def no_progress(stage: str, fraction: float) -> None:
    """For callers that do not want to know."""


def subrange(progress: Progress, low: float, high: float) -> Progress:
    """What reports 0 to 1 of a part, as `low` to `high` of the whole."""
    return lambda stage, fraction: progress(stage, low + (high - low) * fraction)


def never_falling(progress: Progress) -> Progress:
    """The same with fractions that never fall, though stages are gone through again."""
    most = 0.0

    def onward(stage: str, fraction: float) -> None:
        nonlocal most
        most = max(most, fraction)
        progress(stage, most)

    return onward
