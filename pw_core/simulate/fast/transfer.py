"""Particles to grid and back (MLS-MPM with APIC, quadratic B-splines), one unit of work at a time.

Nodes are quads of momentum and mass along z, so that the three nodes of a stencil's row, and one more that gets weight
0, are one vector: nine vectors a particle. A unit's particles are sorted by cell: as long as the cell stays the same,
the nine rows stay in registers, and neighbours share their loads and stores. Where a particle has left its cell since
the sort, the rows are fetched once more; nothing else changes.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import numpy as np
from numba import njit

from pw_core.kernels.options import PART
from pw_core.kernels.simd import vandnot, vany, vload, vselect, vsplat, vstore
from pw_core.simulate.fast.lanes import (
    atomic_add,
    vcount,
    vfloor,
    vquad,
    vstore_first,
    vsum_quads,
    vtranspose,
)
from pw_core.simulate.fast.layout import (
    BX,
    BY,
    CELL,
    DRIFTED,
    DT,
    DX,
    END,
    EXCHANGE,
    FZ,
    HIGH,
    INVERSE_DX,
    LOW,
    MASS,
    NZ,
    START,
    STRESS,
    TAU,
    TILE,
    TILE_SIDE,
    TURNED,
    WX,
    WXD,
    WY,
    WYD,
    Z0,
    C,
    V,
    X,
)
from pw_core.simulate.fast.materials import respond

# The weight of a row's node k at f cells from its first is c0 + f (c1 + f c2), each for all four lanes of a quad.
_PIECES = np.array([[1.125, -1.5, 0.5], [-0.25, 2.0, -1.0], [0.125, -0.5, 0.5], [0.0, 0.0, 0.0]], np.float32)
PIECES = np.ascontiguousarray(np.repeat(_PIECES, 4, axis=0).T).reshape(-1)  # [3 * 16]
OFFSETS = np.repeat(np.arange(4, dtype=np.float32), 4)  # [16]


@njit(inline="always")
def _weights(s, f, at, at_d):
    """The three weights along an axis, and each times the node's distance in cells; `f` cells from the first."""
    a = 1.5 - f
    w = a * a * 0.5
    vstore(s, at * 16, w)
    vstore(s, at_d * 16, w * (0.0 - f))
    d = 1.0 - f
    w = 0.75 - d * d
    vstore(s, at * 16 + 16, w)
    vstore(s, at_d * 16 + 16, w * d)
    a = f - 0.5
    w = a * a * 0.5
    vstore(s, at * 16 + 32, w)
    vstore(s, at_d * 16 + 32, w * (2.0 - f))


@njit(inline="always")
def _locate(p, stride, at, inverse_dx, unit, along_x, along_y, s):
    """Weights of sixteen particles, and where their first nodes lie in a grid of these strides."""
    gx = vload(p, X * stride + at) * inverse_dx
    gy = vload(p, (X + 1) * stride + at) * inverse_dx
    gz = vload(p, (X + 2) * stride + at) * inverse_dx
    bx, by, bz = vfloor(gx - 0.5), vfloor(gy - 0.5), vfloor(gz - 0.5)
    _weights(s, gx - bx, WX, WXD)
    _weights(s, gy - by, WY, WYD)
    vstore(s, FZ * 16, gz - bz)
    x, y, z = bx - (4.0 * unit[BX] - 1.0), by - (4.0 * unit[BY] - 1.0), bz - float(unit[Z0])
    vstore(s, CELL * 16, x * float(along_x) + y * float(along_y) + z)


@njit(inline="always")
def _quads(p, stride, at, mass, dx, stress, s):
    """Four quads of each of sixteen particles, for `scatter`: momentum and mass, the affine part's columns times dx."""
    vstore(s, EXCHANGE * 16 + 48, vsplat(mass))
    for a in range(3):
        vstore(s, (EXCHANGE + a) * 16, mass * vload(p, (V + a) * stride + at))
        for b in range(3):
            affine = stress * vload(s, (TAU + 3 * a + b) * 16) + (mass * dx) * vload(p, (C + 3 * a + b) * stride + at)
            vstore(s, (EXCHANGE + 4 + 4 * b + a) * 16, affine)
    for b in range(3):
        vstore(s, (EXCHANGE + 7 + 4 * b) * 16, vsplat(np.float32(0.0)))
    vtranspose(s, EXCHANGE * 16, s, TURNED * 16)


