"""This project's own MPM on the CPU: the same equations and the same state as Genesis, many times faster."""

from __future__ import annotations

from pathlib import Path

import pw_core.kernels
from pw_core.kernels.cache import drop_stale

drop_stale(Path(__file__).parent, uses=(Path(pw_core.kernels.__file__).parent,))
