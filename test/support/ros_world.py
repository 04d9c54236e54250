"""What tests of a node share: waiting, and questions to its world."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pw_core.errors import PWError


def until(condition: Callable[[], Any], timeout: float = 20.0) -> None:
    """Wait for it, `timeout` [s] at most."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.005)


def code_of(call: Callable[..., Any], *args: Any, **fields: Any) -> int:
    """The error's code of a call that must fail, and say why."""
    with pytest.raises(PWError) as caught:
        call(*args, **fields)
    assert str(caught.value)
    return int(caught.value.code)


def head(world: Any) -> str:
    """Id of the world's head state."""
    return str(next(s.state_id for s in world.states() if s.head))
