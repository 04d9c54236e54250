"""What happens on the grid: tiles summed, momentum to velocity, actions, the table, rigid bodies.

A block of 4 x 4 columns of nodes belongs to one thread at a time. It adds up the tiles that reach it in their units'
order, so that the sums do not depend on threads.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math

import numpy as np
from numba import njit

from pw_core.kernels.options import PART
from pw_core.kernels.simd import vload, vselect, vsplat, vstore
from pw_core.simulate.fast.lanes import vlast_of_quads, vquad
from pw_core.simulate.fast.layout import (
    BODY_POSITION,
    BODY_REACH,
    BX,
    BY,
    DT,
    DX,
    FLOOR,
    GRAVITY,
    HIGH,
    LIST,
    LIST_END,
    LOW,
    NODE_BX,
    NODE_BY,
    NODE_NZ,
    NODE_Z0,
    NORM_EPSILON,
    NZ,
    SMALLEST_MASS,
    TILE,
    TILE_SIDE,
    Z0,
)
from pw_core.simulate.fast.rigid import meet


@njit(**PART)
def collect(node, units, lists, tiles, total):
    """Sum the tiles that reach a block of nodes into total[column * nz * 4 ...], 16 columns of quads."""
    nz = np.intp(node[NODE_NZ])
    zero = vsplat(np.float32(0.0))
    for k in range(0, 16 * nz * 4, 16):
        vstore(total, k, zero)
    for k in range(node[LIST], node[LIST_END]):
        unit = units[lists[k]]
        run, tile = np.intp(unit[NZ]) * 4, np.intp(unit[TILE])
        x0, y0 = 4 * (node[NODE_BX] - unit[BX]) + 1, 4 * (node[NODE_BY] - unit[BY]) + 1
        up = np.intp(unit[Z0] - node[NODE_Z0]) * 4
        for x in range(max(0, -x0), min(4, TILE_SIDE - x0)):
            for y in range(max(0, -y0), min(4, TILE_SIDE - y0)):
                source = tile + np.intp((x0 + x) * TILE_SIDE + y0 + y) * run
                target = np.intp(x * 4 + y) * nz * 4 + up
                for j in range(0, run, 16):
                    vstore(total, target + j, vload(total, target + j) + vload(tiles, source + j))


@njit(inline="always")
def _slot_weight(slot, x, y, z):
    """How much of a slot's acceleration a node feels, as `SlotField`'s kernel has it."""
    dx, dy, dz = x - slot[3], y - slot[4], z - slot[5]
    r = np.float32(math.sqrt(dx * dx + dy * dy + dz * dz)) / slot[6]
    if r >= np.float32(1.0):
        return np.float32(0.0)
    if slot[7] > np.float32(1.5):
        return np.float32(math.exp(np.float32(-4.5) * r * r))
    if slot[7] > np.float32(0.5):
        return np.float32(1.0) - r
    return np.float32(1.0)


@njit(inline="always")
def slide(vx, vy, vz, nx, ny, nz, friction):
    """Velocity relative to a surface of normal n after Coulomb's law; unchanged where it leads away."""
    along = vx * nx + vy * ny + vz * nz
    if not along < np.float32(0.0):
        return vx, vy, vz
    tx, ty, tz = vx - along * nx, vy - along * ny, vz - along * nz
    size = np.float32(math.sqrt(tx * tx + ty * ty + tz * tz + np.float32(NORM_EPSILON)))
    kept = max(np.float32(0.0), size + along * friction) / size
    return tx * kept, ty * kept, tz * kept


@njit(inline="always")
def _stop(grid, first, nz, z0, px, py, dx, constants):
    """The domain's wall: nodes on it and beyond do not move outwards."""
    zero = np.float32(0.0)
    for j in range(nz):
        n, pz = first + 4 * j, np.float32(z0 + j) * dx
        if px >= constants[HIGH]:
            grid[n] = min(grid[n], zero)
        elif px <= constants[LOW]:
            grid[n] = max(grid[n], zero)
        if py >= constants[HIGH + 1]:
            grid[n + 1] = min(grid[n + 1], zero)
        elif py <= constants[LOW + 1]:
            grid[n + 1] = max(grid[n + 1], zero)
        if pz >= constants[HIGH + 2]:
            grid[n + 2] = min(grid[n + 2], zero)
        elif pz <= constants[LOW + 2]:
            grid[n + 2] = max(grid[n + 2], zero)


