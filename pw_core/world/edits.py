"""Things put elsewhere or given another motion by hand: the physics of a new state."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from pw_core.appearance import EntityPose, entity_poses, placed_positions
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64, quats_to_rotations
from pw_core.scene import Body, Entity, PhysicsState, Scene


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """What an edit may ask for."""

    table_gap_ratio: float = 0.5
    """Of a particle's size: matter may be put so far into the table, where its lowest particles rest anyway."""
    quaternion_slack: float = 0.01
    """How far from 1 the length of an orientation may be: messages round, and what is farther off is a mistake."""


def with_entity(
    scene: Scene, physics: PhysicsState, name: str, *, position: ArrayLike | None = None,
    orientation: ArrayLike | None = None, linear: ArrayLike | None = None, angular: ArrayLike | None = None,
    options: EditOptions = EditOptions(),
) -> PhysicsState:  # fmt: skip
    """`physics` with one entity elsewhere, or moving otherwise; what is not given stays as it is.

    What deforms keeps its shape and turns as a whole about its centroid, its stress with it. A twist that is given
    replaces all motion inside it: from then on it moves as a rigid body does, until forces act.

    Args:
        position: [m] (3,), of the pose as `entity_poses` tells it.
        orientation: wxyz (4,).
        linear: [m/s] (3,), of that point.
        angular: [rad/s] (3,), in the world.

    Raises:
        RolloutError: UNKNOWN_ENTITY; OUT_OF_BOUNDS: outside the simulated domain or in the table; INVALID_ACTION:
            numbers that are not finite, an orientation that is none, a twist of a tool, which only follows its paths.
    """
    entity = next((e for e in scene.entities if e.name == name), None)
    if entity is None:
        known = ", ".join(e.name for e in scene.entities)
        raise RolloutError(f"entity '{name}' is none of {known}", code=ErrorCode.UNKNOWN_ENTITY)
    now = next(p for p in entity_poses(scene, physics) if p.name == name)
    wanted = replace(
        now,
        position=now.position if position is None else _numbers(position, 3, f"{name}: position"),
        orientation=now.orientation if orientation is None else _turn(orientation, f"{name}: orientation", options),
        linear=now.linear if linear is None else _numbers(linear, 3, f"{name}: linear velocity"),
        angular=now.angular if angular is None else _numbers(angular, 3, f"{name}: angular velocity"),
    )
    moves = linear is not None or angular is not None
    if entity.kind == "tool" and moves and (wanted.linear.any() or wanted.angular.any()):
        text = f"'{name}' is a tool, which moves along the paths of actions alone: its twist stays zero"
        raise RolloutError(text, code=ErrorCode.INVALID_ACTION)
    if entity.kind == "deformable":
        changed = _deformable(physics, entity, now, wanted, moves=moves)
    else:
        body = Body(wanted.position, wanted.orientation, wanted.linear, wanted.angular)
        changed = PhysicsState(physics.particles, {**physics.bodies, name: body})
    if position is not None or orientation is not None:
        _check_place(scene, entity, placed_positions(scene, physics), placed_positions(scene, changed), options)
    return changed


def _deformable(
    physics: PhysicsState, entity: Entity, now: EntityPose, wanted: EntityPose, *, moves: bool
) -> PhysicsState:
    p, s = physics.particles, entity.particles
    new = {k: v.copy() for k, v in p.arrays().items()}
    turn = quats_to_rotations(wanted.orientation) @ quats_to_rotations(now.orientation).T
    arm = (p.positions[s] - now.position) @ turn.T
    new["positions"][s] = arm + wanted.position
    if moves:
        new["velocities"][s] = wanted.linear + np.cross(wanted.angular, arm)
        new["C"][s] = _cross_matrix(wanted.angular)
    else:
        new["velocities"][s] = p.velocities[s] @ turn.T
        new["C"][s] = turn @ p.C[s] @ turn.T
    if entity.material.model != "liquid":  # whose stress knows no direction: its F stays a multiple of 1
        new["F"][s] = turn @ p.F[s]
    return PhysicsState(type(p)(**new), physics.bodies)


def _cross_matrix(v: F64) -> F64:
    """The matrix (3, 3) by which `np.cross(v, x)` is a product with x."""
    x, y, z = v
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _check_place(scene: Scene, entity: Entity, before: F32, after: F32, options: EditOptions) -> None:
    from pw_core.simulate.settings import choose_settings

    was, now = before[entity.particles], after[entity.particles]
    settings = choose_settings(scene)
    low, high = settings.inside
    if (now[:, :2] < low[:2]).any() or (now > high).any():
        raise RolloutError(
            f"'{entity.name}' would be outside of the simulated domain, which goes from "
            f"{np.round(low, 3).tolist()} to {np.round(high, 3).tolist()} m", code=ErrorCode.OUT_OF_BOUNDS,
        )  # fmt: skip
    lowest = min(float(was[:, 2].min()), settings.floor_m - options.table_gap_ratio * entity.particle_size_m)
    if now[:, 2].min() < lowest - 1e-6:
        raise RolloutError(
            f"'{entity.name}' would be {settings.floor_m - now[:, 2].min():.3g} m deep in the table",
            code=ErrorCode.OUT_OF_BOUNDS,
        )


def _numbers(values: ArrayLike, count: int, what: str) -> F64:
    array = np.asarray(values, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise RolloutError(f"{what}: {count} finite numbers, not {array.tolist()}", code=ErrorCode.INVALID_ACTION)
    return array


def _turn(wxyz: ArrayLike, what: str, options: EditOptions) -> F64:
    array = _numbers(wxyz, 4, what)
    length = float(np.linalg.norm(array))
    if not math.isclose(length, 1.0, abs_tol=options.quaternion_slack):
        text = f"{what}: no unit quaternion, its length is {length:.4g}; no rotation is wxyz [1, 0, 0, 0]"
        raise RolloutError(text, code=ErrorCode.INVALID_ACTION)
    return array / length
