"""Find where things went: frame after frame, from where they were in the frame before.

A gradient on pixels sees as far as an edge is wide; predictions are tens of pixels off. So the coarse part works on
correspondences, each a point of the body and the pixel that it should be at: the film's own flow from the frame before
(carries material along), outlines (keep the silhouette), and flow from the drawn model to the frame (takes drift out).
Each linear step solves for the displacement field's coefficients (or a rigid turn and shift) by robust least squares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from threadpoolctl import ThreadpoolController

from pw_core.gaussians import F32, F64, I64, Camera, quats_to_rotations
from pw_core.refine.basis import Basis
from pw_core.refine.film import Film, around, grey, near, outline, trusted_flow
from pw_core.refine.model import Drawn, Model
from pw_core.scene import Entity, Trajectory

OUTLINE_PX = 4
"""How near [px] to a point of the drawn outline a Gaussian must be to stand for it."""


MOST_RIM_PX = 2.0
"""More than this is no rim."""
WIDTH = 480
"""[px] at which tracking looks at wider films."""
SIM_WEIGHT, ALONE = 1e-3, 1e3
"""How much the simulation is believed, and how many times as much in a frame that one camera sees. Along its rays that
camera tells of the size of an outline alone: half a pixel of bias, and a body 20 px wide is 3 cm off."""
REWEIGHTED = 3
"""Times that a step's wishes are weighed anew."""


@dataclass
class Motion:
    """Where refinement believes things are. coefficients: per deformable (T, K, 3) [m]; shifts [m] (T, 3) and turns
    [rad] (T, 3), as rotation vectors about the predicted centre, per rigid entity."""

    trajectory: Trajectory
    bases: dict[str, Basis]
    coefficients: dict[str, F64]
    shifts: dict[str, F64] = field(default_factory=dict)
    turns: dict[str, F64] = field(default_factory=dict)

    @classmethod
    def start(cls, model: Model, trajectory: Trajectory, *, nodes: int) -> Motion:
        """No correction yet."""
        t = len(trajectory)
        soft = [e for e in model.scene.entities if e.name not in trajectory.bodies]
        bases = {e.name: Basis.spread(trajectory.positions[0][e.particles], nodes=nodes) for e in soft}
        return cls(
            trajectory, bases, {n: np.zeros((t, b.size, 3)) for n, b in bases.items()},
            {n: np.zeros((t, 3)) for n in trajectory.bodies}, {n: np.zeros((t, 3)) for n in trajectory.bodies},
        )  # fmt: skip

    def body(self, name: str, t: int) -> F64:
        """The corrected row (13,) of a rigid entity."""
        from scipy.spatial.transform import Rotation

        row = self.trajectory.bodies[name][t].copy()
        if self.turns[name][t].any():
            turn = Rotation.from_rotvec(self.turns[name][t])
            turned = (turn * Rotation.from_quat(row[[4, 5, 6, 3]])).as_quat()
            row[3:7] = turned[[3, 0, 1, 2]]
        row[:3] += self.shifts[name][t]
        return np.asarray(row)

    def positions(self, model: Model, t: int) -> F32:
        """All particles [m] (J, 3) in frame t; exactly the prediction where nothing was corrected."""
        scene = model.scene
        out = self.trajectory.positions[t].copy()
        for name, basis in self.bases.items():
            if self.coefficients[name][t].any():
                out[scene.entity(name).particles] += (basis.values @ self.coefficients[name][t]).astype(np.float32)
        for name in self.shifts:
            if self.shifts[name][t].any() or self.turns[name][t].any():
                e, row = scene.entity(name), self.body(name, t)
                turn = quats_to_rotations(row[3:7])
                out[e.particles] = (scene.rest[e.particles] - e.origin) @ turn.T + row[:3]
        return np.asarray(out)

    def without(self, names: Iterable[str]) -> Motion:
        """The same, but these entities move as predicted."""
        gone = set(names)

        def kept(of: dict[str, F64]) -> dict[str, F64]:
            return {n: np.zeros_like(x) if n in gone else x.copy() for n, x in of.items()}

        return replace(
            self, coefficients=kept(self.coefficients), shifts=kept(self.shifts), turns=kept(self.turns)
        )  # fmt: skip

    def rotations(self, t: int) -> dict[str, F64]:
        """Of rigid entities, (3, 3)."""
        return {n: np.asarray(quats_to_rotations(self.body(n, t)[3:7])) for n in self.shifts}


@dataclass(frozen=True)
class Pull:
    """Wishes: Gaussian `index` (P,) seen by `view` should move by `by` [px] (P, 2), counted with `weight` (P, 2) along
    the axes `axes` (P, 2, 2) (rows); a weight of 0 leaves a direction free."""

    view: int
    index: I64
    by: F64
    axes: F64
    weight: F64


