"""Kernels give the same bits whatever a thread's control register says, and leave it as it was."""

from __future__ import annotations

import platform
import threading

import numpy as np
import pytest
from numba import njit

from pw_core.kernels import denormals, threads

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="MXCSR is x86-64's")

PLAIN, FLUSHED, BOTH, TOWARDS_ZERO = 0x1F80, 0x9F80, 0x9FC0, 0x7F80
FLAGS = 0x3F
"""Which exceptions have happened: not how anything is computed."""
THIRDS = 1 / np.arange(3, 67, dtype=np.float32)  # of this file's register, not a test's
SMALL = np.array([1e-30, 1e-10], np.float32)


@pytest.fixture(params=[PLAIN, FLUSHED, BOTH, TOWARDS_ZERO], ids=hex)
def register(request):
    before = denormals.control()
    denormals.set_control(request.param)
    yield request.param
    denormals.set_control(before)


@njit
def product(a):
    return a[0] * a[1]


@njit
def each(counter, total, piece, a, out):
    first = threads.take(counter, piece)
    while first < total:
        out[first] = a[0] * a[1] + np.float32(1) / np.float32(3 + first)
        first = threads.take(counter, piece)


def test_a_product_too_small_is_zero_in_a_kernel_and_the_register_is_as_before(register) -> None:
    if register in (PLAIN, TOWARDS_ZERO):
        assert product(SMALL) > 0
    assert denormals.call(product, SMALL) == 0
    assert denormals.control() & ~FLAGS == register


def test_also_after_an_error(register) -> None:
    with pytest.raises(ZeroDivisionError):
        denormals.call(lambda: 1 / 0)
    assert denormals.control() & ~FLAGS == register


def test_every_thread_of_a_kernel_gives_the_same_bits(register, monkeypatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    out = np.zeros(64, np.float32)
    threads.run(each, 64, 1, SMALL, out)
    assert np.array_equal(out, THIRDS)


def test_what_sets_the_register_within_leaves_no_trace(register) -> None:
    with denormals.kept():
        denormals.set_control(BOTH)
    assert denormals.control() & ~FLAGS == register


def test_other_threads_are_left_alone() -> None:
    found = []
    before = denormals.control()
    waits, goes = threading.Event(), threading.Event()

    def other() -> None:
        waits.wait(10)
        found.append(denormals.control())
        goes.set()

    thread = threading.Thread(target=other)
    thread.start()
    denormals.call(lambda: (waits.set(), goes.wait(10)))
    thread.join()
    assert found[0] & ~FLAGS == before & ~FLAGS
