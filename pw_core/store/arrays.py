"""Arrays under dotted names, as the store's files hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def contiguous(arrays: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Each in C order, as safetensors wants them."""
    return {k: np.ascontiguousarray(v) for k, v in arrays.items()}


def part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Those below `prefix`, by the rest of their names."""
    return {k.removeprefix(prefix + "."): v for k, v in arrays.items() if k.startswith(prefix + ".")}
