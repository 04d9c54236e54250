"""Names that may be files', and a store's failures as one kind of error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pw_core.config import NAME
from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.limits import LIMITS, shortened


def is_name(name: str) -> bool:
    """Whether it is made of letters, digits, _ and - alone, up to 100 of them."""
    return len(name) <= LIMITS.name_chars and re.match(NAME, name) is not None


def check_name(name: str, *, what: str) -> str:
    """The name, if it may be a file's.

    Raises:
        SceneError (INVALID_NAME): anything but letters, digits, _ and -, or over 100 characters.
    """
    if not is_name(name):
        raise SceneError(
            f"{what} '{shortened(name, LIMITS.name_chars)}' is not a name: use up to {LIMITS.name_chars} letters, "
            "digits, '_' and '-'",
            code=ErrorCode.INVALID_NAME,
        )
    return name


@contextmanager
def failures(what: str) -> Iterator[None]:
    """A full disk, missing rights or a broken file as a SceneError (STORE_FAILED)."""
    try:
        yield
    except PWError:
        raise
    except Exception as error:  # safetensors, zip and json each raise their own for a broken file
        raise SceneError(f"{what}: {type(error).__name__}: {error}", code=ErrorCode.STORE_FAILED) from None
