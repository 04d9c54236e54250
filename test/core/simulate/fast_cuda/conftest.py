"""A GPU for the engine's tests: a real one, or, where there is none, a CPU that plays one."""

from __future__ import annotations

import pytest

from support import cuda_host


@pytest.fixture(scope="session")
def host_gpu():
    """A CPU that plays a GPU."""
    if not cuda_host.available():
        pytest.skip("no C++ compiler for x86-64 here")
    return cuda_host.HostGpu()
