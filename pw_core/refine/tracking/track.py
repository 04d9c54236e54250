"""Find where things went: frame after frame, from where they were in the frame before.

A gradient on pixels sees as far as an edge is wide; predictions are tens of pixels off. So the coarse part works on
correspondences (correspondences.py). Each linear step solves for the displacement field's coefficients (or a rigid turn
and shift) by robust least squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import ThreadpoolController

from pw_core.gaussians import F32, F64, I64, Camera
from pw_core.progress import Ask, no_question
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.tracking.correspondences import (
    CorrespondenceOptions,
    Correspondences,
    Shot,
    correspondences_of,
    silhouette_biases,
)
from pw_core.refine.tracking.film import Film
from pw_core.scene import Entity


@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """How correspondences become a motion. Weights of priors are in px² per m² where not said otherwise."""

    width_px: int = 480
    """At which tracking looks at wider films: correspondences are good to a small part of a pixel as it is."""
    rounds: int = 3
    """Linear steps a frame; one more where the frame before is there to be followed."""
    coarse_steps: int = 2
    """Of these, how many solve for the affine part of the field alone."""
    reweightings: int = 3
    """Times that a step's correspondences are weighed anew."""
    fewest_correspondences: int = 4
    """A view that has less of an entity does not speak for it."""
    robust_scale_px: float = 2.0
    """Residuals beyond which a correspondence counts ever less (Huber's loss)."""
    robust_median_ratio: float = 1.5
    """The same, of the median residual where that is more: wide open at first."""
    simulation_weight: float = 1e-3
    """How much the simulation is trusted; particle sizes off count like so many pixels."""
    lone_view_factor: float = 1e3
    """How many times as much in a frame that one camera sees. Along its rays that camera tells of the size of an
    outline alone: half a pixel of bias, and a body 20 px wide is 3 cm off."""
    prior_share: float = 0.02
    """What all priors of a deformable are multiplied with, beside the number of its correspondences."""
    smooth_spacing_ratio: float = 0.1
    """Bumps of the field move alike: a difference of so much of their spacing is as bad as a pixel."""
    bump_weight: float = 0.02
    """And all of them little, in the same measure."""
    step_weight: float = 1e-3
    """Steps from the frame before are small; in the measure of `simulation_weight`."""
    shift_weight: float = 1e4
    """Of a rigid entity's shift in a step, px² per m²: 1 cm counts like a pixel."""
    turn_weight: float = 10.0
    """Of its turn, px² per rad²."""
    correspondences: CorrespondenceOptions = field(default_factory=CorrespondenceOptions)
    """How they are found."""


def track(
    model: Model, film: Film, motion: Motion, *, seed: int = 0, options: TrackOptions = TrackOptions(),
    ask: Ask = no_question,
) -> Iterator[int]:  # fmt: skip
    """Correct `motion` in place, one frame after the other; yields each frame's index when it is done."""
    film = film.narrowed(options.width_px)
    o = options.correspondences
    blas = ThreadpoolController().select(user_api="blas")
    # Views are looked at beside each other, each with dice of its own: what comes out does not hang on who was first.
    rngs = [np.random.default_rng([seed, v]) for v in range(len(film.cameras))]
    before: Shot | None = None
    biases: list[dict[int, float]] = []
    with ThreadPoolExecutor(2 * len(film.cameras), thread_name_prefix="pw-track") as pool:
        for t in range(film.frames):
            for v in range(len(film.cameras) if t + 1 < film.frames else 0):
                pool.submit(film.flow_from, v, t)  # for the next frame, while this one is solved
            _start_from_last(motion, t)
            # It hardly changes in a frame's steps.
            stretch = model.stretch(motion.positions(model, t), motion.rotations(t))
            views = [v for v in range(len(film.cameras)) if film.seen(v, t)]
            trusted = options.simulation_weight * (options.lone_view_factor if len(views) == 1 else 1)
            for step in range(options.rounds + (1 if before is not None else 0)):
                ask()
                shot = _shoot(model, film, motion, t, pool, stretch=stretch)
                first = before if step == 0 else None
                if t == step == 0:
                    biases = [silhouette_biases(model, film, v, shot, options=o) for v in range(len(film.cameras))]
                asked = [
                    pool.submit(correspondences_of, model, film, v, t, step, shot, first, biases[v], rngs[v], options=o)
                    for v in views
                ]
                found = [c for each in asked for c in each.result()]
                with blas.limit(limits=1):  # the systems are small; threads that spin for them cost 5 times as much
                    for e in model.scene.entities:
                        mine = [_of(c, model.entity_of[c.index] == e.id) for c in found]
                        _solve(
                            model, film, motion, t, e, shot.means, mine, coarse=step < options.coarse_steps,
                            simulation_weight=trusted, options=options,
                        )  # fmt: skip
            before = _shoot(model, film, motion, t, pool)
            yield t


