"""The kernel that runs whole steps: each thread calls it once, and they meet between its phases."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import numpy as np
from numba import njit

from pw_core.kernels.options import KERNEL
from pw_core.simulate.fast.grid import collect, move
from pw_core.simulate.fast.lanes import atomic_add, atomic_load, give_way
from pw_core.simulate.fast.layout import (
    ARRIVED,
    BLOCKS,
    BOX_NY,
    BOX_NZ,
    BOX_X,
    BOX_Y,
    BOX_Z,
    DRIFTED,
    DT,
    END,
    GENERATION,
    JP,
    NODE_NZ,
    OWNER,
    QUEUE,
    SCRATCH,
    START,
    UNITS,
    C,
    F,
    V,
    X,
)
from pw_core.simulate.fast.rigid import add_up, integrate
from pw_core.simulate.fast.transfer import gather, scatter

_PATIENCE = 4000  # looks at the others before the core is given away


@njit(inline="always")
def _meet(shared, threads):
    """Wait until all threads are here; the queue then begins anew."""
    if threads == 1:
        shared[QUEUE] = 0
        return
    before = atomic_load(shared, GENERATION)
    if atomic_add(shared, ARRIVED, 1) == threads - 1:
        shared[ARRIVED] = 0
        shared[QUEUE] = 0
        atomic_add(shared, GENERATION, 1)
        return
    looks = 0
    while atomic_load(shared, GENERATION) == before:
        looks += 1
        if looks > _PATIENCE:
            give_way()


@njit(inline="always")
def _fetch(unit, order, positions, velocities, cs, fs, jps, p, stride):
    for k in range(unit[START], unit[END]):
        i = order[k]
        for a in range(3):
            p[(X + a) * stride + k] = positions[i, a]
            p[(V + a) * stride + k] = velocities[i, a]
        for a in range(9):
            p[(C + a) * stride + k] = cs[i, a]
            p[(F + a) * stride + k] = fs[i, a]
        p[JP * stride + k] = jps[i]


@njit(inline="always")
def _return(unit, order, positions, velocities, cs, fs, jps, p, stride):
    for k in range(unit[START], unit[END]):
        i = order[k]
        for a in range(3):
            positions[i, a] = p[(X + a) * stride + k]
            velocities[i, a] = p[(V + a) * stride + k]
        for a in range(9):
            cs[i, a] = p[(C + a) * stride + k]
            fs[i, a] = p[(F + a) * stride + k]
        jps[i] = p[JP * stride + k]


@njit(**KERNEL)
def run(
    threads, shared, substeps, done, positions, velocities, cs, fs, jps, order, p, stride, units, nodes, lists, info,
    tiles, grid, constants, entities, slots, slot_count, friction, bodies, shapes, distances,
    gradients, reactions, held, held_low, pieces, offsets,
):  # fmt: skip
    """Take the sorted particles through `substeps`, fewer if one drifts out of its unit's reach: done[0] says.

    positions, velocities (n, 3), cs, fs (n, 9), jps (n,): the state in the caller's order, read and written.
    """
    s = np.zeros(SCRATCH * 16, np.float32)
    unit_count, block_count = info[UNITS], info[BLOCKS]
    x0, y0, z0, ny, nz = info[BOX_X], info[BOX_Y], info[BOX_Z], info[BOX_NY], info[BOX_NZ]
    tallest = 0
    for b in range(block_count):
        tallest = max(tallest, nodes[b, NODE_NZ])
    total = np.empty(16 * tallest * 4, np.float32)
    u = atomic_add(shared, QUEUE, 1)
    while u < unit_count:
        _fetch(units[u], order, positions, velocities, cs, fs, jps, p, stride)
        u = atomic_add(shared, QUEUE, 1)
    _meet(shared, threads)
    step = 0
    while step < substeps:
        u = atomic_add(shared, QUEUE, 1) - 1  # the first in the queue takes the bodies
        while u < unit_count:
            if u < 0:
                integrate(bodies, float(constants[DT]))
            else:
                scatter(p, stride, units[u], tiles, constants, entities[units[u, OWNER]], pieces, offsets, s)
            u = atomic_add(shared, QUEUE, 1) - 1
        _meet(shared, threads)
        u = atomic_add(shared, QUEUE, 1)
        while u < block_count:
            collect(nodes[u], units, lists, tiles, total)
            move(
                nodes[u], total, grid, x0, y0, z0, ny, nz, constants, slots, slot_count, friction, bodies, shapes,
                distances, gradients, reactions[u], held, held_low,
            )  # fmt: skip
            u = atomic_add(shared, QUEUE, 1)
        _meet(shared, threads)
        u = atomic_add(shared, QUEUE, 1) - 1
        while u < unit_count:
            if u < 0:
                add_up(bodies, reactions, block_count)
            else:
                gather(p, stride, units[u], grid, x0, y0, z0, ny, nz, constants, pieces, offsets, shared, s)
            u = atomic_add(shared, QUEUE, 1) - 1
        _meet(shared, threads)
        step += 1
        if atomic_load(shared, DRIFTED) > 0:
            break
    u = atomic_add(shared, QUEUE, 1)
    while u < unit_count:
        _return(units[u], order, positions, velocities, cs, fs, jps, p, stride)
        u = atomic_add(shared, QUEUE, 1)
    done[0] = step
