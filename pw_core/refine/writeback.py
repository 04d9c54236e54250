"""From a corrected motion to a state that a simulator can go on with (design section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pw_core.gaussians import F32, F64, deformations, quats_to_rotations
from pw_core.scene import AppearanceParameters, Body, Entity, Particles, PhysicsState, Scene

Velocity = Literal["inherit", "estimate"]
Stress = Literal["by_material", "transport", "relax"]


@dataclass(frozen=True, kw_only=True)
class WritebackOptions:
    """How a corrected motion becomes a state."""

    rate_frames: int = 5
    """Over how many of the last frames the correction's rate is taken."""
    wall_gap_m: float = 1e-4
    """Nothing is put nearer to the domain's walls: a particle at a wall counts as out of bounds."""
    table_gap_ratio: float = 0.25
    """No particle is put lower over the table than so much of its size, unless the simulator had it there itself."""


def write_back(
    scene: Scene,
    base: PhysicsState,
    corrections: F32,
    times: F64,
    *,
    bodies: dict[str, Body],
    inside: tuple[F64, F64],
    velocity: Velocity = "estimate",
    stress: Stress = "by_material",
    options: WritebackOptions = WritebackOptions(),
) -> PhysicsState:
    """The state `base` with its matter moved by the last of `corrections`.

    Args:
        base: what the simulator had at the last of `times`.
        corrections: displacements [m] (T, J, 3) from the simulator's positions; those of rigid entities, which
            follow their bodies, are not used.
        times: of the frames [s] (T,).
        bodies: the corrected pose of each rigid entity; twists too.
        inside: corners [m] (3,) of the simulated domain; nothing is put outside, nor below the table.
        velocity: `inherit` keeps the simulator's, `estimate` adds the rate at which the correction grows at the end.
        stress: `transport` carries elastic deformation along with the gradient G of the correction, F <- G F (a plastic
            material then yields as it would); `relax` takes the correction for plastic flow, which leaves the stress as
            it was, turned along; `by_material` transports the change of shape of what is elastic and relaxes the
            rest: clay that went elsewhere than predicted has flowed there, and of a body's volume a camera sees less
            than its pressure would need. A liquid keeps its volume ratio in any case.

    A correction of exactly zero gives back the same arrays.
    """
    p = base.particles
    positions, velocities, F, Jp = p.positions.copy(), p.velocities.copy(), p.F.copy(), p.Jp.copy()
    near = scene.neighbours()
    for e in scene.entities:
        s = e.particles
        if e.kind != "deformable":
            if e.name in bodies and not _same_pose(bodies[e.name], base.bodies[e.name]):
                body = bodies[e.name]
                turn = quats_to_rotations(body.orientation)
                positions[s] = (scene.rest[s] - e.origin) @ turn.T + body.position
            continue
        u = corrections[-1, s]
        if u.any():
            positions[s] = _within(p.positions[s] + u, p.positions[s], e, inside, scene.config.has_table, options)
            if e.material.model != "liquid":
                G = deformations(p.positions, _moved(p.positions, s, positions[s]), near)[s]
                transported = stress == "transport" or (stress == "by_material" and e.material.model == "elastic")
                F[s] = (G if stress == "transport" else _isochoric(G) if transported else _turn(G)) @ F[s]
                if e.material.model == "plastic" and transported:
                    F[s] = yielded(F[s], e)
        if velocity == "estimate":
            rate = _rate(corrections[:, s], times, options.rate_frames)
            if rate.any():
                velocities[s] = velocities[s] + rate
    particles = Particles(positions, velocities, p.C, F, Jp, p.active)
    return PhysicsState(particles, {**base.bodies, **bodies})


def written_body(
    rows: F64, predicted: F64, times: F64, *, velocity: Velocity = "estimate",
    options: WritebackOptions = WritebackOptions(),
) -> Body:  # fmt: skip
    """The corrected pose of a rigid entity at the end, from rows (T, 13) as in `Trajectory.bodies` at `times` [s] (T,);
    its twist is the predicted one, plus the rate of the correction if estimated."""
    row = rows[-1].copy()
    if velocity == "estimate" and (rows != predicted).any() and len(times) > 1:
        from scipy.spatial.transform import Rotation

        k = min(options.rate_frames, len(times))
        t = times[-k:] - times[-k:].mean()
        slope = t / (t @ t)
        row[7:10] += slope @ (rows[-k:, :3] - predicted[-k:, :3])
        xyzw = [4, 5, 6, 3]
        turn = Rotation.from_quat(rows[-k:][:, xyzw]) * Rotation.from_quat(predicted[-k:][:, xyzw]).inv()
        row[10:13] += slope @ turn.as_rotvec()
    return Body(row[0:3], row[3:7], row[7:10], row[10:13])


