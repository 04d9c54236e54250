"""More lane vectors for the engine's kernels: quads of lanes, transposes, logarithms; and what threads need to meet.

A quad is four lanes: a grid node's momentum and mass, so that a vector holds four nodes in a row along z.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,type-arg,arg-type,call-arg"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from pw_core.kernels.simd import LANES, MASK, Vec, _call, _ll, _pointer, _widen

_QUAD = ir.VectorType(ir.FloatType(), 4)
_INTS = ir.VectorType(ir.IntType(32), LANES)


def _mask(lanes: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)


def _whole(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * LANES)


def _unary(name: str) -> Any:
    @intrinsic
    def impl(typingctx: Any, a: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _call(builder, f"llvm.{name}.v{LANES}f32", _ll(a.dtype), [args[0]])

        return a(a), codegen

    return impl


vfloor = _unary("floor")
vsqrt = _unary("sqrt")
vabs = _unary("fabs")


@intrinsic
def vmax(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger of each lane of the vector `a` and the vector or scalar `b`; b where a is not a number."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        b_lanes = _widen(context, builder, sig.args[1], a, args[1])
        return builder.select(builder.fcmp_ordered(">", args[0], b_lanes), args[0], b_lanes)

    return a(a, b), codegen


@intrinsic
def vcount(typingctx: Any, like: Any) -> Any:
    """0, 1, ... 15 as floats of the type of the scalar `like`."""
    vec = Vec(like)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_ll(vec.dtype), [float(lane) for lane in range(LANES)])

    return vec(like), codegen


@intrinsic
def vor(typingctx: Any, a: Any, b: Any) -> Any:
    """The mask `a or b`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.or_(args[0], args[1])

    return MASK(a, b), codegen


@intrinsic
def vnot(typingctx: Any, a: Any) -> Any:
    """The mask `not a`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.xor(args[0], ir.Constant(_ll(types.boolean), [1] * LANES))

    return MASK(a), codegen


@intrinsic
def vquad(typingctx: Any, array: Any, index: Any) -> Any:
    """`array[index : index + 4]`, four times over."""
    vec = Vec(array.dtype)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer, align = _pointer(context, builder, sig.args[0], args[0], at, _QUAD)
        quad = builder.load(pointer, align=align, typ=_QUAD)
        return builder.shuffle_vector(quad, ir.Constant(_QUAD, ir.Undefined), _mask(list(range(4)) * 4))

    return vec(array, index), codegen


@intrinsic
def vlast_of_quads(typingctx: Any, a: Any) -> Any:
    """Each quad's last lane, in all of its lanes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.shuffle_vector(args[0], args[0], _mask([4 * (lane // 4) + 3 for lane in range(LANES)]))

    return a(a), codegen


@intrinsic
def vsum_quads(typingctx: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sums of the four quads of a, of b, of c and of d, each a quad of the result."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def pick(x: Any, y: Any, quads: list[int]) -> Any:
            return builder.shuffle_vector(x, y, _mask([4 * q + k for q in quads for k in range(4)]))

        def halves(x: Any, y: Any) -> Any:
            return builder.fadd(pick(x, y, [0, 1, 4, 5]), pick(x, y, [2, 3, 6, 7]))

        first, second = halves(args[0], args[1]), halves(args[2], args[3])
        return builder.fadd(pick(first, second, [0, 2, 4, 6]), pick(first, second, [1, 3, 5, 7]))

    return a(a, b, c, d), codegen


@intrinsic
def vtranspose(typingctx: Any, source: Any, first: Any, target: Any, where: Any) -> Any:
    """target[where + 16 i + j] = source[first + 16 j + i] for i, j in 0 ... 15; no bounds check."""
    vec = Vec(source.dtype)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vty = _ll(vec.dtype)
        start = context.cast(builder, args[1], sig.args[1], types.intp)
        end = context.cast(builder, args[3], sig.args[3], types.intp)
        rows = []
        for r in range(LANES):
            at = builder.add(start, ir.Constant(start.type, LANES * r))
            pointer, align = _pointer(context, builder, sig.args[0], args[0], at, vty)
            rows.append(builder.load(pointer, align=align, typ=vty))
        for step in (8, 4, 2, 1):
            for r in range(LANES):
                if r & step:
                    continue
                a, b = rows[r], rows[r + step]
                low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
                high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
                rows[r] = builder.shuffle_vector(a, b, _mask(low))
                rows[r + step] = builder.shuffle_vector(a, b, _mask(high))
        for r in range(LANES):
            at = builder.add(end, ir.Constant(end.type, LANES * r))
            pointer, align = _pointer(context, builder, sig.args[2], args[2], at, vty)
            builder.store(rows[r], pointer, align=align)
        return context.get_dummy_value()

    return types.void(source, first, target, where), codegen


@intrinsic
def vstore_first(typingctx: Any, array: Any, index: Any, value: Any, mask: Any) -> Any:
    """Write those lanes of `value` whose mask is set to `array[index : index + 16]`; no bounds check."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vty = _ll(sig.args[2].dtype)
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        pointer, align = _pointer(context, builder, sig.args[0], args[0], at, vty)
        _call(
            builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(),
            [args[2], pointer, ir.Constant(ir.IntType(32), align), args[3]],
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(array, index, value, mask), codegen


# log(1 + f) = f - f^2 / 2 + f^3 p(f) on [sqrt(1/2) - 1, sqrt(2) - 1], Moshier's Cephes (logf), highest power first.
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)  # fmt: skip


@intrinsic
def vlog(typingctx: Any, a: Any) -> Any:
    """Natural logarithm of each lane (float32, positive and normal): relative error 2e-7, exact at 1."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vty = _ll(a.dtype)

        def const(value: float) -> Any:
            return ir.Constant(vty, [value] * LANES)

        def fma(x: Any, y: Any, z: Any) -> Any:
            return builder.fadd(builder.fmul(x, y, flags=("contract",)), z, flags=("contract",))

        bits = builder.bitcast(args[0], _INTS)
        power = builder.ashr(builder.sub(bits, _whole(0x3F3504F3)), _whole(23))
        m = builder.bitcast(builder.sub(bits, builder.shl(power, _whole(23))), vty)
        f, e = builder.fsub(m, const(1.0)), builder.sitofp(power, vty)
        p = const(_LOG[0])
        for c in _LOG[1:]:
            p = fma(p, f, const(c))
        square = builder.fmul(f, f)
        rest = fma(builder.fmul(square, f), p, builder.fmul(e, const(-2.12194440e-4)))
        total = builder.fadd(f, fma(square, const(-0.5), rest))
        return fma(e, const(0.693359375), total)

    return a(a), codegen


@intrinsic
def atomic_add(typingctx: Any, counter: Any, index: Any, count: Any) -> Any:
    """Add `count` to counter[index] (int64), indivisibly and in order; what it was before."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, value=args[0]).data
        place = builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.intp)])
        more = context.cast(builder, args[2], sig.args[2], types.int64)
        return builder.atomic_rmw("add", place, more, "acq_rel")

    return types.int64(counter, index, count), codegen


@intrinsic
def atomic_load(typingctx: Any, counter: Any, index: Any) -> Any:
    """counter[index] (int64) as other threads last left it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, value=args[0]).data
        place = builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.intp)])
        return builder.load_atomic(place, "acquire", 8, typ=ir.IntType(64))

    return types.int64(counter, index), codegen


@intrinsic
def give_way(typingctx: Any) -> Any:
    """Let another thread of the machine have this core (POSIX sched_yield)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "sched_yield", ir.IntType(32), [])

    return types.int32(), codegen
