"""The ball in colours that tell places apart, and three cameras."""

from __future__ import annotations

import pytest

from support.spotted import spotted_ball


@pytest.fixture(scope="session")
def spotted():
    return spotted_ball()
