"""What the processor does with denormal numbers, the same in all kernels whatever else the process has loaded.

Numbers below 1.2e-38 in size are denormal (float32). A thread's control register says whether results that small become
zero, whether operands that small count as zero, and how results are rounded: MXCSR on x86-64 (Intel's Software
Developer's Manual 1, 10.2.3), FPCR on 64-bit ARM (one bit for results and operands). Any library may change it, threads
inherit it from the one that starts them, and then sums have other bits: Genesis has results flushed when it starts,
`torch.set_flush_denormal` both. On other processors nothing is read or written: the bits are as the process has them.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

_PROCESSOR = {"x86_64": "x86", "AMD64": "x86", "aarch64": "arm", "arm64": "arm"}.get(platform.machine(), "")
_ZERO = {"x86": 1 << 15 | 1 << 6, "arm": 1 << 24}.get(_PROCESSOR, 0)
"""With these bits denormal results and operands are zero; without, an x86 takes a hundred cycles longer for each."""
_ROUNDING = {"x86": 3 << 13, "arm": 3 << 22}.get(_PROCESSOR, 0)
"""Where the register says how to round; zeros there mean to the nearest."""
_WORD, _LONG = ir.IntType(32), ir.IntType(64)


def _declared(builder: Any, name: str, returns: ir.Type, *takes: ir.Type) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, takes), name)


@intrinsic
def _read(typingctx: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if _PROCESSOR == "x86":
            place = cgutils.alloca_once(builder, _WORD)
            pointer = builder.bitcast(place, cgutils.voidptr_t)
            builder.call(_declared(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), cgutils.voidptr_t), [pointer])
            return builder.zext(builder.load(place), _LONG)
        if _PROCESSOR == "arm":
            return builder.call(_declared(builder, "llvm.aarch64.get.fpcr", _LONG), [])
        return ir.Constant(_LONG, 0)

    return types.int64(), codegen


@intrinsic
def _write(typingctx: Any, register: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = context.cast(builder, args[0], sig.args[0], types.int64)
        if _PROCESSOR == "x86":
            place = cgutils.alloca_once(builder, _WORD)
            builder.store(builder.trunc(word, _WORD), place)
            pointer = builder.bitcast(place, cgutils.voidptr_t)
            builder.call(_declared(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), cgutils.voidptr_t), [pointer])
        if _PROCESSOR == "arm":
            builder.call(_declared(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), _LONG), [word])
        return context.get_dummy_value()

    return types.void(register), codegen


@njit(cache=True)
def control():
    """This thread's control register; 0 on processors that this module does not know."""
    return _read()


@njit(cache=True)
def set_control(register):
    """Give this thread that control register."""
    _write(register)


@njit(cache=True)
def _enter(rounding, zero):
    before = _read()
    _write(before & ~rounding | zero)
    return before


def call(kernel: Callable[..., Any], *args: Any) -> Any:
    """kernel(*args) with denormals as zero and rounding to nearest; this thread's register is as before afterwards."""
    before = _enter(_ROUNDING, _ZERO)
    try:
        return kernel(*args)
    finally:
        set_control(before)


@contextmanager
def kept() -> Iterator[None]:
    """What is done within leaves this thread's control register as it was."""
    before = control()
    try:
        yield
    finally:
        set_control(before)