def _start_from_last(motion: Motion, t: int) -> None:
    """The correction of the frame before is the first guess."""
    if t:
        for each in motion.coefficients.values():
            each[t] = each[t - 1]
        for name, known in motion.commanded.items():
            for each in (motion.shifts[name], motion.turns[name]):
                each[t] = 0.0 if known[t] else each[t - 1]


def _shoot(
    model: Model, film: Film, motion: Motion, t: int, pool: ThreadPoolExecutor, *, stretch: F32 | None = None
) -> Shot:
    positions = motion.positions(model, t)
    means, covariances = model.gaussians_at(positions, motion.rotations(t), stretch=stretch)
    at = pool.map(lambda camera: camera.project(means), film.cameras)
    return Shot(means, model.draw(means, covariances, film.cameras, share=model.share(positions)), list(at))


def _of(found: Correspondences, which: np.ndarray) -> Correspondences:
    return Correspondences(
        found.view, found.index[which], found.by[which], found.axes[which], found.weight[which]
    )  # fmt: skip


def _rows(camera: Camera, points: F32, found: Correspondences) -> tuple[F64, F64, F64]:
    """Per correspondence and axis: derivative of its pixel shift with respect to the point's [m] (R, 3), goal [px],
    weight."""
    local = points.astype(np.float64) @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    z = local[:, 2]
    jacobian = np.zeros((len(points), 2, 3))
    jacobian[:, 0, 0], jacobian[:, 1, 1] = camera.K[0, 0] / z, camera.K[1, 1] / z
    jacobian[:, 0, 2] = -camera.K[0, 0] * local[:, 0] / z**2
    jacobian[:, 1, 2] = -camera.K[1, 1] * local[:, 1] / z**2
    jacobian = found.axes @ (jacobian @ camera.viewmat[:3, :3])
    goal = np.einsum("nij,nj->ni", found.axes, found.by)
    return jacobian.reshape(-1, 3), goal.reshape(-1), found.weight.reshape(-1)


def _solve(
    model: Model, film: Film, motion: Motion, t: int, e: Entity, means: F32, found: list[Correspondences], *,
    coarse: bool, simulation_weight: float, options: TrackOptions,
) -> None:  # fmt: skip
    """One robust step for one entity in frame t."""
    if e.name in motion.commanded and motion.commanded[e.name][t]:
        return
    parts = [
        (c, *_rows(film.cameras[c.view], means[c.index], c), film.weights[c.view])
        for c in found if len(c.index) >= options.fewest_correspondences
    ]  # fmt: skip
    if not parts:
        return
    J = np.concatenate([p[1] for p in parts])
    goal = np.concatenate([p[2] for p in parts])
    weight = np.concatenate([p[3] * p[4] for p in parts])
    index = np.concatenate([np.repeat(p[0].index, 2) for p in parts])
    used = weight > 0
    J, goal, weight, index = J[used], goal[used], weight[used], index[used]
    if e.name in motion.shifts:
        _solve_rigid(motion, t, e, means[index], J, goal, weight, options=options)
    else:
        particles = model.own[index] - e.particles.start
        _solve_field(
            motion, t, e, particles, J, goal, weight, coarse=coarse, simulation_weight=simulation_weight,
            options=options,
        )  # fmt: skip


