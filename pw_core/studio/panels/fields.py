"""What stands in the page's fields, checked: a browser sends what it likes, whatever ends its own fields have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pw_core.errors import ErrorCode, SceneError
from pw_core.limits import shortened

SHOWN_CHARS = 60
"""Of what was typed, in a sentence about it."""


def number(field: Any, what: str, low: float, high: float) -> float:
    """The number in a field.

    Raises:
        SceneError (INVALID_CONFIG): it is none, or not from `low` to `high`.
    """
    return checked(field.value, what, low, high)


def checked(value: Any, what: str, low: float, high: float) -> float:
    """As `number`, of a value."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not low <= found <= high:  # also what is not a number
        given = shortened(str(value), SHOWN_CHARS)
        text = f"{what}: '{given}' is not a number from {low:g} to {high:g}"
        raise SceneError(text, code=ErrorCode.INVALID_CONFIG)
    return found


def numbers(field: Any, what: str, count: int, *, most: float) -> tuple[float, ...]:
    """So many numbers in a field, from -most to most.

    Raises:
        SceneError (INVALID_CONFIG).
    """
    values = tuple(field.value)
    if len(values) != count:
        raise SceneError(f"{what}: found {len(values)} numbers, expected {count}", code=ErrorCode.INVALID_CONFIG)
    return tuple(checked(v, what, -most, most) for v in values)


def choice(field: Any, what: str, choices: Iterable[str]) -> str:
    """What was chosen.

    Raises:
        SceneError (INVALID_CONFIG): it is none of the choices.
    """
    chosen, known = str(field.value), list(choices)
    if chosen not in known:
        text = f"{what}: '{shortened(chosen, SHOWN_CHARS)}' is none of {', '.join(known)}"
        raise SceneError(text, code=ErrorCode.INVALID_CONFIG)
    return chosen
