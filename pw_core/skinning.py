"""Bound Gaussians following their particles, as fast as they are drawn.

Kernels for what `pw_core.gaussians` spells out in numpy (`deformations`, `follow`), which they are tested against.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from pw_core.gaussians import F32, FLAT, I64, Binding
from pw_core.kernels.options import KERNEL, PART
from pw_core.kernels.threads import run, take
from pw_core.scene import Scene

STRETCH_MIN, STRETCH_MAX = 0.5, 2.0
_PARTICLES_PER_PIECE = 128
_GAUSSIANS_PER_PIECE = 1024


def deformations(rest: F32, now: F32, near: I64) -> F32:
    """As `pw_core.gaussians.deformations`: A of each particle (J, 3, 3) from positions [m] (J, 3)."""
    out = np.empty((len(rest), 3, 3), np.float32)
    run(_deform_all, len(rest), _PARTICLES_PER_PIECE, rest, now, near, out)
    return out


def follow(binding: Binding, rest: F32, now: F32, A: F32, covariances: F32) -> tuple[F32, F32]:
    """As `pw_core.gaussians.follow`: means [m] (N, 3) and covariances [m²] (N, 3, 3)."""
    n = len(binding.index)
    means, covars = np.empty((n, 3), np.float32), np.empty((n, 3, 3), np.float32)
    run(_follow_all, n, _GAUSSIANS_PER_PIECE, binding.index, binding.weights, binding.offsets(), rest, now, A,
        covariances, means, covars)  # fmt: skip
    return means, covars


@dataclass(frozen=True, kw_only=True)
class RestingOptions:
    """How matter that rests or slides is drawn on the table z = 0."""

    reach_sizes: float = 1.5
    """Particle sizes up to which the simulator's grid holds matter above the table that lies on it: its nodes there
    feel matter from one and a half cells off, a cell is two sizes, and what falls or slides comes to rest half a cell
    or more above."""
    fade_sizes: float = 3.0
    """From which nothing is drawn lower than it is; between, less and less."""
    started_sizes: float = 0.75
    """What is no further from the table at the start lies on it."""
    lowest_share: float = 0.002
    """Of the Gaussians, that may be below what counts as the lowest: crumbs."""
    lookups: int = 4000
    """Gaussians of an entity that are looked at."""


class Resting:
    """Draws deformables on the table where the simulator's grid holds them a little above it; those alone that started
    out on it, and nothing of a scene that is as it started."""

    def __init__(self, scene: Scene, *, options: RestingOptions = RestingOptions()) -> None:
        self.options = options
        bearing = scene.entities if scene.config.has_table else ()
        some = [e for e in bearing if e.kind == "deformable" and e.gaussians.stop > e.gaussians.start]
        lows = [(e, self._low(scene.foreground.means[e.gaussians])) for e in some]
        self._bodies = [(e, low) for e, low in lows if abs(low) < options.started_sizes * e.particle_size_m]

    def _low(self, means: F32) -> float:
        z = means[:: max(1, len(means) // self.options.lookups), 2]
        k = int(self.options.lowest_share * len(z))
        return float(np.partition(z, k)[k])

    def lower(self, means: F32, positions: F32 | None = None) -> None:
        """Put Gaussians [m] (N, 3), and the particles [m] (J, 3) that they hang on, where they are drawn."""
        for e, low in self._bodies:
            gap = self._low(means[e.gaussians]) - low
            near, far = (sizes * e.particle_size_m for sizes in (self.options.reach_sizes, self.options.fade_sizes))
            drop = gap if gap < near else near * (far - gap) / (far - near)
            if drop > 0:
                means[e.gaussians, 2] -= np.float32(drop)
                if positions is not None:
                    positions[e.particles, 2] -= np.float32(drop)


@njit(**PART)
def _eigen(s, v):
    """Jacobi's rotations: the symmetric s (3, 3) becomes diagonal, largest first, v has its axes as columns."""
    for i in range(3):
        for j in range(3):
            v[i, j] = 1.0 if i == j else 0.0
    for _ in range(12):
        off = s[0, 1] ** 2 + s[0, 2] ** 2 + s[1, 2] ** 2
        if off <= 1e-26 * (s[0, 0] + s[1, 1] + s[2, 2]) ** 2:
            break
        for p in range(2):
            for q in range(p + 1, 3):
                if s[p, q] == 0.0:
                    continue
                theta = (s[q, q] - s[p, p]) / (2.0 * s[p, q])
                t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
                t = t if theta >= 0 else -t
                c = 1.0 / math.sqrt(t * t + 1.0)
                d = t * c
                for k in range(3):
                    x, y = s[k, p], s[k, q]
                    s[k, p], s[k, q] = c * x - d * y, d * x + c * y
                for k in range(3):
                    x, y = s[p, k], s[q, k]
                    s[p, k], s[q, k] = c * x - d * y, d * x + c * y
                for k in range(3):
                    x, y = v[k, p], v[k, q]
                    v[k, p], v[k, q] = c * x - d * y, d * x + c * y
    for p in range(2):
        for q in range(2 - p):
            if s[q, q] < s[q + 1, q + 1]:
                s[q, q], s[q + 1, q + 1] = s[q + 1, q + 1], s[q, q]
                for k in range(3):
                    v[k, q], v[k, q + 1] = v[k, q + 1], v[k, q]