def _solve_rigid(
    motion: Motion, t: int, e: Entity, points: F32, J: F64, goal: F64, weight: F64, *, options: TrackOptions
) -> None:
    """A small turn and shift; points [m] (R, 3), J (R, 3), goal [px] (R,) and weight (R,) a row."""
    arm = points.astype(np.float64) - motion.body(e.name, t)[:3]
    A = np.concatenate([J, np.cross(arm, J)], axis=1)  # J (w x arm) = (arm x J) w
    prior = np.diag([options.shift_weight] * 3 + [options.turn_weight] * 3)
    x = np.zeros(6)
    for _ in range(options.reweightings):
        w = weight * _huber(goal - A @ x, options)
        x = np.linalg.solve((A * w[:, None]).T @ A + prior, A.T @ (w * goal))
    _turn_and_shift(motion, e.name, t, x)


def _solve_field(
    motion: Motion, t: int, e: Entity, of_particle: I64, J: F64, goal: F64, weight: F64, *, coarse: bool,
    simulation_weight: float, options: TrackOptions,
) -> None:  # fmt: skip
    """Coefficients of a deformable's field; of_particle (R,): which particle of the entity each row is of."""
    basis = motion.bases[e.name]
    K = basis.affine if coarse else basis.size
    prior, kept = _prior(
        motion, t, e, K, simulation_weight=simulation_weight, rows=len(goal), options=options
    )  # fmt: skip
    # Many correspondences are of few particles, which alone the basis knows: the sums over a particle's are all it
    # takes.
    particles, of = np.unique(of_particle, return_inverse=True)
    B = basis.values[particles, :K].astype(np.float64)
    C = np.zeros((K, 3))
    for _ in range(options.reweightings):
        w = weight * _huber(goal - (J * (B @ C)[of]).sum(1), options)
        normal = np.empty((K, 3, K, 3))
        right = np.empty((K, 3))
        for a in range(3):
            right[:, a] = B.T @ np.bincount(of, w * goal * J[:, a], len(particles))
            for b in range(a, 3):
                block = (B * np.bincount(of, w * J[:, a] * J[:, b], len(particles))[:, None]).T @ B
                normal[:, a, :, b] = normal[:, b, :, a] = block
        solved = np.linalg.solve(normal.reshape(3 * K, 3 * K) + prior, right.reshape(-1) + kept)
        C = np.asarray(solved.reshape(K, 3), np.float64)
    motion.coefficients[e.name][t][:K] += C


def _huber(left: F64, options: TrackOptions) -> F64:
    """Weights of iteratively reweighted least squares for what is left [px]."""
    size = np.abs(left)
    knee = max(options.robust_scale_px, options.robust_median_ratio * float(np.median(size)))
    return np.asarray(np.minimum(1, knee / np.maximum(size, 1e-9)))


def _turn_and_shift(motion: Motion, name: str, t: int, x: F64) -> None:
    from scipy.spatial.transform import Rotation

    motion.shifts[name][t] += x[:3]
    turned = Rotation.from_rotvec(x[3:]) * Rotation.from_rotvec(motion.turns[name][t])
    motion.turns[name][t] = turned.as_rotvec()


def _prior(
    motion: Motion, t: int, e: Entity, K: int, *, simulation_weight: float, rows: int, options: TrackOptions
) -> tuple[F64, F64]:
    """Normal matrix and right-hand side of what is known without looking, at the present coefficients: bumps move
    alike, steps from the frame before are small, the simulation is right. All as a share of the correspondences."""
    basis, o = motion.bases[e.name], options
    now = motion.coefficients[e.name][t]
    share = o.prior_share * rows
    base = share * basis.stiffness[:K, :K] / (o.smooth_spacing_ratio * basis.spacing_m) ** 2
    size = np.eye(K) * share * simulation_weight / e.particle_size_m**2
    bumps = np.eye(K - basis.affine) * share * o.bump_weight / (o.smooth_spacing_ratio * basis.spacing_m) ** 2
    size[basis.affine :, basis.affine :] += bumps
    step = np.eye(K) * share * o.step_weight / e.particle_size_m**2
    was = motion.coefficients[e.name][t - 1] if t else np.zeros_like(now)
    kept = -(base + size) @ now[:K] - step @ (now[:K] - was[:K])
    return np.asarray(np.kron(base + size + step, np.eye(3)), np.float64), np.asarray(kept.reshape(-1), np.float64)
