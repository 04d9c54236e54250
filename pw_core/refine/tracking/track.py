"""Find where things went: frame after frame, from where they were in the frame before.

A gradient on pixels sees as far as an edge is wide; predictions are tens of pixels off. So the coarse part works on
correspondences (pulls.py). Each linear step solves for the displacement field's coefficients (or a rigid turn and
shift) by robust least squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from pw_core.gaussians import F32, F64, Camera
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.tracking.correspondences import Pull, Shot, pulls_of, rims_of
from pw_core.refine.tracking.film import Film
from pw_core.scene import Entity

WIDTH = 480
"""[px] at which tracking looks at wider films."""
SIM_WEIGHT, ALONE = 1e-3, 1e3
"""How much the simulation is believed, and how many times as much in a frame that one camera sees. Along its rays that
camera tells of the size of an outline alone: half a pixel of bias, and a body 20 px wide is 3 cm off."""
REWEIGHTED = 3
"""Times that a step's wishes are weighed anew."""


def track(
    model: Model, film: Film, motion: Motion, *, rounds: int = 3, sim_weight: float = SIM_WEIGHT, seed: int = 0
) -> Iterator[int]:
    """Correct `motion` in place, one frame after the other; yields each frame's index when it is done. A wide film is
    looked at through `WIDTH`: correspondences are good to a small part of a pixel as it is."""
    film = film.narrowed(WIDTH)
    blas = ThreadpoolController().select(user_api="blas")
    # Views are looked at beside each other, each with dice of its own: what comes out does not hang on who was first.
    rngs = [np.random.default_rng([seed, v]) for v in range(len(film.cameras))]
    before: Shot | None = None
    rims: list[dict[int, float]] = []
    with ThreadPoolExecutor(2 * len(film.cameras), thread_name_prefix="pw-track") as pool:
        for t in range(film.frames):
            for v in range(len(film.cameras) if t + 1 < film.frames else 0):
                pool.submit(film.flow_from, v, t)  # for the next frame, while this one is solved
            _carry_over(motion, t)
            # It hardly changes in a frame's steps.
            stretch = model.stretch(motion.positions(model, t), motion.rotations(t))
            views = [v for v in range(len(film.cameras)) if film.seen(v, t)]
            believed = sim_weight * (ALONE if len(views) == 1 else 1)
            for step in range(rounds + (1 if before is not None else 0)):
                shot = _shoot(model, film, motion, t, pool, stretch=stretch)
                first = before if step == 0 else None
                if t == step == 0:
                    rims = [rims_of(model, film, v, shot) for v in range(len(film.cameras))]
                asked = [pool.submit(pulls_of, model, film, v, t, step, shot, first, rims[v], rngs[v]) for v in views]
                pulls = [p for each in asked for p in each.result()]
                with blas.limit(limits=1):  # the systems are small; threads that spin for them cost 5 times as much
                    for e in model.scene.entities:
                        mine = [_of(p, model.entity_of[p.index] == e.id) for p in pulls]
                        _solve(model, film, motion, t, e, shot.means, mine, coarse=step < 2, sim_weight=believed)
            before = _shoot(model, film, motion, t, pool)
            yield t


def _carry_over(motion: Motion, t: int) -> None:
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
    means, covariances = model.gaussians_at(motion.positions(model, t), motion.rotations(t), stretch=stretch)
    at = pool.map(lambda camera: camera.project(means), film.cameras)
    return Shot(means, model.draw(means, covariances, film.cameras), list(at))


def _of(pull: Pull, which: np.ndarray) -> Pull:
    return Pull(pull.view, pull.index[which], pull.by[which], pull.axes[which], pull.weight[which])


def _rows(camera: Camera, points: F32, pull: Pull) -> tuple[F64, F64, F64]:
    """Per wish and axis: derivative of its pixel shift with respect to the point's [m] (R, 3), goal [px], weight."""
    local = points.astype(np.float64) @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    z = local[:, 2]
    jacobian = np.zeros((len(points), 2, 3))
    jacobian[:, 0, 0], jacobian[:, 1, 1] = camera.K[0, 0] / z, camera.K[1, 1] / z
    jacobian[:, 0, 2] = -camera.K[0, 0] * local[:, 0] / z**2
    jacobian[:, 1, 2] = -camera.K[1, 1] * local[:, 1] / z**2
    jacobian = pull.axes @ (jacobian @ camera.viewmat[:3, :3])
    goal = np.einsum("nij,nj->ni", pull.axes, pull.by)
    return jacobian.reshape(-1, 3), goal.reshape(-1), pull.weight.reshape(-1)


