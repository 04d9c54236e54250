"""A request that costs nothing to answer."""

from __future__ import annotations

import pytest

from pw_core.refine.targets.types import TargetRequest
from support.target_request import make_request


@pytest.fixture
def request_() -> TargetRequest:
    return make_request()
