"""The constitutive laws of `pw_core.simulate.materials` for sixteen particles at a time.

A chunk's matrices lie in the thread's scratch memory, nine vectors each. Lanes beyond the chunk's end hold other
threads' particles: they get F = 1, so that nothing about a chunk depends on them.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

from numba import njit

from pw_core.kernels.options import PART
from pw_core.kernels.simd import vany, vexp, vload, vmin, vselect, vstore
from pw_core.simulate.fast.lanes import vabs, vlog, vmax, vsqrt, vstore_first
from pw_core.simulate.fast.layout import (
    DT,
    F_TMP,
    JP,
    LAMBDA,
    LAW,
    MU,
    NORM_EPSILON,
    TAU,
    VISCOSITY,
    YIELD,
    C,
    F,
    S,
    U,
    W,
)
from pw_core.simulate.materials import SNOW_COMPRESSION, SNOW_HARDENING, SNOW_STIFFEST, SNOW_STRETCH

_SWEEPS = 6  # of Jacobi's rotations at most; near rest two are enough
_CONVERGED = 1e-14  # squared off-diagonal over squared trace of F^T F
_POLAR = 8  # Newton's steps at most; near rest three are enough
_TINY = 1e-30


@njit(inline="always")
def _get(s, at):
    n = at * 16
    return (
        vload(s, n), vload(s, n + 16), vload(s, n + 32), vload(s, n + 48), vload(s, n + 64), vload(s, n + 80),
        vload(s, n + 96), vload(s, n + 112), vload(s, n + 128),
    )  # fmt: skip


@njit(inline="always")
def _put(s, at, m):
    n = at * 16
    vstore(s, n, m[0])
    vstore(s, n + 16, m[1])
    vstore(s, n + 32, m[2])
    vstore(s, n + 48, m[3])
    vstore(s, n + 64, m[4])
    vstore(s, n + 80, m[5])
    vstore(s, n + 96, m[6])
    vstore(s, n + 112, m[7])
    vstore(s, n + 128, m[8])


@njit(inline="always")
def _times_transposed(a, b):
    """a b^T."""
    return (
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2], a[0] * b[3] + a[1] * b[4] + a[2] * b[5],
        a[0] * b[6] + a[1] * b[7] + a[2] * b[8],
        a[3] * b[0] + a[4] * b[1] + a[5] * b[2], a[3] * b[3] + a[4] * b[4] + a[5] * b[5],
        a[3] * b[6] + a[4] * b[7] + a[5] * b[8],
        a[6] * b[0] + a[7] * b[1] + a[8] * b[2], a[6] * b[3] + a[7] * b[4] + a[8] * b[5],
        a[6] * b[6] + a[7] * b[7] + a[8] * b[8],
    )  # fmt: skip


@njit(inline="always")
def _determinant(f):
    return f[0] * (f[4] * f[8] - f[5] * f[7]) - f[1] * (f[3] * f[8] - f[5] * f[6]) + f[2] * (f[3] * f[7] - f[4] * f[6])


@njit(**PART)
def deform(p, stride, at, inside, dt, s):
    """F_tmp = (1 + dt C) F of the particles from `at` on, into the scratch memory; 1 outside `inside`."""
    for i in range(3):
        c0 = dt * vload(p, (C + 3 * i) * stride + at)
        c1 = dt * vload(p, (C + 3 * i + 1) * stride + at)
        c2 = dt * vload(p, (C + 3 * i + 2) * stride + at)
        for j in range(3):
            f = vload(p, (F + 3 * i + j) * stride + at) + (
                c0 * vload(p, (F + j) * stride + at) + c1 * vload(p, (F + 3 + j) * stride + at)
                + c2 * vload(p, (F + 6 + j) * stride + at)
            )  # fmt: skip
            vstore(s, (F_TMP + 3 * i + j) * 16, vselect(inside, f, 1.0 if i == j else 0.0))


@njit(inline="always")
def _turn(pp, qq, pq):
    """Cosine and sine of the Jacobi rotation that makes `pq` zero, and its tangent times pq."""
    a, b = qq - pp, pq + pq
    t = vselect(a >= 0.0, b, 0.0 - b) / (vabs(a) + vsqrt(a * a + b * b) + _TINY)
    c = 1.0 / vsqrt(t * t + 1.0)
    return c, t * c, t * pq


@njit(inline="always")
def _swap(mask, a, b):
    """Where the mask is set, the columns (-b, a), which is a rotation; elsewhere (a, b)."""
    return (
        (vselect(mask, 0.0 - b[0], a[0]), vselect(mask, 0.0 - b[1], a[1]), vselect(mask, 0.0 - b[2], a[2])),
        (vselect(mask, a[0], b[0]), vselect(mask, a[1], b[1]), vselect(mask, a[2], b[2])),
    )


@njit(inline="always")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(inline="always")
def _scaled(a, k):
    return a[0] * k, a[1] * k, a[2] * k


@njit(inline="always")
def _rotated(a, b, c, s):
    return (
        (c * a[0] - s * b[0], c * a[1] - s * b[1], c * a[2] - s * b[2]),
        (s * a[0] + c * b[0], s * a[1] + c * b[1], s * a[2] + c * b[2]),
    )


@njit(**PART)
def decompose(s):
    """F_TMP = U diag(S) W^T with rotations U and W and the singular value that may be negative last.

    Jacobi's rotations of F^T F give W; F W is orthogonalised (McAdams et al. 2011, without their approximations).
    """
    f = _get(s, F_TMP)
    a00 = f[0] * f[0] + f[3] * f[3] + f[6] * f[6]
    a11 = f[1] * f[1] + f[4] * f[4] + f[7] * f[7]
    a22 = f[2] * f[2] + f[5] * f[5] + f[8] * f[8]
    a01 = f[0] * f[1] + f[3] * f[4] + f[6] * f[7]
    a02 = f[0] * f[2] + f[3] * f[5] + f[6] * f[8]
    a12 = f[1] * f[2] + f[4] * f[5] + f[7] * f[8]
    one, zero = a00 * 0.0 + 1.0, a00 * 0.0
    w0, w1, w2 = (one, zero, zero), (zero, one, zero), (zero, zero, one)
    for _ in range(_SWEEPS):
        trace = a00 + a11 + a22
        if not vany((a01 * a01 + a02 * a02 + a12 * a12) > trace * trace * _CONVERGED):
            break
        c, t, d = _turn(a00, a11, a01)
        a00, a11, a01 = a00 - d, a11 + d, zero
        a02, a12 = c * a02 - t * a12, t * a02 + c * a12
        w0, w1 = _rotated(w0, w1, c, t)
        c, t, d = _turn(a00, a22, a02)
        a00, a22, a02 = a00 - d, a22 + d, zero
        a01, a12 = c * a01 - t * a12, t * a01 + c * a12
        w0, w2 = _rotated(w0, w2, c, t)
        c, t, d = _turn(a11, a22, a12)
        a11, a22, a12 = a11 - d, a22 + d, zero
        a01, a02 = c * a01 - t * a02, t * a01 + c * a02
        w1, w2 = _rotated(w1, w2, c, t)
    # Largest first, so that the one that is small or negative comes last.
    less = a00 < a11
    a00, a11 = vselect(less, a11, a00), vselect(less, a00, a11)
    w0, w1 = _swap(less, w0, w1)
    less = a00 < a22
    a00, a22 = vselect(less, a22, a00), vselect(less, a00, a22)
    w0, w2 = _swap(less, w0, w2)
    less = a11 < a22
    w1, w2 = _swap(less, w1, w2)
    b0 = (_dot(f[0:3], w0), _dot(f[3:6], w0), _dot(f[6:9], w0))
    b1 = (_dot(f[0:3], w1), _dot(f[3:6], w1), _dot(f[6:9], w1))
    b2 = (_dot(f[0:3], w2), _dot(f[3:6], w2), _dot(f[6:9], w2))
    s0 = vsqrt(_dot(b0, b0))
    u0 = _scaled(b0, 1.0 / (s0 + _TINY))
    along = _dot(u0, b1)
    b1 = (b1[0] - along * u0[0], b1[1] - along * u0[1], b1[2] - along * u0[2])
    s1 = vsqrt(_dot(b1, b1))
    u1 = _scaled(b1, 1.0 / (s1 + _TINY))
    u2 = (u0[1] * u1[2] - u0[2] * u1[1], u0[2] * u1[0] - u0[0] * u1[2], u0[0] * u1[1] - u0[1] * u1[0])
    _put(s, U, (u0[0], u1[0], u2[0], u0[1], u1[1], u2[1], u0[2], u1[2], u2[2]))
    _put(s, W, (w0[0], w1[0], w2[0], w0[1], w1[1], w2[1], w0[2], w1[2], w2[2]))
    vstore(s, S * 16, s0)
    vstore(s, S * 16 + 16, s1)
    vstore(s, S * 16 + 32, _dot(u2, b2))


@njit(**PART)
def rotate(s):
    """The rotation R of F_TMP = R P into TAU, by Newton's iteration R <- (R + R^-T) / 2 (Higham 1986).

    False, with nothing written, where a particle is nearly flat or inside out: those need `decompose`.
    """
    r = _get(s, F_TMP)
    if vany(_determinant(r) < 0.1):
        return False
    for _ in range(_POLAR):
        half = 0.5 / _determinant(r)
        n0 = r[0] * 0.5 + half * (r[4] * r[8] - r[5] * r[7])
        n1 = r[1] * 0.5 + half * (r[5] * r[6] - r[3] * r[8])
        n2 = r[2] * 0.5 + half * (r[3] * r[7] - r[4] * r[6])
        n3 = r[3] * 0.5 + half * (r[2] * r[7] - r[1] * r[8])
        n4 = r[4] * 0.5 + half * (r[0] * r[8] - r[2] * r[6])
        n5 = r[5] * 0.5 + half * (r[1] * r[6] - r[0] * r[7])
        n6 = r[6] * 0.5 + half * (r[1] * r[5] - r[2] * r[4])
        n7 = r[7] * 0.5 + half * (r[2] * r[3] - r[0] * r[5])
        n8 = r[8] * 0.5 + half * (r[0] * r[4] - r[1] * r[3])
        change = vabs(n0 - r[0]) + vabs(n4 - r[4]) + vabs(n8 - r[8])
        change = change + (vabs(n1 - r[1]) + vabs(n2 - r[2]) + vabs(n3 - r[3]))
        change = change + (vabs(n5 - r[5]) + vabs(n6 - r[6]) + vabs(n7 - r[7]))
        r = (n0, n1, n2, n3, n4, n5, n6, n7, n8)
        if not vany(change > 1e-4):  # the step from there errs by its square
            break
    _put(s, TAU, r)
    return True


@njit(inline="always")
def _rebuilt(s, s0, s1, s2):
    """U diag(s) W^T."""
    u, w = _get(s, U), _get(s, W)
    scaled = (u[0] * s0, u[1] * s1, u[2] * s2, u[3] * s0, u[4] * s1, u[5] * s2, u[6] * s0, u[7] * s1, u[8] * s2)
    return _times_transposed(scaled, w)


@njit(inline="always")
def _corotated(f, r, mu, pressure):
    """2 mu (F - R) F^T + pressure."""
    d = (f[0] - r[0], f[1] - r[1], f[2] - r[2], f[3] - r[3], f[4] - r[4], f[5] - r[5], f[6] - r[6], f[7] - r[7],
         f[8] - r[8])  # fmt: skip
    m = _times_transposed(d, f)
    k = mu + mu
    return (
        k * m[0] + pressure, k * m[1], k * m[2], k * m[3], k * m[4] + pressure, k * m[5], k * m[6], k * m[7],
        k * m[8] + pressure,
    )  # fmt: skip


@njit(**PART)
def _elastic(lam, mu, s):
    if not rotate(s):
        decompose(s)
        _put(s, TAU, _times_transposed(_get(s, U), _get(s, W)))
    f = _get(s, F_TMP)
    j = _determinant(f)
    _put(s, TAU, _corotated(f, _get(s, TAU), mu, lam * j * (j - 1.0)))


@njit(**PART)
def _plastic(lam, mu, threshold, s):
    decompose(s)
    s0, s1, s2 = vload(s, S * 16), vload(s, S * 16 + 16), vload(s, S * 16 + 32)
    j = s0 * s1 * s2
    e0, e1, e2 = vlog(vmax(s0, 0.05)), vlog(vmax(s1, 0.05)), vlog(vmax(s2, 0.05))
    mean = (e0 + e1 + e2) / 3.0
    d0, d1, d2 = e0 - mean, e1 - mean, e2 - mean
    size = vsqrt(d0 * d0 + d1 * d1 + d2 * d2 + NORM_EPSILON)
    excess = size - threshold / (mu + mu)
    yields = excess > 0.0
    if vany(yields):
        k = excess / size
        f = _get(s, F_TMP)
        g = _rebuilt(s, vexp(e0 - k * d0), vexp(e1 - k * d1), vexp(e2 - k * d2))
        _put(s, F_TMP, (
            vselect(yields, g[0], f[0]), vselect(yields, g[1], f[1]), vselect(yields, g[2], f[2]),
            vselect(yields, g[3], f[3]), vselect(yields, g[4], f[4]), vselect(yields, g[5], f[5]),
            vselect(yields, g[6], f[6]), vselect(yields, g[7], f[7]), vselect(yields, g[8], f[8]),
        ))  # fmt: skip
    r = _times_transposed(_get(s, U), _get(s, W))
    _put(s, TAU, _corotated(_get(s, F_TMP), r, mu, lam * j * (j - 1.0)))


@njit(inline="always")
def _clamped(a):
    return vmin(vmax(a, 1.0 - SNOW_COMPRESSION), 1.0 + SNOW_STRETCH)


@njit(**PART)
def _snow(lam, mu, p, at, inside, s):
    """`at` is where the particles' Jp lie in `p`."""
    decompose(s)
    s0, s1, s2 = vload(s, S * 16), vload(s, S * 16 + 16), vload(s, S * 16 + 32)
    n0, n1, n2 = _clamped(s0), _clamped(s1), _clamped(s2)
    before = vload(p, at)
    packed = before * (s0 / n0) * (s1 / n1) * (s2 / n2)
    vstore_first(p, at, vmin(vmax(packed, 0.05), 20.0), inside)
    harder = vmin(vexp((1.0 - before) * SNOW_HARDENING), SNOW_STIFFEST)
    f = _rebuilt(s, n0, n1, n2)
    _put(s, F_TMP, f)
    kept = n0 * n1 * n2
    r = _times_transposed(_get(s, U), _get(s, W))
    _put(s, TAU, _corotated(f, r, harder * mu, harder * lam * kept * (kept - 1.0)))


