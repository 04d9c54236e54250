"""Pictures that several files' tests reconstruct from."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct import Inputs
from support.ball import shots


@pytest.fixture(scope="session")
def ball_rgbd() -> tuple[Inputs, dict[str, np.ndarray]]:
    return shots(9, depth=True)