@njit(inline="always")
def _add(tiles, at, row, plane, r0, r1, r2):
    """Add the nine rows of a cell to the tile."""
    vstore(tiles, at, vload(tiles, at) + r0[0])
    vstore(tiles, at + row, vload(tiles, at + row) + r0[1])
    vstore(tiles, at + 2 * row, vload(tiles, at + 2 * row) + r0[2])
    at += plane
    vstore(tiles, at, vload(tiles, at) + r1[0])
    vstore(tiles, at + row, vload(tiles, at + row) + r1[1])
    vstore(tiles, at + 2 * row, vload(tiles, at + 2 * row) + r1[2])
    at += plane
    vstore(tiles, at, vload(tiles, at) + r2[0])
    vstore(tiles, at + row, vload(tiles, at + row) + r2[1])
    vstore(tiles, at + 2 * row, vload(tiles, at + 2 * row) + r2[2])


@njit(**PART)
def scatter(p, stride, unit, tiles, constants, entity, pieces, offsets, s):
    """A unit's particles through the material's law and onto its tile, which is cleared first."""
    start, end, nz = np.intp(unit[START]), np.intp(unit[END]), np.intp(unit[NZ])
    tile = np.intp(unit[TILE])
    for k in range(tile, tile + TILE_SIDE * TILE_SIDE * nz * 4, 16):
        vstore(tiles, k, vsplat(np.float32(0.0)))
    row, plane = nz * 4, TILE_SIDE * nz * 4
    c0, c1, c2 = vload(pieces, 0), vload(pieces, 16), vload(pieces, 32)
    offset = vload(offsets, 0)
    zero = vsplat(np.float32(0.0))
    mass, dx = entity[MASS], constants[DX]
    stress = constants[STRESS] * dx
    r00 = r01 = r02 = r10 = r11 = r12 = r20 = r21 = r22 = zero
    cell = np.float32(-1.0)
    at_node = tile
    for at in range(start, end, 16):
        count = min(16, end - at)
        inside = vcount(np.float32(0.0)) < np.float32(count)
        # Where the particle is needs its position only: before `respond`, whose writes it need not wait for.
        _locate(p, stride, at, constants[INVERSE_DX], unit, TILE_SIDE * nz, nz, s)
        respond(p, stride, at, inside, constants, entity, s)
        _quads(p, stride, at, mass, dx, stress, s)
        for i in range(count):
            here = s[CELL * 16 + i]
            if here != cell:
                if cell >= 0.0:
                    _add(tiles, at_node, row, plane, (r00, r01, r02), (r10, r11, r12), (r20, r21, r22))
                cell = here
                at_node = tile + np.intp(here) * 4
                r00 = r01 = r02 = r10 = r11 = r12 = r20 = r21 = r22 = zero
            quads = (TURNED + i) * 16
            f = vsplat(s[FZ * 16 + i])
            wz = c0 + f * (c1 + f * c2)
            base = wz * (vquad(s, quads) + (offset - f) * vquad(s, quads + 12))
            gx, gy = wz * vquad(s, quads + 4), wz * vquad(s, quads + 8)
            y0, y1, y2 = s[WY * 16 + i], s[WY * 16 + 16 + i], s[WY * 16 + 32 + i]
            e0, e1, e2 = s[WYD * 16 + i], s[WYD * 16 + 16 + i], s[WYD * 16 + 32 + i]
            x = s[WX * 16 + i]
            m, g = x * base + s[WXD * 16 + i] * gx, x * gy
            r00 = r00 + y0 * m + e0 * g
            r01 = r01 + y1 * m + e1 * g
            r02 = r02 + y2 * m + e2 * g
            x = s[WX * 16 + 16 + i]
            m, g = x * base + s[WXD * 16 + 16 + i] * gx, x * gy
            r10 = r10 + y0 * m + e0 * g
            r11 = r11 + y1 * m + e1 * g
            r12 = r12 + y2 * m + e2 * g
            x = s[WX * 16 + 32 + i]
            m, g = x * base + s[WXD * 16 + 32 + i] * gx, x * gy
            r20 = r20 + y0 * m + e0 * g
            r21 = r21 + y1 * m + e1 * g
            r22 = r22 + y2 * m + e2 * g
    _add(tiles, at_node, row, plane, (r00, r01, r02), (r10, r11, r12), (r20, r21, r22))


