"""Rigid bodies: pose and twist in and out of the simulator, forces on them, contact with the table, paths of tools."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.actions import Tool
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, Entity
from pw_core.simulate.actions import Active, weights


def rotation(q: F64) -> F64:
    """Rotation matrix (3, 3) of a unit quaternion wxyz."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def multiply(a: F64, b: F64) -> F64:
    """Quaternion product a b, wxyz."""
    w, v, s, u = a[0], a[1:], b[0], b[1:]
    return np.concatenate([[w * s - v @ u], w * u + s * v + np.cross(v, u)])


def poses_of(body: Body, rest: F32, origin: F64) -> tuple[F32, F32]:
    """Positions [m] and velocities [m/s] (J, 3) of a body's particles, given at rest, at its pose and twist."""
    arm = (rest - origin) @ rotation(body.orientation).T
    velocity = body.linear + np.cross(body.angular, arm)
    return (arm + body.position).astype(np.float32), velocity.astype(np.float32)


def tool_pose(tool: Tool, t: float, start: Body) -> tuple[F64, F64]:
    """Where the tool is at time t [s] from the rollout's start: straight between poses, held outside of them."""
    s = min(max(t - tool.start, tool.times[0]), tool.times[-1])
    k = int(np.clip(np.searchsorted(tool.times, s, side="right") - 1, 0, len(tool.times) - 1))
    m = min(k + 1, len(tool.times) - 1)
    f = 0.0 if m == k else (s - tool.times[k]) / (tool.times[m] - tool.times[k])
    a, b = tool.poses[k], tool.poses[m]
    position = (1 - f) * np.array(a.position) + f * np.array(b.position)
    orientation = _slerp(np.array(a.orientation), np.array(b.orientation), f)
    if tool.relative:
        return start.position + position, multiply(orientation, start.orientation)
    return position, orientation


def _slerp(a: F64, b: F64, f: float) -> F64:
    if a @ b < 0:
        b = -b
    angle = float(np.arccos(np.clip(a @ b, -1, 1)))
    q = a + f * (b - a) if angle < 1e-6 else (np.sin((1 - f) * angle) * a + np.sin(f * angle) * b) / np.sin(angle)
    return np.asarray(q / np.linalg.norm(q), np.float64)


class RigidBody:
    """One rigid entity: dynamic, unless a tool action holds it."""

    def __init__(self, entity: Entity, link: Any, *, floor_friction: float) -> None:
        self.entity = entity
        self.tools: list[Tool] = []
        self.anchor: dict[int, Body] = {}
        self._link = link
        self._friction = min(1.0, floor_friction * entity.material.friction / 0.5)
        raise NotImplementedError

    def act(self, active: list[Active], t: float, dt: float, masses: F64, rest: F32) -> None:
        weights(rest, np.zeros(3), 0, 0)

    def settle(self, t: float, dt: float) -> None: ...

    def read(self) -> Body: ...

    def write(self, body: Body) -> None: ...
