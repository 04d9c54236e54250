"""Rigid bodies: pose and twist in and out of the simulator, forces on them, contact with the table, paths of tools."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from pw_core.actions import Tool
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, Entity
from pw_core.simulate.actions import Active, weights
from pw_core.simulate.engine import BodyHandle
from pw_core.simulate.rotations import multiply, rotation


def poses_of(body: Body, rest: F32, origin: F64) -> tuple[F32, F32]:
    """Positions [m] and velocities [m/s] (J, 3) of a body's particles, given at rest, at its pose and twist."""
    arm = (rest - origin) @ rotation(body.orientation).T
    velocity = body.linear + np.cross(body.angular, arm)
    return (arm + body.position).astype(np.float32), velocity.astype(np.float32)


def tool_pose(tool: Tool, t: float, start: Body) -> tuple[F64, F64]:
    """Where the tool is at time t [s] from the rollout's start: straight between poses, held after the last.

    Poses in the world whose first time is not 0 begin with the way there from `start`, rather than with a jump.
    """
    since = t - tool.start
    if not tool.relative and since < tool.times[0] and tool.times[0] > 0:
        f, first = max(since, 0.0) / tool.times[0], tool.poses[0]
        position = (1 - f) * start.position + f * np.array(first.position)
        return position, _slerp(start.orientation, np.array(first.orientation), f)
    s = min(max(since, tool.times[0]), tool.times[-1])
    k = max(bisect_right(tool.times, s) - 1, 0)
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


def contact_shape(entity: Entity) -> tuple[F64, F64]:
    """Corners of an entity's hull about its centre [m] (m, 3), and the inverse of its inertia [1/(kg m²)] (3, 3)."""
    import trimesh

    mesh = trimesh.Trimesh(entity.mesh.vertices - entity.origin, entity.mesh.faces)
    inertia = np.asarray(mesh.moment_inertia, np.float64) * (entity.mass_kg / max(abs(float(mesh.volume)), 1e-12))
    return np.asarray(mesh.convex_hull.vertices, np.float64), np.asarray(np.linalg.inv(inertia), np.float64)


