"""Work shared out by a counter: every piece once, whatever the threads; and how torch's own threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numba import njit

from pw_core.kernels.threads import beside, run, take


@njit(nogil=True)
def _mark(counter, total, piece, times):  # type: ignore[no-untyped-def]
    first = take(counter, piece)
    while first < total:
        for k in range(first, min(first + piece, total)):
            times[k] += 1
        first = take(counter, piece)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_item_is_done_once(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for total in (0, 1, 5, 100_003):
            times = np.zeros(total, np.int64)
            run(_mark, total, 3, times)
            assert (times == 1).all()
    finally:
        torch.set_num_threads(before)


def test_calls_from_several_threads_do_not_mix() -> None:
    def work(size: int) -> bool:
        times = np.zeros(size, np.int64)
        run(_mark, size, 2, times)
        return bool((times == 1).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1000, 1200)))


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_done_beside_is_waited_for_and_its_error_raised(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        several = [beside(divmod, 17, k) for k in (5, 7, 0)]
        assert [result() for result in several[:2]] == [(3, 2), (2, 3)]
        with pytest.raises(ZeroDivisionError):
            several[2]()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_torch_waits_without_spinning_unless_told(given: str | None, expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    code = "import os, sys, pw_core; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    run_ = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert run_.stdout.split()[-1] == expected