def transfer_offsets(
    scene: Scene, before: AppearanceParameters, after: AppearanceParameters, A: F32
) -> tuple[F32, AppearanceParameters]:
    """Hand the common part of each particle's changed offsets to the particle: shifts [m] (J, 3), and the appearance
    without.

    p_j <- p_j + A mean_k (offset - offset at rest). The plain mean of a surface's one-sided offsets would inflate the
    body every round, so only their change counts.
    """
    old, new = before.bind(scene), after.bind(scene)
    own = scene.binding.index[:, 0]
    change = new.offsets() - old.offsets()
    count = np.bincount(own, minlength=len(scene.rest))
    total = np.stack([np.bincount(own, change[:, k], len(scene.rest)) for k in range(3)], 1).astype(np.float64)
    mean = total / np.maximum(count, 1)[:, None]
    for e in scene.entities:
        if e.kind != "deformable":
            mean[e.particles] = 0.0  # a rigid body moves by its pose alone
    if not mean.any():
        return np.zeros_like(scene.rest), after
    left = np.clip((new.offsets() - mean[own]) / new.delta[:, None], -0.999, 0.999)
    raw = np.where(mean[own] == 0, after.raw, np.arctanh(left))
    shifts = np.einsum("jik,jk->ji", A, mean)
    return np.asarray(shifts, np.float32), replace(after, raw=np.asarray(raw, np.float32))


def yielded(F: F32, entity: Entity) -> F32:
    """Elastic deformations (J, 3, 3) brought back to the yield surface, volume kept.

    Von Mises in logarithmic strain, as the simulator's own return map (Gao et al. 2017): the norm of 2 mu times the
    deviatoric strain is at most sqrt(2/3) of the yield stress.
    """
    m = entity.material
    mu = m.youngs_modulus_pa / (2 * (1 + m.poisson_ratio))
    u, s, vt = np.linalg.svd(F.astype(np.float64))
    strain = np.log(np.maximum(s, 1e-6))
    mean = strain.mean(1, keepdims=True)
    shear = strain - mean
    norm = np.linalg.norm(shear, axis=1, keepdims=True)
    most = (2 / 3) ** 0.5 * m.yield_stress_pa / (2 * mu)
    over = norm[:, 0] > most
    out = F.copy()
    shear = shear * np.minimum(1, most / np.maximum(norm, 1e-12))
    out[over] = ((u * np.exp(mean + shear)[:, None, :]) @ vt)[over]
    return out


def _within(
    wanted: F32, was: F32, entity: Entity, inside: tuple[F64, F64], table: bool, options: WritebackOptions
) -> F32:
    """Positions kept in the domain and, if there is one, above the table; what the simulator itself had lower may stay
    so low."""
    low, high = inside
    out = np.clip(wanted, low + options.wall_gap_m, high - options.wall_gap_m)
    if not table:
        return np.asarray(out, np.float32)
    out[:, 2] = np.maximum(out[:, 2], np.minimum(was[:, 2], options.table_gap_ratio * entity.particle_size_m))
    return np.asarray(out, np.float32)


def _same_pose(a: Body, b: Body) -> bool:
    return np.array_equal(a.position, b.position) and np.array_equal(a.orientation, b.orientation)


def _moved(positions: F32, where: slice, now: F32) -> F32:
    out = positions.copy()
    out[where] = now
    return out


def _isochoric(G: F32) -> F32:
    """G (J, 3, 3) without its change of volume."""
    volume = np.maximum(np.abs(np.linalg.det(G)), 1e-6)
    return np.asarray(G / np.cbrt(volume)[:, None, None], np.float32)


def _turn(G: F32) -> F32:
    """The rotation of each (J, 3, 3), by polar decomposition."""
    u, _, vt = np.linalg.svd(G.astype(np.float64))
    u[np.linalg.det(u @ vt) < 0, :, 2] *= -1
    return np.asarray(u @ vt, np.float32)


def _rate(corrections: F32, times: F64, frames: int) -> F32:
    """Slope [m/s] (J, 3) of the corrections (T, J, 3) over the last frames, by least squares."""
    k = min(frames, len(times))
    if k < 2:
        return np.zeros_like(corrections[-1])
    t = times[-k:] - times[-k:].mean()
    return np.asarray(np.tensordot(t / (t @ t), corrections[-k:].astype(np.float64), 1), np.float32)
