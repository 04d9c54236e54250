"""Lane vectors do what NumPy does, sixteen at a time."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from pw_core.kernels.simd import LANES, vany, vexp, vload, vmin, vselect, vsplat, vstore, vsum

RNG = np.random.default_rng(0)


@njit
def _mixed(a, b, out):
    x, y = vload(a, 0), vload(b, 0)
    vstore(out, 0, vselect(x < y, x * y + x, vmin(x, y) - y))


@njit
def _sums(a, limit):
    x = vload(a, 0)
    return vsum(x), vany(x > vsplat(limit))


@njit
def _exponentials(a, out):
    vstore(out, 0, vexp(vload(a, 0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_selection_and_sums(dtype: type) -> None:
    a, b, out = RNG.normal(size=LANES).astype(dtype), RNG.normal(size=LANES).astype(dtype), np.zeros(LANES, dtype)
    _mixed(a, b, out)
    assert np.allclose(out, np.where(a < b, a * b + a, np.minimum(a, b) - b), rtol=1e-6)
    total, some = _sums(a, a.dtype.type(a.max() - 0.01))
    assert total == pytest.approx(a.sum(), rel=1e-5) and some
    assert not _sums(a, a.max())[1]


def test_exponentials_are_good_to_float32() -> None:
    a, out = np.linspace(-20, 5, LANES).astype(np.float32), np.zeros(LANES, np.float32)
    _exponentials(a, out)
    assert np.allclose(out, np.exp(a.astype(np.float64)), rtol=1e-6)
