"""Sixteen-lane vectors for numba kernels.

Numba leaves SIMD to LLVM's loop vectoriser, which gives up on early exits, short loops and reductions: just what
alpha blending
is made of. Here a lane vector is a value of its own: `vload`, arithmetic, comparisons, `vselect`, `vany`, `vsum`,
`vexp`. Each
becomes one LLVM vector instruction of 16 lanes, and LLVM splits it into whatever the CPU has (one AVX-512, two AVX2,
four SSE
or NEON registers), so one source serves every machine and no compiler is needed to install it.

Lanes are float32 or float64, whichever the arrays hold; a comparison gives a mask of 16 bits.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,type-arg,arg-type,call-arg"
from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, overload, register_model

LANES = 16
# Multiplication and addition may fuse, and sums over lanes may use a tree; nothing else is relaxed.
_FLAGS = ("contract", "reassoc", "nsz")


class Vec(types.Type):
    """The numba type of a lane vector; `dtype` is float32, float64 or boolean (a mask)."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"vec{LANES}<{dtype}>")

    @property
    def key(self) -> Any:
        return self.dtype


MASK = Vec(types.boolean)


def _ll(dtype: Any) -> ir.VectorType:
    element = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}[dtype]
    return ir.VectorType(element, LANES)


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _ll(fe_type.dtype))


def _splat(builder: Any, vector_type: ir.VectorType, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector_type, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(vector_type, ir.Undefined), zeros)


def _widen(context: Any, builder: Any, have: Any, want: Vec, value: Any) -> Any:
    if isinstance(have, Vec):
        return value
    return _splat(builder, _ll(want.dtype), context.cast(builder, value, have, want.dtype))


def _vec_of(*args: Any) -> Vec | None:
    found = [a for a in args if isinstance(a, Vec) and a.dtype != types.boolean]
    return found[0] if found else None


