"""Kernels on several threads, each thread taking the next piece of the work from one counter.

Plain Python threads around kernels that release the GIL: any thread may call, at any time, also after a fork, which the
pools of OpenMP and numba do not allow. A kernel is called once a thread and takes its pieces itself: handed out by
Python, each would wait for the GIL, some 10 us apiece on 16 threads.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from numba.core import types
from numba.extending import intrinsic

from pw_core.kernels import denormals

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()
_Result = TypeVar("_Result")


@intrinsic
def take(typingctx: Any, counter: Any, count: Any) -> Any:
    """For kernels: add `count` to counter[0], indivisibly, and return what it was before."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = context.make_array(sig.args[0])(context, builder, value=args[0]).data
        more = context.cast(builder, args[1], sig.args[1], types.int64)
        return builder.atomic_rmw("add", place, more, "monotonic")

    return types.int64(counter, count), codegen


def run(kernel: Callable[..., None], total: int, piece: int, *args: Any) -> None:
    """Call kernel(counter, total, piece, *args) on torch's number of threads, but no more than there are pieces.

    The kernel does items first to first + piece, of `total`, for each `first` that it takes from the counter. What it
    computes must not depend on which thread takes which piece. Denormal numbers are zero in it.
    """
    counter = np.zeros(1, np.int64)
    threads = min(torch.get_num_threads(), -(-total // piece))
    if threads <= 1:
        denormals.call(kernel, counter, total, piece, *args)
        return
    key = (os.getpid(), threads)  # a forked child has none of its parent's threads
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(threads - 1, thread_name_prefix="pw-render")
        pool = _pools[key]
    helpers = [pool.submit(denormals.call, kernel, counter, total, piece, *args) for _ in range(threads - 1)]
    denormals.call(kernel, counter, total, piece, *args)
    for helper in helpers:
        if not helper.cancel():  # one that has not begun yet has nothing left to do
            helper.result()


def beside(function: Callable[..., _Result], *args: Any) -> Callable[[], _Result]:
    """Begin function(*args) on a thread beside the caller's; what is returned waits for its result.

    Where torch has one thread, or others keep that one busy, it is called when the result is asked for. Denormal
    numbers are zero in it either way.
    """
    if torch.get_num_threads() <= 1:
        return lambda: denormals.call(function, *args)
    key = (os.getpid(), 0)  # a pool of its own: the function may itself `run` kernels on the others
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(1, thread_name_prefix="pw-beside")
        began = _pools[key].submit(denormals.call, function, *args)

    def result() -> _Result:
        return denormals.call(function, *args) if began.cancel() else began.result()

    return result
