"""Kernels have the same bits in the process that compiles them as in those that load them."""

from __future__ import annotations

import importlib
import pkgutil

from numba.core.dispatcher import Dispatcher

import pw_core

ROOMS = ("pw_core.simulate.fast.", "pw_core.render.kernels.", "pw_core.light.", "pw_core.skinning")


def test_what_kernels_call_is_code_of_theirs():
    """Else a process that compiles would run another copy of it than one that loads, and contract other sums."""
    kernels = {}
    for found in pkgutil.walk_packages(pw_core.__path__, "pw_core."):
        if found.name.startswith(ROOMS):
            kernels |= {
                id(v): v for v in vars(importlib.import_module(found.name)).values() if isinstance(v, Dispatcher)
            }
    assert len(kernels) > 50
    apart = []
    for kernel in kernels.values():
        function = kernel.py_func
        for name in function.__code__.co_names:
            called = function.__globals__.get(name)
            if isinstance(called, Dispatcher):
                how = called.targetoptions
                if not how.get("forceinline") and how.get("inline") != "always":
                    apart.append((function.__module__, function.__name__, name))
    assert not apart
