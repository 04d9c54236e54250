"""Particles in the order of their cells, and the units of work that follow from it.

The order depends on the particles' positions and numbers alone, not on an earlier order: a run that goes on from a
saved state sums in the same order as one that was never stopped.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import numpy as np
from numba import njit

from pw_core.kernels.options import KERNEL, PART
from pw_core.simulate.fast.layout import (
    BLOCKS,
    BOX_NY,
    BOX_NZ,
    BOX_X,
    BOX_Y,
    BOX_Z,
    BX,
    BY,
    END,
    FLOATS,
    LIST,
    LIST_END,
    LOST,
    NODE_BX,
    NODE_BY,
    NODE_NZ,
    NODE_Z0,
    NZ,
    OWNER,
    START,
    TILE,
    TILE_SIDE,
    UNITS,
    Z0,
)


@njit(inline="always")
def _cells(positions, active, inverse_dx, low, high, cells, info):
    """Each active particle's first node, -1 in x for one that is not; counts those outside the domain."""
    info[LOST] = 0
    half = np.float32(0.5)
    for i in range(len(positions)):
        if not active[i]:
            cells[i, 3] = 0
            continue
        cells[i, 3] = 1
        for a in range(3):
            x = positions[i, a] * inverse_dx - half
            if not (x >= low[a] and x < high[a]):  # also what is not a number
                info[LOST] += 1
                break
            cells[i, a] = np.int32(np.floor(x))


@njit(inline="always")
def _within_unit(order, first, last, cells, z0, nz, counts, spare):
    """Counting sort of order[first:last] by cell; particles of one cell keep their order."""
    keys = 16 * nz
    counts[: keys + 1] = 0
    for k in range(first, last):
        i = order[k]
        counts[((cells[i, 0] & 3) * 4 + (cells[i, 1] & 3)) * nz + cells[i, 2] - z0 + 1] += 1
    for k in range(keys):
        counts[k + 1] += counts[k]
    for k in range(first, last):
        i = order[k]
        key = ((cells[i, 0] & 3) * 4 + (cells[i, 1] & 3)) * nz + cells[i, 2] - z0
        spare[first + counts[key]] = i
        counts[key] += 1
    for k in range(first, last):
        order[k] = spare[k]