@njit(**PART)
def _axes(a, s, v, u):
    """Singular vectors of a (3, 3) as columns of u and v, largest value first, both frames right-handed: u[:, 2] has
    its sign from that. s ends with the squared values on its diagonal."""
    for i in range(3):
        for j in range(3):
            s[i, j] = a[0, i] * a[0, j] + a[1, i] * a[1, j] + a[2, i] * a[2, j]
    _eigen(s, v)
    v[0, 2] = v[1, 0] * v[2, 1] - v[2, 0] * v[1, 1]
    v[1, 2] = v[2, 0] * v[0, 1] - v[0, 0] * v[2, 1]
    v[2, 2] = v[0, 0] * v[1, 1] - v[1, 0] * v[0, 1]
    for j in range(2):
        for i in range(3):
            u[i, j] = a[i, 0] * v[0, j] + a[i, 1] * v[1, j] + a[i, 2] * v[2, j]
        if j == 1:
            along = u[0, 0] * u[0, 1] + u[1, 0] * u[1, 1] + u[2, 0] * u[2, 1]
            for i in range(3):
                u[i, 1] -= along * u[i, 0]
        length = math.sqrt(u[0, j] ** 2 + u[1, j] ** 2 + u[2, j] ** 2)
        if length <= 1e-9 * math.sqrt(max(s[0, 0], 1e-300)):
            # Nothing says where this axis goes: as little turned as the first allows.
            for i in range(3):
                u[i, j] = v[i, j]
            if j == 1:
                along = u[0, 0] * v[0, 1] + u[1, 0] * v[1, 1] + u[2, 0] * v[2, 1]
                for i in range(3):
                    u[i, 1] -= along * u[i, 0]
                length = math.sqrt(u[0, 1] ** 2 + u[1, 1] ** 2 + u[2, 1] ** 2)
                if length < 1e-6:
                    for i in range(3):
                        u[i, 1] = v[i, 0] - u[i, 0] * (u[0, 0] * v[0, 0] + u[1, 0] * v[1, 0] + u[2, 0] * v[2, 0])
            length = math.sqrt(u[0, j] ** 2 + u[1, j] ** 2 + u[2, j] ** 2)
        for i in range(3):
            u[i, j] /= length
    u[0, 2] = u[1, 0] * u[2, 1] - u[2, 0] * u[1, 1]
    u[1, 2] = u[2, 0] * u[0, 1] - u[0, 0] * u[2, 1]
    u[2, 2] = u[0, 0] * u[1, 1] - u[1, 0] * u[0, 1]


