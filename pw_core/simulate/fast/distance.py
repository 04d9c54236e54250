"""Signed distances of a closed mesh on a grid, and their gradients, laid out as Genesis lays out its own."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.kernels.options import KERNEL, PART


@dataclass(frozen=True, kw_only=True)
class DistanceOptions:
    """How fine the grid of a body's distances is; Genesis's choices."""

    cell_m: float = 0.005
    """Spacing of its nodes [m], where the limits below allow it."""
    fewest_cells: int = 31
    """Along each side: small bodies get finer cells."""
    most_cells: int = 127
    """Along each side: large bodies get coarser cells."""
    margin_ratio: float = 0.2
    """Free room about the body, both sides together, over its largest side."""


@dataclass(frozen=True)
class DistanceGrid:
    """distance [m] (nx, ny, nz), negative inside; gradient (nx, ny, nz, 3); first node and spacing [m] (3,)."""

    distance: NDArray[np.float32]
    gradient: NDArray[np.float32]
    lower: F64
    cell: F64


def distance_grid(
    vertices: NDArray[Any], faces: NDArray[Any], *, options: DistanceOptions = DistanceOptions()
) -> DistanceGrid:
    """Of a closed mesh, vertices [m] (v, 3), faces (f, 3). That of the same mesh is kept: it takes seconds."""
    corners = np.ascontiguousarray(np.asarray(vertices, np.float64)[np.asarray(faces)])
    return _grid_of(corners.tobytes(), options)


def points_inside(vertices: NDArray[Any], faces: NDArray[Any], *, step_m: float) -> F64:
    """The points [m] (n, 3) of a cubic lattice of that spacing [m] that lie inside a closed mesh, as above."""
    corners = np.ascontiguousarray(np.asarray(vertices, np.float64)[np.asarray(faces)])
    low, high = corners.min((0, 1)), corners.max((0, 1))
    lower = low + step_m / 2
    inside = np.zeros(tuple(np.maximum(np.ceil((high - lower) / step_m), 1).astype(int)), np.bool_)
    _fill(corners, lower, step_m, inside)
    return np.asarray(lower + step_m * np.argwhere(inside))


@lru_cache(maxsize=16)
def _grid_of(data: bytes, options: DistanceOptions) -> DistanceGrid:
    corners = np.frombuffer(data).reshape(-1, 3, 3)
    low, high = corners.min((0, 1)), corners.max((0, 1))
    size = options.margin_ratio * (high - low).max() + (high - low)
    cell = np.clip(options.cell_m, size / options.most_cells, size / options.fewest_cells)
    count = np.ceil(size / cell - 1e-9).astype(np.int64) + 1
    lower = (low + high) / 2 - (count - 1) * cell / 2
    distance = np.zeros(tuple(count), np.float32)
    gradient = np.zeros((*count, 3), np.float32)
    _measure(corners, lower, cell, distance, gradient)
    return DistanceGrid(distance, gradient, lower, cell)


@njit(inline="always")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(inline="always")
def _less(a, b):
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(inline="always")
def _along(a, u, s, v, t):
    return a[0] + u[0] * s + v[0] * t, a[1] + u[1] * s + v[1] * t, a[2] + u[2] * s + v[2] * t


@njit(**PART)
def _nearest(p, a, b, c):
    """The point of a triangle nearest to p, by its Voronoi regions (Ericson 2005, 5.1.5); all are triples."""
    ab, ac, ap = _less(b, a), _less(c, a), _less(p, a)
    d1, d2 = _dot(ab, ap), _dot(ac, ap)
    if d1 <= 0 and d2 <= 0:
        return a
    bp = _less(p, b)
    d3, d4 = _dot(ab, bp), _dot(ac, bp)
    if d3 >= 0 and d4 <= d3:
        return b
    cp = _less(p, c)
    d5, d6 = _dot(ab, cp), _dot(ac, cp)
    if d6 >= 0 and d5 <= d6:
        return c
    vc = d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0:
        return _along(a, ab, d1 / (d1 - d3), ac, 0.0)
    vb = d5 * d2 - d1 * d6
    if vb <= 0 and d2 >= 0 and d6 <= 0:
        return _along(a, ab, 0.0, ac, d2 / (d2 - d6))
    va = d3 * d6 - d5 * d4
    if va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        return _along(b, _less(c, b), (d4 - d3) / ((d4 - d3) + (d5 - d6)), ac, 0.0)
    whole = 1.0 / (va + vb + vc)
    return _along(a, ab, vb * whole, ac, vc * whole)


@njit(**PART)
def _fill_column(corners, x, y, low, step, inside):
    """Which nodes of the column at x and y, upwards from low, are inside: an odd number of faces lies above them."""
    inside[:] = False
    for f in range(len(corners)):
        t = corners[f]
        d = (t[1, 1] - t[2, 1]) * (t[0, 0] - t[2, 0]) + (t[2, 0] - t[1, 0]) * (t[0, 1] - t[2, 1])
        if d == 0:
            continue
        u = ((t[1, 1] - t[2, 1]) * (x - t[2, 0]) + (t[2, 0] - t[1, 0]) * (y - t[2, 1])) / d
        v = ((t[2, 1] - t[0, 1]) * (x - t[2, 0]) + (t[0, 0] - t[2, 0]) * (y - t[2, 1])) / d
        if u >= 0 and v >= 0 and u + v <= 1:
            z = u * t[0, 2] + v * t[1, 2] + (1 - u - v) * t[2, 2]
            for k in range(len(inside)):
                if low + k * step < z:
                    inside[k] = not inside[k]


@njit(**KERNEL)
def _fill(corners, lower, step, inside):
    for i in range(inside.shape[0]):
        for j in range(inside.shape[1]):
            # A little aside, so as to meet no edge.
            x, y = lower[0] + (i + 1.234567e-7) * step, lower[1] + (j + 2.718281e-7) * step
            _fill_column(corners, x, y, lower[2], step, inside[i, j])


@njit(**KERNEL)
def _measure(corners, lower, cell, distance, gradient):
    nx, ny, nz = distance.shape
    faces = len(corners)
    middle, reach = np.zeros((faces, 3)), np.zeros(faces)
    for f in range(faces):
        for a in range(3):
            middle[f, a] = (corners[f, 0, a] + corners[f, 1, a] + corners[f, 2, a]) / 3
        for k in range(3):
            reach[f] = max(reach[f], math.sqrt(((corners[f, k] - middle[f]) ** 2).sum()))
    inside = np.zeros(nz, np.bool_)
    for i in range(nx):
        for j in range(ny):
            px, py = lower[0] + i * cell[0], lower[1] + j * cell[1]
            # A little aside, so as to meet no edge.
            x, y = px + 1.234567e-7 * cell[0], py + 2.718281e-7 * cell[1]
            _fill_column(corners, x, y, lower[2], cell[2], inside)
            before = 0.0
            for k in range(nz):
                p = px, py, lower[2] + k * cell[2]
                # From one node to the next the distance changes by no more than the way: most faces are too far.
                best, nearest, face = (before + 1.0001 * cell[2] if k else 1e30), p, 0
                for f in range(faces):
                    far = math.sqrt(
                        (p[0] - middle[f, 0]) ** 2 + (p[1] - middle[f, 1]) ** 2 + (p[2] - middle[f, 2]) ** 2
                    )
                    if far - reach[f] >= best:
                        continue
                    t = corners[f]
                    q = _nearest(
                        p, (t[0, 0], t[0, 1], t[0, 2]), (t[1, 0], t[1, 1], t[1, 2]), (t[2, 0], t[2, 1], t[2, 2])
                    )
                    away = _less(p, q)
                    d = math.sqrt(_dot(away, away))
                    if d < best:
                        best, nearest, face = d, q, f
                before = best
                sign = -1.0 if inside[k] else 1.0
                distance[i, j, k] = sign * best
                out = _less(p, nearest)
                size = sign * best
                if best < 1e-12:
                    normal = np.cross(corners[face, 1] - corners[face, 0], corners[face, 2] - corners[face, 0])
                    out, size = (normal[0], normal[1], normal[2]), math.sqrt((normal**2).sum())
                for a in range(3):
                    gradient[i, j, k, a] = out[a] / size