class RigidBody:
    """One rigid entity: dynamic, unless a tool action holds it; a kinematic tool rests where it is between its actions.

    The simulator moves it and couples it to the deformables; forces and the table's contact are changes of velocity
    between steps, computed here: Genesis's own contact costs two minutes of compiling, and a plane needs little.
    """

    def __init__(
        self, entity: Entity, handle: BodyHandle, *, friction: float, floor: bool = True, fixed: bool = False
    ) -> None:
        """floor: whether the table z = 0 bears it; fixed: it stays where it is, unless a tool action moves it."""
        self.entity = entity
        self._floor, self._fixed = floor, fixed
        self.tools: list[Tool] = []
        self.anchor: dict[int, Body] = {}
        self._held = False
        self._handle = handle
        self.friction = friction  # against the table
        self._support, self._inertia_inverse = contact_shape(entity)

    def read(self) -> Body:
        """Pose and twist now."""
        return self._handle.read()

    def reset(self, body: Body) -> None:
        """Put pose and twist in place, and forget what acted on it before."""
        self._handle.take_coupling()
        self.write(body)

    def write(self, body: Body) -> None:
        """Put pose and twist in place."""
        self._handle.write(body)

    def act(self, active: list[Active], t: float, dt: float, rest: F32) -> None:
        """Prepare the step [t, t + dt]: follow a tool's path, or take forces and the table's contact.

        `rest` are the positions [m] of the body's particles at rest, (n, 3): an action's region is judged by them.
        """
        now = self.read()
        current = [(i, tool) for i, tool in enumerate(self.tools) if tool.start <= t + 0.5 * dt < tool.end]
        self._hold(bool(current) or self.entity.kind == "tool" or self._fixed)
        for i, tool in current[:1]:
            self._follow(tool, self.anchor.setdefault(i, now), t, dt)
            return
        if self._held:
            self.write(_still(now))
            return
        turn = rotation(now.orientation)
        inverse = turn @ self._inertia_inverse @ turn.T
        points, _ = poses_of(now, rest, self.entity.origin)
        linear, angular = now.linear.copy(), now.angular.copy()
        share = self.entity.mass_kg / max(1, len(points))
        for a in active:
            if a.radius <= 0:
                linear += dt * a.acceleration
                continue
            force = share * weights(points, a.center, a.radius, a.falloff)[:, None] * a.acceleration
            linear += dt * force.sum(0) / self.entity.mass_kg
            angular += dt * inverse @ np.cross(points - now.position, force).sum(0)
        landed = self._land(now, turn, inverse, linear, angular, dt) if self._floor else None
        position = now.position
        if landed is None:
            # The simulator goes the whole step with the velocity of its end: back by half of what a force adds, so that
            # a free body falls exactly.
            position = position - 0.5 * dt * (linear - now.linear)
        else:
            linear, angular = landed
        self.write(Body(position, now.orientation, linear, angular))

    def settle(self, substep_s: float) -> None:
        """After a step: take the impulse of its last substep [s], and lift the body out of the table, where deformables
        have pressed it in during the step."""
        force, torque = self._handle.take_coupling()
        if self._held:
            return
        now = self.read()
        turn = rotation(now.orientation)
        lowest = float((self._support @ turn[2]).min() + now.position[2]) if self._floor else 0.0
        if not force.any() and not torque.any() and lowest >= -CONTACT_M:
            return
        linear = now.linear + substep_s * force / self.entity.mass_kg
        angular = now.angular + substep_s * (turn @ self._inertia_inverse @ turn.T) @ torque
        position = now.position
        if lowest < -CONTACT_M:
            position = position - [0, 0, lowest]
            linear[2] = max(linear[2], 0.0)
        self.write(Body(position, now.orientation, linear, angular))

    def _hold(self, held: bool) -> None:
        """A held body is as heavy as a mountain, so that what it presses cannot push it back within a step."""
        if held != self._held:
            self._handle.hold(held)
        self._held = held

    def _follow(self, tool: Tool, start: Body, t: float, dt: float) -> None:
        position, orientation = tool_pose(tool, t, start)
        after, turned = tool_pose(tool, t + dt, start)
        delta = multiply(turned, orientation * np.array([1.0, -1, -1, -1]))
        delta *= 1.0 if delta[0] >= 0 else -1.0
        sine = float(np.linalg.norm(delta[1:]))
        spin = np.zeros(3) if sine < 1e-12 else delta[1:] / sine * (2 * np.arctan2(sine, delta[0]) / dt)
        self.write(Body(position, orientation, (after - position) / dt, spin))

    def _land(self, now: Body, turn: F64, inverse: F64, linear: F64, angular: F64, dt: float) -> tuple[F64, F64] | None:
        """Velocities after contact with the plane z = 0: impulses at the lowest points, Gauss-Seidel, Coulomb friction.
        None where nothing comes near.

        A point may come down no further than to the plane by the end of the step; one beneath it is raised gently.
        """
        arms = self._support @ turn.T
        gaps = arms[:, 2] + now.position[2]
        falling = (linear + np.cross(angular, arms))[:, 2]
        near = np.flatnonzero(gaps + dt * np.minimum(falling, 0) < CONTACT_M)
        if not len(near):
            return None
        chosen = _spread(arms[near], gaps[near], MAX_CONTACTS)
        arms, gaps = arms[near][chosen], gaps[near][chosen]
        total = np.zeros((len(arms), 3))
        inverse_mass = 1 / self.entity.mass_kg
        effective = []
        for r in arms:
            cross = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
            effective.append(1 / np.diag(inverse_mass * np.eye(3) - cross @ inverse @ cross))
        for _ in range(CONTACT_SWEEPS):
            for k, r in enumerate(arms):
                velocity = linear + np.cross(angular, r)
                target = -gaps[k] / dt if gaps[k] >= 0 else min(-0.1 * gaps[k] / dt, 0.2)
                wanted = total[k] + effective[k] * (np.array([0.0, 0.0, target]) - velocity)
                wanted[2] = max(wanted[2], 0.0)
                slide, most = float(np.hypot(wanted[0], wanted[1])), self.friction * wanted[2]
                if slide > most:
                    wanted[:2] *= most / slide
                change = wanted - total[k]
                total[k] = wanted
                linear = linear + inverse_mass * change
                angular = angular + inverse @ np.cross(r, change)
        spin = float(np.linalg.norm(angular))
        if total[:, 2].any() and spin > 0:
            angular = angular * max(0.0, 1 - ROLLING_DAMPING * dt)
            # A torque of so much of the load, at the arm from centre to table: in the end nothing rolls.
            # Along the spin only: torque through an uneven inertia would turn one axis's rolling into another's.
            axis, load = angular / spin, float(-arms[:, 2].mean() * total[:, 2].sum())
            angular = angular * max(0.0, 1 - ROLLING_RESISTANCE * load * float(axis @ inverse @ axis) / spin)
        return linear, angular


CONTACT_M = 2e-4
MAX_CONTACTS = 8
CONTACT_SWEEPS = 12
ROLLING_DAMPING = 4.0  # [1/s] a table is no ideal plane: what rolls on it slows down
ROLLING_RESISTANCE = 0.02  # of wood on wood, with flour and crumbs


def _still(body: Body) -> Body:
    return Body(body.position, body.orientation, np.zeros(3), np.zeros(3))


def _spread(points: F64, gaps: F64, count: int) -> list[int]:
    """At most `count` indices: the lowest point, then always the one farthest from those chosen."""
    chosen = [int(np.argmin(gaps))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        k = int(np.argmax(distance))
        if distance[k] <= 1e-9:
            break
        chosen.append(k)
        distance = np.minimum(distance, np.linalg.norm(points - points[k], axis=1))
    return chosen