@njit(**PART)
def gather(p, stride, unit, grid, box_x, box_y, box_z, box_ny, box_nz, constants, pieces, offsets, shared, s):
    """Velocities, C and positions of a unit's particles from the grid's velocities, and the walls.

    grid [x, y, z, 4], a box of nodes from (box_x, box_y, box_z). Says in `shared` when a particle has drifted so far
    that its unit's tile would not hold it.
    """
    start, end, nz = np.intp(unit[START]), np.intp(unit[END]), unit[NZ]
    along_x, along_y = np.intp(box_ny) * np.intp(box_nz), np.intp(box_nz)
    first = (4 * np.intp(unit[BX]) - 1 - box_x) * along_x + (4 * np.intp(unit[BY]) - 1 - box_y) * along_y
    first = (first + unit[Z0] - box_z) * 4
    row, plane = along_y * 4, along_x * 4
    c0, c1, c2 = vload(pieces, 0), vload(pieces, 16), vload(pieces, 32)
    offset = vload(offsets, 0)
    dt, inverse_dx = constants[DT], constants[INVERSE_DX]
    slope = np.float32(4.0) * inverse_dx
    r00 = r01 = r02 = r10 = r11 = r12 = r20 = r21 = r22 = vsplat(np.float32(0.0))
    cell = np.float32(-1.0)
    for at in range(start, end, 16):
        count = min(16, end - at)
        inside = vcount(np.float32(0.0)) < np.float32(count)
        _locate(p, stride, at, inverse_dx, unit, along_x, along_y, s)
        for i in range(count):
            here = s[CELL * 16 + i]
            if here != cell:
                cell = here
                n = first + np.intp(here) * 4
                r00, r01, r02 = vload(grid, n), vload(grid, n + row), vload(grid, n + 2 * row)
                n += plane
                r10, r11, r12 = vload(grid, n), vload(grid, n + row), vload(grid, n + 2 * row)
                n += plane
                r20, r21, r22 = vload(grid, n), vload(grid, n + row), vload(grid, n + 2 * row)
            f = vsplat(s[FZ * 16 + i])
            wz = c0 + f * (c1 + f * c2)
            y0, y1, y2 = s[WY * 16 + i], s[WY * 16 + 16 + i], s[WY * 16 + 32 + i]
            e0, e1, e2 = s[WYD * 16 + i], s[WYD * 16 + 16 + i], s[WYD * 16 + 32 + i]
            m0, m1, m2 = y0 * r00 + y1 * r01 + y2 * r02, y0 * r10 + y1 * r11 + y2 * r12, y0 * r20 + y1 * r21 + y2 * r22
            g0, g1, g2 = e0 * r00 + e1 * r01 + e2 * r02, e0 * r10 + e1 * r11 + e2 * r12, e0 * r20 + e1 * r21 + e2 * r22
            x0, x1, x2 = s[WX * 16 + i], s[WX * 16 + 16 + i], s[WX * 16 + 32 + i]
            v = wz * (x0 * m0 + x1 * m1 + x2 * m2)
            cy = wz * (x0 * g0 + x1 * g1 + x2 * g2)
            x0, x1, x2 = s[WXD * 16 + i], s[WXD * 16 + 16 + i], s[WXD * 16 + 32 + i]
            cx = wz * (x0 * m0 + x1 * m1 + x2 * m2)
            vstore(s, (TURNED + i) * 16, vsum_quads(v, cx, cy, v * (offset - f)))
        vtranspose(s, TURNED * 16, s, EXCHANGE * 16)
        kept = inside
        for a in range(3):
            v = vload(s, (EXCHANGE + a) * 16)
            x = vload(p, (X + a) * stride + at) + dt * v
            low, high = constants[LOW + a], constants[HIGH + a]
            v = vselect((x >= high) & (v >= 0.0), 0.0, v)
            v = vselect((x <= low) & (v <= 0.0), 0.0, v)
            x = vselect(x > high, high, x)  # what is not a number stays so, and is seen
            x = vselect(x < low, low, x)
            vstore_first(p, (X + a) * stride + at, x, inside)
            vstore_first(p, (V + a) * stride + at, v, inside)
            b = vfloor(x * inverse_dx - 0.5)
            if a == 0:
                b = b - (4.0 * unit[BX] - 1.0)
                kept = kept & (b >= 0.0) & (b <= 5.0)
            elif a == 1:
                b = b - (4.0 * unit[BY] - 1.0)
                kept = kept & (b >= 0.0) & (b <= 5.0)
            else:
                b = b - float(unit[Z0])
                kept = kept & (b >= 0.0) & (b <= float(nz - 4))
            for k in range(3):
                vstore_first(
                    p, (C + 3 * a + k) * stride + at, slope * vload(s, (EXCHANGE + 4 + 4 * k + a) * 16), inside
                )
        if vany(vandnot(inside, kept)):
            atomic_add(shared, DRIFTED, 1)
