"""How numba compiles this project's kernels."""

from __future__ import annotations

from typing import Any

KERNEL: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
"""Of what Python calls."""
PART: dict[str, Any] = {**KERNEL, "forceinline": True}
"""Of what kernels call: it becomes code of theirs.

As a function of its own it would be linked to the first copy that the process has: its own one after a compile, the
kernel's one after a load from the cache. They are optimised apart, and sums that may be contracted would have other
bits in the process that compiles than in all later ones.
"""
