"""Rigid bodies among the deformables: their motion in a substep, and what a node and a body do to each other.

The body's equations are Genesis's: implicit midpoint for free bodies; what deformables gave it in one substep acts in
the next. Its state is in double precision, so that a twist that was read is written back to the bit.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math

import numpy as np
from numba import njit

from pw_core.kernels.options import PART
from pw_core.simulate.fast.layout import (
    BODY_CELL,
    BODY_FORCE,
    BODY_FRICTION,
    BODY_HELD,
    BODY_INERTIA,
    BODY_LINEAR,
    BODY_LOW,
    BODY_MASS,
    BODY_ORIENTATION,
    BODY_POSITION,
    BODY_REACH,
    BODY_SOFTNESS,
    BODY_SPIN,
    BODY_TURN,
    BODY_WIDEST,
    NORM_EPSILON,
    VOLUME_SCALE,
)

_ROUNDS = 12  # of the midpoint's fixed point, each smaller by the angle of half a substep


@njit(**PART)
def turn(body):
    """Put the rotation matrix of a body's quaternion into its row."""
    w, x, y, z = body[BODY_ORIENTATION : BODY_ORIENTATION + 4]
    r = body[BODY_TURN : BODY_TURN + 9]
    r[0], r[1], r[2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    r[3], r[4], r[5] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    r[6], r[7], r[8] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@njit(**PART)
def integrate(bodies, h):
    """Every body one substep of h [s] further, under what the deformables gave it in the last one."""
    for b in range(len(bodies)):
        body = bodies[b]
        force, torque = body[BODY_FORCE : BODY_FORCE + 3], body[BODY_FORCE + 3 : BODY_FORCE + 6]
        for a in range(3):
            change = h * force[a] / (body[BODY_MASS] + body[BODY_HELD])
            body[BODY_POSITION + a] += h * (body[BODY_LINEAR + a] + 0.5 * change)
            body[BODY_LINEAR + a] += change
        r = body[BODY_TURN : BODY_TURN + 9].copy().reshape(3, 3)
        inertia = body[BODY_INERTIA : BODY_INERTIA + 9].copy().reshape(3, 3)
        heavier = inertia.copy()
        for a in range(3):
            heavier[a, a] += body[BODY_HELD]
        inverse = np.linalg.inv(heavier)
        spin = r.T @ body[BODY_SPIN : BODY_SPIN + 3].copy()
        load = r.T @ torque.copy()
        middle = spin.copy()
        for _ in range(_ROUNDS):
            middle = spin + 0.5 * h * (inverse @ (load - np.cross(middle, inertia @ middle)))
        angle = math.sqrt((middle**2).sum()) * h
        if angle > 0:
            s = math.sin(0.5 * angle) / angle * h
            c, x, y, z = math.cos(0.5 * angle), middle[0] * s, middle[1] * s, middle[2] * s
            q = body[BODY_ORIENTATION : BODY_ORIENTATION + 4].copy()
            n0 = q[0] * c - q[1] * x - q[2] * y - q[3] * z
            n1 = q[0] * x + q[1] * c + q[2] * z - q[3] * y
            n2 = q[0] * y - q[1] * z + q[2] * c + q[3] * x
            n3 = q[0] * z + q[1] * y - q[2] * x + q[3] * c
            size = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2 + n3 * n3)
            n = BODY_ORIENTATION
            body[n], body[n + 1], body[n + 2], body[n + 3] = n0 / size, n1 / size, n2 / size, n3 / size
            turn(body)
        body[BODY_SPIN : BODY_SPIN + 3] = body[BODY_TURN : BODY_TURN + 9].copy().reshape(3, 3) @ (2 * middle - spin)
        body[BODY_FORCE : BODY_FORCE + 6] = 0


@njit(**PART)
def add_up(bodies, reactions, blocks):
    """The forces that blocks of nodes [block, body, 6] gave the bodies, always in the same order."""
    for b in range(len(bodies)):
        for k in range(blocks):
            for a in range(6):
                bodies[b, BODY_FORCE + a] += reactions[k, b, a]