@njit(**KERNEL)
def sort(positions, active, owners, entities, inverse_dx, low, high, cells, order, spare, units, nodes, lists, info):
    """Put the numbers of the active particles into `order`, unit by unit and there cell by cell.

    Args:
        positions: [m] (n, 3) float32; active (n,); owners: each particle's entity (n,).
        low, high: the domain in cells, (3,); particles outside are counted in info[LOST], and nothing is sorted.
        cells, order, spare: int32 (n, 4), (n,), (n,), written to.
        units: (UNIT columns), nodes: (NODE columns), lists: the units of each block of nodes; written to.
        info: INFO words, see `layout`. Where `nodes` or `lists` are too short, info[BLOCKS] is -1.
    """
    n = len(positions)
    _cells(positions, active, inverse_dx, low, high, cells, info)
    info[UNITS] = info[BLOCKS] = info[FLOATS] = 0
    if info[LOST]:
        return
    bx0, by0, bx1, by1 = 1 << 30, 1 << 30, -(1 << 30), -(1 << 30)
    count = 0
    for i in range(n):
        if cells[i, 3]:
            bx, by = cells[i, 0] >> 2, cells[i, 1] >> 2
            bx0, by0, bx1, by1 = min(bx0, bx), min(by0, by), max(bx1, bx), max(by1, by)
            count += 1
    if not count:
        return
    nbx, nby = bx1 - bx0 + 1, by1 - by0 + 1
    places = np.zeros(nbx * nby * entities + 1, np.int32)
    for i in range(n):
        if cells[i, 3]:
            places[(((cells[i, 0] >> 2) - bx0) * nby + (cells[i, 1] >> 2) - by0) * entities + owners[i] + 1] += 1
    made = 0
    for k in range(nbx * nby * entities):
        here = places[k + 1]
        if here:
            unit = units[made]
            unit[START], unit[END] = places[k], places[k] + here
            unit[OWNER], unit[BX], unit[BY] = k % entities, bx0 + k // (entities * nby), by0 + (k // entities) % nby
            made += 1
        places[k + 1] += places[k]
    for i in range(n):
        if cells[i, 3]:
            k = (((cells[i, 0] >> 2) - bx0) * nby + (cells[i, 1] >> 2) - by0) * entities + owners[i]
            order[places[k]] = i
            places[k] += 1
    floats, z_low, z_high = 0, 1 << 30, -(1 << 30)
    counts = np.zeros(1, np.int32)
    for u in range(made):
        unit = units[u]
        z0, z1 = 1 << 30, -(1 << 30)
        for k in range(unit[START], unit[END]):
            z = cells[order[k], 2]
            z0, z1 = min(z0, z), max(z1, z)
        if len(counts) < 16 * (z1 - z0 + 1) + 1:
            counts = np.zeros(32 * (z1 - z0 + 1) + 1, np.int32)
        _within_unit(order, unit[START], unit[END], cells, z0, z1 - z0 + 1, counts, spare)
        # A cell to drift into below and above, two more rows of the stencil, one that gets nothing; whole vectors.
        unit[Z0], unit[NZ] = z0 - 1, (z1 - z0 + 6 + 3) // 4 * 4
        unit[TILE] = floats
        floats += TILE_SIDE * TILE_SIDE * unit[NZ] * 4
        z_low, z_high = min(z_low, unit[Z0]), max(z_high, unit[Z0] + unit[NZ])
    info[UNITS], info[FLOATS] = made, floats
    info[BOX_X], info[BOX_Y], info[BOX_Z] = 4 * (bx0 - 1), 4 * (by0 - 1), z_low
    info[BOX_NY], info[BOX_NZ] = 4 * (nby + 2), (z_high - z_low + 3) // 4 * 4 + 4
    if info[BOX_NZ] % 64 == 0:  # rows a power of two apart would share few lines of the cache
        info[BOX_NZ] += 4
    _node_blocks(units, made, bx0 - 1, by0 - 1, nbx + 2, nby + 2, nodes, lists, info)


@njit(**PART)
def _node_blocks(units, made, bx0, by0, nbx, nby, nodes, lists, info):
    """The blocks of nodes that units reach: their own and those around; each with its units, in their order."""
    counts = np.zeros(nbx * nby + 1, np.int32)
    for u in range(made):
        k = (units[u, BX] - bx0) * nby + units[u, BY] - by0
        for d in range(9):
            counts[k + (d // 3 - 1) * nby + d % 3 - 1] += 1
    blocks, listed = 0, 0
    for k in range(nbx * nby):
        if counts[k] and blocks < len(nodes):
            node = nodes[blocks]
            node[NODE_BX], node[NODE_BY], node[LIST], node[LIST_END] = bx0 + k // nby, by0 + k % nby, listed, listed
        blocks += counts[k] > 0
        listed += counts[k]
        counts[k] = blocks - 1
    if blocks > len(nodes) or listed > len(lists):
        info[BLOCKS] = -1
        return
    for u in range(made):
        k = (units[u, BX] - bx0) * nby + units[u, BY] - by0
        z0, z1 = units[u, Z0], units[u, Z0] + units[u, NZ]
        for d in range(9):
            node = nodes[counts[k + (d // 3 - 1) * nby + d % 3 - 1]]
            if node[LIST] == node[LIST_END]:
                node[NODE_Z0], node[NODE_NZ] = z0, z1
            node[NODE_Z0], node[NODE_NZ] = min(node[NODE_Z0], z0), max(node[NODE_NZ], z1)
            lists[node[LIST_END]] = u
            node[LIST_END] += 1
    for b in range(blocks):
        nodes[b, NODE_NZ] = (nodes[b, NODE_NZ] - nodes[b, NODE_Z0] + 3) // 4 * 4
    info[BLOCKS] = blocks