def _solve(
    model: Model, film: Film, motion: Motion, t: int, e: Entity, means: F32, pulls: list[Pull], *, coarse: bool,
    sim_weight: float,
) -> None:  # fmt: skip
    """One robust step for one entity in frame t."""
    if e.name in motion.commanded and motion.commanded[e.name][t]:
        return
    parts = [
        (p, *_rows(film.cameras[p.view], means[p.index], p), film.weights[p.view]) for p in pulls if len(p.index) > 3
    ]
    if not parts:
        return
    J = np.concatenate([p[1] for p in parts])
    goal = np.concatenate([p[2] for p in parts])
    weight = np.concatenate([p[3] * p[4] for p in parts])
    index = np.concatenate([np.repeat(p[0].index, 2) for p in parts])
    used = weight > 0
    J, goal, weight, index = J[used], goal[used], weight[used], index[used]
    if e.name in motion.shifts:
        arm = means[index].astype(np.float64) - motion.body(e.name, t)[:3]
        A = np.concatenate([J, np.cross(arm, J)], axis=1)  # J (w x arm) = (arm x J) w
        prior = np.diag([1e4] * 3 + [10.0] * 3)
        x = np.zeros(6)
        for _ in range(REWEIGHTED):
            w = weight * _huber(goal - A @ x)
            x = np.linalg.solve((A * w[:, None]).T @ A + prior, A.T @ (w * goal))
        _turn_and_shift(motion, e.name, t, x)
        return
    basis = motion.bases[e.name]
    K = basis.affine if coarse else basis.size
    prior, pulled = _prior(motion, t, e, K, sim_weight=sim_weight, trust=len(goal))
    # Many wishes are of few particles, which alone the basis knows: the sums over a particle's wishes are all it takes.
    particles, of = np.unique(model.own[index] - e.particles.start, return_inverse=True)
    B = basis.values[particles, :K].astype(np.float64)
    C = np.zeros((K, 3))
    for _ in range(REWEIGHTED):
        w = weight * _huber(goal - (J * (B @ C)[of]).sum(1))
        normal = np.empty((K, 3, K, 3))
        right = np.empty((K, 3))
        for a in range(3):
            right[:, a] = B.T @ np.bincount(of, w * goal * J[:, a], len(particles))
            for b in range(a, 3):
                block = (B * np.bincount(of, w * J[:, a] * J[:, b], len(particles))[:, None]).T @ B
                normal[:, a, :, b] = normal[:, b, :, a] = block
        solved = np.linalg.solve(normal.reshape(3 * K, 3 * K) + prior, right.reshape(-1) + pulled)
        C = np.asarray(solved.reshape(K, 3), np.float64)
    motion.coefficients[e.name][t][:K] += C


def _huber(left: F64) -> F64:
    """Weights of iteratively reweighted least squares for what is left [px]: a knee at 2 px, wide open at first."""
    size = np.abs(left)
    knee = max(2.0, 1.5 * float(np.median(size)))
    return np.asarray(np.minimum(1, knee / np.maximum(size, 1e-9)))


def _turn_and_shift(motion: Motion, name: str, t: int, x: F64) -> None:
    from scipy.spatial.transform import Rotation

    motion.shifts[name][t] += x[:3]
    turned = Rotation.from_rotvec(x[3:]) * Rotation.from_rotvec(motion.turns[name][t])
    motion.turns[name][t] = turned.as_rotvec()


def _prior(motion: Motion, t: int, e: Entity, K: int, *, sim_weight: float, trust: int) -> tuple[F64, F64]:
    """Normal matrix and right-hand side of what is believed without looking, at the present coefficients.

    Bumps move alike (a difference of a tenth of their spacing is as bad as a pixel); steps from the frame before are
    small; the simulation is right. Weights in px² per m², times a share of the number of wishes.
    """
    basis = motion.bases[e.name]
    now = motion.coefficients[e.name][t]
    share = 0.02 * trust
    base = share * basis.stiffness[:K, :K] / (0.1 * basis.spacing_m) ** 2
    size = np.eye(K) * share * sim_weight / e.particle_size_m**2
    size[basis.affine :, basis.affine :] += np.eye(K - basis.affine) * share * 0.02 / (0.1 * basis.spacing_m) ** 2
    step = np.eye(K) * share * 1e-3 / e.particle_size_m**2
    was = motion.coefficients[e.name][t - 1] if t else np.zeros_like(now)
    pulled = -(base + size) @ now[:K] - step @ (now[:K] - was[:K])
    return np.asarray(np.kron(base + size + step, np.eye(3)), np.float64), np.asarray(pulled.reshape(-1), np.float64)