@njit(**PART)
def sample(body, shape, values, gradients, x, y, z, normal):
    """Signed distance [m] at a point in the world, and the surface's normal there in the body's frame."""
    r = body[BODY_TURN : BODY_TURN + 9]
    dx, dy, dz = x - body[BODY_POSITION], y - body[BODY_POSITION + 1], z - body[BODY_POSITION + 2]
    gx = (r[0] * dx + r[3] * dy + r[6] * dz - body[BODY_LOW]) / body[BODY_CELL]
    gy = (r[1] * dx + r[4] * dy + r[7] * dz - body[BODY_LOW + 1]) / body[BODY_CELL + 1]
    gz = (r[2] * dx + r[5] * dy + r[8] * dz - body[BODY_LOW + 2]) / body[BODY_CELL + 2]
    nx, ny, nz = shape[1], shape[2], shape[3]
    if not (gx > 0 and gy > 0 and gz > 0 and gx < nx - 1 and gy < ny - 1 and gz < nz - 1):
        for a in range(3):
            g = gx if a == 0 else (gy if a == 1 else gz)
            normal[a] = (g - 0.5 * (shape[1 + a] - 1)) * body[BODY_CELL + a]
        return math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + body[BODY_WIDEST]
    i, j, k = min(int(gx), nx - 2), min(int(gy), ny - 2), min(int(gz), nz - 2)
    fx, fy, fz = gx - i, gy - j, gz - k
    total = 0.0
    normal[:] = 0
    for c in range(8):
        ci, cj, ck = c >> 2, (c >> 1) & 1, c & 1
        w = (fx if ci else 1 - fx) * (fy if cj else 1 - fy) * (fz if ck else 1 - fz)
        n = shape[0] + ((i + ci) * ny + j + cj) * nz + k + ck
        total += w * values[n]
        for a in range(3):
            normal[a] += w * gradients[n, a]
    return total


@njit(**PART)
def meet(body, shape, values, gradients, x, y, z, mass, dt, velocity, reaction):
    """A node of `mass` (with the volume scale) at (x, y, z) meets a body: velocity (3,) and reaction (6,) change.

    Contact reaches beyond the surface: what happens there counts by exp(-distance / softness), down to a tenth.
    """
    dx, dy, dz = x - body[BODY_POSITION], y - body[BODY_POSITION + 1], z - body[BODY_POSITION + 2]
    if dx * dx + dy * dy + dz * dz > body[BODY_REACH] ** 2:
        return
    normal = np.zeros(3)
    distance = sample(body, shape, values, gradients, x, y, z, normal)
    influence = min(math.exp(-distance / max(1e-10, body[BODY_SOFTNESS])), 1.0)
    if not influence > 0.1:
        return
    r = body[BODY_TURN : BODY_TURN + 9]
    size = max(math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), NORM_EPSILON)
    nx = (r[0] * normal[0] + r[1] * normal[1] + r[2] * normal[2]) / size
    ny = (r[3] * normal[0] + r[4] * normal[1] + r[5] * normal[2]) / size
    nz = (r[6] * normal[0] + r[7] * normal[1] + r[8] * normal[2]) / size
    sx, sy, sz = body[BODY_SPIN], body[BODY_SPIN + 1], body[BODY_SPIN + 2]
    vx = velocity[0] - body[BODY_LINEAR] - (sy * dz - sz * dy)
    vy = velocity[1] - body[BODY_LINEAR + 1] - (sz * dx - sx * dz)
    vz = velocity[2] - body[BODY_LINEAR + 2] - (sx * dy - sy * dx)
    along = vx * nx + vy * ny + vz * nz
    if not along < 0:
        return
    tx, ty, tz = vx - along * nx, vy - along * ny, vz - along * nz
    speed = math.sqrt(tx * tx + ty * ty + tz * tz + NORM_EPSILON)
    kept = max(0.0, speed + along * body[BODY_FRICTION]) / speed
    cx, cy, cz = influence * (tx * kept - vx), influence * (ty * kept - vy), influence * (tz * kept - vz)
    velocity[0] += cx
    velocity[1] += cy
    velocity[2] += cz
    k = -mass / (VOLUME_SCALE * dt)
    fx, fy, fz = k * cx, k * cy, k * cz
    reaction[0] += fx
    reaction[1] += fy
    reaction[2] += fz
    reaction[3] += dy * fz - dz * fy
    reaction[4] += dz * fx - dx * fz
    reaction[5] += dx * fy - dy * fx