@njit(**PART)
def move(
    node, total, grid, box_x, box_y, box_z, box_ny, box_nz, constants, slots, slot_count, friction, bodies, shapes,
    distances, gradients, reactions, held, held_low,
):  # fmt: skip
    """A block's momenta to velocities in `grid`: gravity, actions, the table z = 0, bodies in their order, the wall,
    and what is held.

    slots [slot, 8]: the actions with a radius, `slot_count` of them; those without are part of the gravity.
    reactions [body, 6]: written to, what the block gives the bodies.
    held [x, y, z] from the node held_low (3,): where it is not 0 nothing moves; empty: nothing is held.
    """
    reactions[:] = 0
    velocity = np.zeros(3)
    nz, z0 = np.intp(node[NODE_NZ]), np.intp(node[NODE_Z0])
    dt, dx = constants[DT], constants[DX]
    fall = dt * vquad(constants, GRAVITY)
    for column in range(16):
        x, y = 4 * np.intp(node[NODE_BX]) + column // 4, 4 * np.intp(node[NODE_BY]) + column % 4
        first = (((x - box_x) * box_ny + y - box_y) * box_nz + z0 - box_z) * 4
        source = column * nz * 4
        for j in range(0, nz * 4, 16):
            quads = vload(total, source + j)
            mass = vlast_of_quads(quads)
            vstore(grid, first + j, vselect(mass > np.float32(SMALLEST_MASS), quads * (1.0 / mass) + fall, 0.0))
        px, py = np.float32(x) * dx, np.float32(y) * dx
        for k in range(slot_count):
            slot = slots[k]
            reach = slot[6] * slot[6] - (px - slot[3]) ** 2 - (py - slot[4]) ** 2
            if reach <= 0.0:
                continue
            reach = math.sqrt(reach)
            low = max(0, np.intp(math.floor((slot[5] - reach) / dx)) - z0)
            high = min(nz, np.intp(math.ceil((slot[5] + reach) / dx)) + 1 - z0)
            for j in range(low, high):
                if total[source + 4 * j + 3] > np.float32(SMALLEST_MASS):
                    w = _slot_weight(slot, px, py, np.float32(z0 + j) * dx) * dt
                    for a in range(3):
                        grid[first + 4 * j + a] += w * slot[a]
        for j in range(min(nz, np.intp(constants[FLOOR]) + 1 - z0)):  # nodes on the table's plane and beneath
            n = first + 4 * j
            if total[source + 4 * j + 3] > np.float32(SMALLEST_MASS):
                zero, one = np.float32(0.0), np.float32(1.0)
                grid[n], grid[n + 1], grid[n + 2] = slide(grid[n], grid[n + 1], grid[n + 2], zero, zero, one, friction)
        for b in range(len(bodies)):
            body = bodies[b]
            reach = body[BODY_REACH] ** 2 - (px - body[BODY_POSITION]) ** 2 - (py - body[BODY_POSITION + 1]) ** 2
            if reach <= 0.0:
                continue
            reach = math.sqrt(reach)
            low = max(0, np.intp(math.floor((body[BODY_POSITION + 2] - reach) / dx)) - z0)
            high = min(nz, np.intp(math.ceil((body[BODY_POSITION + 2] + reach) / dx)) + 1 - z0)
            for j in range(low, high):
                mass = total[source + 4 * j + 3]
                if mass > np.float32(SMALLEST_MASS):
                    n = first + 4 * j
                    velocity[0], velocity[1], velocity[2] = grid[n], grid[n + 1], grid[n + 2]
                    pz = np.float32(z0 + j) * dx
                    meet(body, shapes[b], distances, gradients, px, py, pz, mass, dt, velocity, reactions[b])
                    grid[n], grid[n + 1], grid[n + 2] = velocity[0], velocity[1], velocity[2]
        aside = px >= constants[HIGH] or px <= constants[LOW] or py >= constants[HIGH + 1] or py <= constants[LOW + 1]
        low, high = np.float32(z0) * dx, np.float32(z0 + nz) * dx
        if aside or low <= constants[LOW + 2] or high >= constants[HIGH + 2]:
            _stop(grid, first, nz, z0, px, py, dx, constants)
        hx, hy = x - held_low[0], y - held_low[1]
        if 0 <= hx < held.shape[0] and 0 <= hy < held.shape[1]:
            for j in range(max(0, held_low[2] - z0), min(nz, held_low[2] + held.shape[2] - z0)):
                if held[hx, hy, z0 + j - held_low[2]]:
                    n = first + 4 * j
                    grid[n] = grid[n + 1] = grid[n + 2] = np.float32(0.0)
