"""11: depth as cameras give it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pw_core.reconstruct.inputs import metres
from support.cases.verdict import Verdict, judged


def _holes(values: list[float]) -> bool:
    return len(values) == 2 and values[0] == 0 and abs(values[1] - 0.7) < 1e-6


def units(folder: Path) -> Iterator[Verdict]:
    """What is unknown, and types."""
    whole = np.full((100, 120), 700, np.uint16)
    whole[:20], whole[20:30] = 65535, 0
    yield judged("65535 and 0 are unknown", lambda: np.unique(metres(whole)).tolist(), _holes)
    floats = np.full((100, 120), 0.7, np.float32)
    floats[:10], floats[10:20], floats[20:30], floats[30:40] = np.inf, np.nan, -1, 1e6
    yield judged("inf, NaN, -1, 1e6", lambda: np.unique(metres(floats)).tolist(), _holes)
    for kind in (np.int32, np.uint32, np.int16, np.float16, np.float64, ">f4", ">u2"):
        value = 0.7 if np.dtype(kind).kind == "f" else 700
        yield judged(f"depth of {np.dtype(kind)}", lambda k=kind, v=value: metres(np.full((9, 9), v, k)).max(),
                     lambda d: abs(d - 0.7) < 1e-3)  # fmt: skip
    yield judged("depth of 8 bits", lambda: metres(np.full((9, 9), 70, np.uint8)), lambda d: False, may_refuse=True)
    yield judged("(H, W, 1)", lambda: metres(np.full((9, 9, 1), 700, np.uint16)).shape, lambda s: s == (9, 9))
    yield judged("tenths of millimetres", lambda: metres(np.full((9, 9), 7000, np.uint16), scale=1e-4).max(),
                 lambda d: abs(d - 0.7) < 1e-3)  # fmt: skip


CASES = {"11 depth": units}