@dataclass(frozen=True)
class Shot:
    """The model as it stands in a frame: means [m] (N, 3), pictures, and for each view pixels (N, 2) and depths [m]."""

    means: F32
    drawn: Drawn
    at: list[tuple[F64, F64]]


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
    with ThreadPoolExecutor(len(film.cameras), thread_name_prefix="pw-track") as pool:
        for t in range(film.frames):
            _carry_over(motion, t)
            views = [v for v in range(len(film.cameras)) if film.seen(v, t)]
            believed = sim_weight * (ALONE if len(views) == 1 else 1)
            for step in range(rounds + (1 if before is not None else 0)):
                shot = _shoot(model, film, motion, t, pool)
                first = before if step == 0 else None
                if t == step == 0:
                    rims = [_rims(model, film, v, shot) for v in range(len(film.cameras))]
                asked = [pool.submit(_pulls, model, film, v, t, step, shot, first, rims[v], rngs[v]) for v in views]
                pulls = [p for each in asked for p in each.result()]
                with blas.limit(limits=1):  # the systems are small; threads that spin for them cost 5 times as much
                    for e in model.scene.entities:
                        mine = [_of(p, model.entity_of[p.index] == e.id) for p in pulls]
                        _solve(model, film, motion, t, e, shot.means, mine, coarse=step < 2, sim_weight=believed)
            before = _shoot(model, film, motion, t, pool)
            yield t


def _pulls(
    model: Model, film: Film, v: int, t: int, step: int, shot: Shot, before: Shot | None, rims: dict[int, float],
    rng: np.random.Generator,
) -> list[Pull]:  # fmt: skip
    """What one view wishes for in a step of frame t; before: the frame before, where its flow is to be followed."""
    if before is not None and film.seen(v, t - 1):
        return [_by_own_flow(film, v, t, shot, before)]
    out = _by_outline(model, film, v, t, shot, rims, rng)
    if step > 0:
        picked = visible(model, film.cameras[v], shot.means, shot.drawn.depth[v], rng, at=shot.at[v])
        out.append(_by_drawn_flow(model, film, v, t, shot, picked))
    return out


def _carry_over(motion: Motion, t: int) -> None:
    """The correction of the frame before is the first guess."""
    if t:
        for each in (*motion.coefficients.values(), *motion.shifts.values(), *motion.turns.values()):
            each[t] = each[t - 1]


def _shoot(model: Model, film: Film, motion: Motion, t: int, pool: ThreadPoolExecutor) -> Shot:
    means, covariances = model.gaussians_at(motion.positions(model, t), motion.rotations(t))
    at = pool.map(lambda camera: camera.project(means), film.cameras)
    return Shot(means, model.draw(means, covariances, film.cameras), list(at))


def visible(
    model: Model, camera: Camera, means: F32, depth: F32, rng: np.random.Generator | None = None, most: int = 3000, *,
    at: tuple[F64, F64] | None = None,
) -> I64:  # fmt: skip
    """Gaussians that this camera sees; with `rng` up to `most` of them. at: their pixels and depths, where known."""
    uv, z = at or camera.project(means)
    index, cell = _in_picture(camera, uv, z), np.floor(uv).astype(np.int64)
    reach = 0.7 * model.binding.delta[index]
    index = index[z[index] <= depth[cell[index, 1], cell[index, 0]] + reach]
    return index if rng is None or len(index) <= most else np.sort(rng.choice(index, most, replace=False))


def _in_picture(camera: Camera, uv: F64, z: F64) -> I64:
    """Which of these pixels (N, 2) at depths (N,) are in the picture."""
    x, y = uv.T  # column by column: NumPy takes ten times as long over rows of two
    return np.flatnonzero((z > 0) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height))