@njit(**PART)
def _deform(first, last, rest, now, near, out):
    pq = np.empty((3, 3), np.float64)
    qq = np.empty((3, 3), np.float64)
    ax = np.empty((3, 3), np.float64)
    turn = np.empty((3, 3), np.float64)
    a = np.empty((3, 3), np.float64)
    s = np.empty((3, 3), np.float64)
    v = np.empty((3, 3), np.float64)
    u = np.empty((3, 3), np.float64)
    q = np.empty(3, np.float64)
    p = np.empty(3, np.float64)
    for j in range(first, last):
        pq[:] = 0.0
        qq[:] = 0.0
        for k in range(near.shape[1]):
            other = near[j, k]
            for i in range(3):
                q[i] = np.float64(rest[other, i]) - rest[j, i]
                p[i] = np.float64(now[other, i]) - now[j, i]
            for i in range(3):
                for m in range(3):
                    pq[i, m] += p[i] * q[m]
                    qq[i, m] += q[i] * q[m]
        _axes(pq, s, v, u)
        for i in range(3):
            for m in range(3):
                turn[i, m] = u[i, 0] * v[m, 0] + u[i, 1] * v[m, 1] + u[i, 2] * v[m, 2]
                a[i, m] = 0.0
        _eigen(qq, ax)
        enough = FLAT * (qq[0, 0] + qq[1, 1] + qq[2, 2]) / 3.0 + 1e-18
        for k in range(3):
            spread = qq[k, k]
            lacking = max(enough - spread, 0.0)
            for i in range(3):
                # Along this axis: what the neighbours say, and for what they lack, their own turn.
                along = 0.0
                for m in range(3):
                    along += (pq[i, m] + turn[i, m] * lacking) * ax[m, k]
                along /= spread + lacking
                for m in range(3):
                    a[i, m] += along * ax[m, k]
        _axes(a, s, v, u)
        for i in range(3):
            for m in range(3):
                total = 0.0
                for k in range(3):
                    value = min(STRETCH_MAX, max(STRETCH_MIN, math.sqrt(max(s[k, k], 0.0))))
                    total += u[i, k] * value * v[m, k]
                out[j, i, m] = total


@njit(**PART)
def _follow(first, last, index, weights, offsets, rest, now, A, covariances, means, covars):
    blend = np.empty((3, 3), np.float32)
    half = np.empty((3, 3), np.float32)
    x = np.empty(3, np.float32)
    for n in range(first, last):
        own = index[n, 0]
        for i in range(3):
            x[i] = rest[own, i] + offsets[n, i]
            means[n, i] = 0.0
        blend[:] = 0.0
        for b in range(index.shape[1]):
            j, w = index[n, b], weights[n, b]
            d0, d1, d2 = x[0] - rest[j, 0], x[1] - rest[j, 1], x[2] - rest[j, 2]
            for i in range(3):
                means[n, i] += w * (now[j, i] + A[j, i, 0] * d0 + A[j, i, 1] * d1 + A[j, i, 2] * d2)
                for m in range(3):
                    blend[i, m] += w * A[j, i, m]
        c = covariances[n]
        for i in range(3):
            for m in range(3):
                half[i, m] = blend[i, 0] * c[0, m] + blend[i, 1] * c[1, m] + blend[i, 2] * c[2, m]
        for i in range(3):
            for m in range(3):
                covars[n, i, m] = half[i, 0] * blend[m, 0] + half[i, 1] * blend[m, 1] + half[i, 2] * blend[m, 2]


@njit(**KERNEL)
def _deform_all(counter, total, piece, *args):
    first = take(counter, piece)
    while first < total:
        _deform(first, min(first + piece, total), *args)
        first = take(counter, piece)


@njit(**KERNEL)
def _follow_all(counter, total, piece, *args):
    first = take(counter, piece)
    while first < total:
        _follow(first, min(first + piece, total), *args)
        first = take(counter, piece)