@njit(**PART)
def _liquid(lam, viscosity, s):
    f = _get(s, F_TMP)
    j = _determinant(f)
    root = vexp(vlog(vmax(j, 1e-20)) / 3.0)
    # One step of Newton's: the rounding of exp and log would add up over thousands of substeps.
    root = root - (root * root * root - j) / (root * root * 3.0)
    root = vselect(j > 0.0, root, float("nan"))
    b = _times_transposed(f, f)
    k = viscosity / (root * root)
    mean = (b[0] + b[4] + b[8]) / 3.0
    pressure = lam * j * (j - 1.0)
    _put(s, TAU, (
        k * (b[0] - mean) + pressure, k * b[1], k * b[2], k * b[3], k * (b[4] - mean) + pressure, k * b[5], k * b[6],
        k * b[7], k * (b[8] - mean) + pressure,
    ))  # fmt: skip
    zero = root * 0.0
    _put(s, F_TMP, (root, zero, zero, zero, root, zero, zero, zero, root))


@njit(**PART)
def respond(p, stride, at, inside, constants, entity, s):
    """Take sixteen particles from `at` on into the substep: their F and Jp are what it leaves, TAU is their stress.

    p: sorted particles; `inside` the lanes that count; entity: the row of their material's constants.
    """
    deform(p, stride, at, inside, constants[DT], s)
    law = int(entity[LAW])
    if law == 0:
        _elastic(entity[LAMBDA], entity[MU], s)
    elif law == 1:
        _plastic(entity[LAMBDA], entity[MU], entity[YIELD], s)
    elif law == 2:
        _snow(entity[LAMBDA], entity[MU], p, JP * stride + at, inside, s)
    else:
        _liquid(entity[LAMBDA], entity[VISCOSITY], s)
    for k in range(9):
        vstore_first(p, (F + k) * stride + at, vload(s, (F_TMP + k) * 16), inside)