def _by_own_flow(film: Film, v: int, t: int, shot: Shot, before: Shot) -> Pull:
    """What was seen at a pixel in the last frame is now where the film's flow took that pixel."""
    camera = film.cameras[v]
    uv, z = before.at[v]
    index, cell = _in_picture(camera, uv, z), np.floor(uv).astype(np.int64)
    index = index[z[index] <= before.drawn.depth[v][cell[index, 1], cell[index, 0]] + 0.004]
    index = index[:: max(1, len(index) // 3000)]
    flow = film.flow_from(v, t - 1)[cell[index, 1], cell[index, 0]].astype(np.float64)
    believed = np.isfinite(flow).all(1)
    index, flow = index[believed], flow[believed]
    now = shot.at[v][0][index]
    return _all_ways(v, index, uv[index] + flow - now, 1.0)


def _by_drawn_flow(model: Model, film: Film, v: int, t: int, shot: Shot, picked: I64) -> Pull:
    """Flow from the drawn model, over the frame itself where there is no model, to the frame."""
    drawn = shot.drawn
    cover = drawn.alpha[v].sum(-1, keepdims=True)
    ours = grey(drawn.rgb[v] + (1 - np.clip(cover, 0, 1)) * film.rgb[v, t])
    window = around((cover[..., 0] > 0.05) | (film.masks[v, t] != 0))
    flow = trusted_flow(ours, film.grey(v, t), window=window)
    uv = shot.at[v][0][picked]
    cell = np.floor(uv).astype(np.int64)
    by = flow[cell[:, 1], cell[:, 0]].astype(np.float64)
    # It must lead to where the frame shows the same entity.
    h, w = flow.shape[:2]
    to = np.floor(uv + np.nan_to_num(by)).astype(np.int64)
    to = np.clip(to, 0, [w - 1, h - 1])
    good = np.isfinite(by).all(1) & (film.masks[v, t][to[:, 1], to[:, 0]] == model.entity_of[picked] + 1)
    good &= film.valid[v, t][to[:, 1], to[:, 0]]
    return _all_ways(v, picked[good], by[good], 0.7)


def _facing(
    model: Model, film: Film, v: int, t: int, shot: Shot, e: Entity, rng: np.random.Generator
) -> tuple[F64, F64, F64] | None:
    """Points [px] (P, 2) of the drawn outline, those of the frame's that face them, and the latter's normals."""
    drawn = shot.drawn
    there, there_normal = film.outline(v, t, e.id + 1)
    others = np.delete(drawn.alpha[v], e.id, axis=-1).sum(-1) > 0.5
    here, here_normal = outline(drawn.alpha[v][..., e.id], blocked=others)
    if len(there) < 20 or len(here) < 20:
        return None
    if len(there) > 400:
        pick = rng.choice(len(there), 400, replace=False)
        there, there_normal = there[pick], there_normal[pick]
    # Nearest in place and direction at once: a right-hand edge must not be taken for a left-hand one.
    reach = 15.0
    _, k = cKDTree(np.hstack([here, reach * here_normal])).query(np.hstack([there, reach * there_normal]))
    agree = (here_normal[k] * there_normal).sum(1) > 0.5
    return (here[k][agree], there[agree], there_normal[agree]) if agree.any() else None


def _rims(model: Model, film: Film, v: int, shot: Shot) -> dict[int, float]:
    """How much wider [px] each entity's outline is in the film than as drawn, in the first frame.

    Masks are a part of a pixel wider or narrower than what a renderer draws of the same thing, all round. The first
    frame's state is known; taken for a motion, the rim would blow the body up, which no later frame undoes.
    """
    out = {}
    for e in model.scene.entities if film.seen(v, 0) else ():
        found = _facing(model, film, v, 0, shot, e, np.random.default_rng(0))
        if found is not None:
            here, there, normal = found
            out[e.id] = float(np.clip(np.median(((there - here) * normal).sum(1)), -MOST_RIM_PX, MOST_RIM_PX))
    return out


def _by_outline(
    model: Model, film: Film, v: int, t: int, shot: Shot, rims: dict[int, float], rng: np.random.Generator
) -> list[Pull]:
    """The drawn outline should lie on the frame's: along the normal only, an outline slides along itself freely."""
    out = []
    uv, z = shot.at[v]
    for e in model.scene.entities:
        found = _facing(model, film, v, t, shot, e, rng)
        if found is None:
            continue
        here, there, normal = found
        # Each point of the drawn outline belongs to the Gaussian that is nearest to it in the picture.
        mine = np.flatnonzero((model.entity_of == e.id) & (z > 0))
        mine = mine[_close(uv[mine], here, OUTLINE_PX)]
        if not len(mine):
            continue
        gap, nearest = cKDTree(uv[mine]).query(here)
        good = gap < OUTLINE_PX
        index, normal = mine[nearest[good]], normal[good]
        by = there[good] - here[good] - rims.get(e.id, 0.0) * normal
        axes = np.stack([normal, normal[:, ::-1] * [-1, 1]], 1)
        # An outline has few points and says much: a silhouette counts like 1500 points of flow.
        weight = np.tile([[1500 / max(len(index), 1), 0.0]], (len(index), 1))
        out.append(Pull(v, index, by, axes, np.minimum(weight, 8.0)))
    return out


def _close(points: F64, to: F64, pixels: int) -> NDArray[np.bool_]:
    """Those of `points` [px] (P, 2) that may be within so many pixels of one of `to` (Q, 2): all that are, and some."""
    low = np.floor(to.min(0)).astype(np.int64) - pixels - 1
    size = np.ceil(to.max(0)).astype(np.int64) + pixels + 2 - low
    paper = np.zeros(size[::-1], bool)
    x, y = (np.floor(to).astype(np.int64) - low).T
    paper[y, x] = True
    paper = near(paper, pixels + 1)
    x, y = points.T
    inside = (x >= low[0]) & (y >= low[1]) & (x < low[0] + size[0]) & (y < low[1] + size[1])
    x, y = (np.floor(points[inside]).astype(np.int64) - low).T
    inside[inside] = paper[y, x]
    return inside


def _all_ways(v: int, index: I64, by: F64, weight: float) -> Pull:
    return Pull(v, index, by, np.tile(np.eye(2), (len(index), 1, 1)), np.full((len(index), 2), weight))


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