def _operate(op: Any, result: Any, build: Any) -> None:
    """Teach numba what `op` is on two vectors, or a vector and a number: `build(builder, x, y)` of type `result(vec)`.

    By its typing templates rather than `overload`: an overload of each of a kernel's thousand operations takes numba
    minutes.
    """

    class Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if kws or len(args) != 2 or not all(isinstance(a, (Vec, types.Number)) for a in args):
                return None
            vec = _vec_of(*args)
            return None if vec is None else signature(result(vec), *args)

    def lowering(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vec = _vec_of(*sig.args)
        x, y = (_widen(context, builder, t, vec, v) for t, v in zip(sig.args, args, strict=True))
        return build(builder, x, y)

    infer_global(op)(Typing)
    for kinds in ((Vec, Vec), (Vec, types.Number), (types.Number, Vec)):
        lower_builtin(op, *kinds)(lowering)


def _arith(op: Any, method: str) -> None:
    _operate(op, lambda vec: vec, lambda builder, x, y: getattr(builder, method)(x, y, flags=_FLAGS))


def _compare(op: Any, predicate: str) -> None:
    _operate(op, lambda vec: MASK, lambda builder, x, y: builder.fcmp_ordered(predicate, x, y))


_arith(operator.add, "fadd")
_arith(operator.sub, "fsub")
_arith(operator.mul, "fmul")
_arith(operator.truediv, "fdiv")
_compare(operator.lt, "<")
_compare(operator.le, "<=")
_compare(operator.gt, ">")
_compare(operator.ge, ">=")


@intrinsic
def _mask_and(typingctx: Any, a: Any, b: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.and_(args[0], args[1])

    return MASK(a, b), codegen


@overload(operator.and_, inline="always")
def _overload_and(a, b):
    if isinstance(a, Vec) and isinstance(b, Vec):
        return lambda a, b: _mask_and(a, b)
    return None


@intrinsic
def vandnot(typingctx: Any, a: Any, b: Any) -> Any:
    """The mask `a and not b`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ones = ir.Constant(_ll(types.boolean), [1] * LANES)
        return builder.and_(args[0], builder.xor(args[1], ones))

    return MASK(a, b), codegen


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector_type: Any) -> tuple[Any, int]:
    data = context.make_array(array_type)(context, builder, value=array).data
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    return builder.bitcast(builder.gep(data, [index]), vector_type.as_pointer()), size


@intrinsic
def vload(typingctx: Any, array: Any, index: Any) -> Any:
    """Lanes `array[index : index + 16]` of a contiguous one-dimensional array; no bounds check."""
    vec = Vec(array.dtype)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vty = _ll(vec.dtype)
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer, align = _pointer(context, builder, sig.args[0], args[0], at, vty)
        return builder.load(pointer, align=align, typ=vty)

    return vec(array, index), codegen


@intrinsic
def vstore(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the lanes to `array[index : index + 16]`; no bounds check."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer, align = _pointer(context, builder, sig.args[0], args[0], at, _ll(sig.args[2].dtype))
        builder.store(args[2], pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, index, value), codegen


@intrinsic
def vsplat(typingctx: Any, value: Any) -> Any:
    """The same float in every lane."""
    vec = Vec(value)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat(builder, _ll(vec.dtype), args[0])

    return vec(value), codegen


@intrinsic
def vcentres(typingctx: Any, like: Any) -> Any:
    """0.5, 1.5, ... 15.5, of the float type of the scalar `like`: where the pixel centres of a row of 16 lie."""
    vec = Vec(like)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_ll(vec.dtype), [lane + 0.5 for lane in range(LANES)])

    return vec(like), codegen


@intrinsic
def vselect(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """Lanes of `a` where the mask is set, of `b` elsewhere; either may be a scalar."""
    vec = _vec_of(a, b)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x = _widen(context, builder, sig.args[1], vec, args[1])
        y = _widen(context, builder, sig.args[2], vec, args[2])
        return builder.select(args[0], x, y)

    return vec(mask, a, b), codegen


@intrinsic
def vmin(typingctx: Any, a: Any, b: Any) -> Any:
    """The smaller of each lane of the vector `a` and the vector or scalar `b`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        b_lanes = _widen(context, builder, sig.args[1], a, args[1])
        return builder.select(builder.fcmp_ordered("<", args[0], b_lanes), args[0], b_lanes)

    return a(a, b), codegen


@intrinsic
def vany(typingctx: Any, mask: Any) -> Any:
    """Whether any lane of the mask is set."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(mask), codegen


def _call(builder: Any, name: str, returns: Any, args: Any, **kwargs: Any) -> Any:
    module = builder.module
    function = cgutils.get_or_insert_function(module, ir.FunctionType(returns, [a.type for a in args]), name)
    return builder.call(function, args, **kwargs)


@intrinsic
def vsum(typingctx: Any, a: Any) -> Any:
    """The sum over the lanes, always in the same order."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = 32 if a.dtype == types.float32 else 64
        zero = ir.Constant(_ll(a.dtype).element, -0.0)
        name = f"llvm.vector.reduce.fadd.v{LANES}f{bits}"
        return _call(builder, name, zero.type, [zero, args[0]], fastmath=_FLAGS)

    return a.dtype(a), codegen


# exp(x) = 2^n 2^f with n whole and |f| <= 1/2; the Taylor series of 2^f to the sixth power errs by 2e-8 there.
_EXP2 = (1.0, 0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477, 0.0013333558146428443,
         0.00015403530393381608)  # fmt: skip


@intrinsic
def vexp(typingctx: Any, a: Any) -> Any:
    """exp of each lane. float32: a polynomial, relative error 1e-7, zero below -87; float64: the C library."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vty = _ll(a.dtype)
        if a.dtype == types.float64:
            return _call(builder, f"llvm.exp.v{LANES}f64", vty, [args[0]])
        ints = ir.VectorType(ir.IntType(32), LANES)

        def const(value: float) -> Any:
            return ir.Constant(vty, [value] * LANES)

        def whole(value: int) -> Any:
            return ir.Constant(ints, [value] * LANES)

        x = args[0]
        t = builder.fmul(x, const(1.4426950408889634), flags=("contract",))
        t = builder.select(builder.fcmp_ordered("<", t, const(-126.0)), const(-126.0), t)
        t = builder.select(builder.fcmp_ordered(">", t, const(127.0)), const(127.0), t)
        # Adding 1.5 * 2^23 leaves the rounded whole number in the low bits of the mantissa. No flags: it must not be
        # simplified.
        magic = builder.fadd(t, const(12582912.0))
        f = builder.fsub(t, builder.fsub(magic, const(12582912.0)))
        p = const(_EXP2[-1])
        for c in reversed(_EXP2[:-1]):
            p = builder.fadd(builder.fmul(p, f, flags=("contract",)), const(c), flags=("contract",))
        n = builder.shl(builder.bitcast(magic, ints), whole(23))
        return builder.bitcast(builder.add(builder.bitcast(p, ints), n), vty)

    return a(a), codegen
