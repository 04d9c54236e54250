"""Poses of RGB-D pictures adjusted together: lifted matches meet, and each depth picture lies on the others.

Gauss-Newton over all poses at once. A match weighs by what is known of its two places: sideways to a fraction of a
pixel, along the lines of sight as well as depth is (as GICP weighs distances: Segal, Haehnel and Thrun 2009). Depth
pictures are compared point to plane, each point with the pixel that it falls on (Blais and Levine 1995; KinectFusion:
Newcombe et al. 2011), by the mean of both normals (Rusinkiewicz 2019): no nearest neighbour holds them back from
sliding. On our path-traced views this comes nearer to the truth than the same with GICP of nearest neighbours
(small_gicp 1.0.1) does, in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.gaussians import F64, I64
from pw_core.reconstruct.poses.rgbd.depth_map import DepthMap, Lifted, spread_out
from pw_core.reconstruct.poses.rgbd.pairwise import projected


@dataclass(frozen=True, kw_only=True)
class JointIcpOptions:
    """How poses are adjusted together."""

    points: int = 3000
    """Of each depth picture that are laid on the others."""
    partners: int = 12
    """Others that each is laid on, at most ..."""
    widest_deg: float = 60.0
    """... and how far they may look in another direction [degrees]."""
    least_common: int = 30
    """Points that two depth pictures must have in common to be compared."""
    dependent_points: float = 20.0
    """Points as many count as one: their errors are of the same lens, the same windows and the same way of looking."""
    sampling_ratio: float = 0.1
    """Of a pixel's width: how well a plane at a pixel tells where the surface is at all."""
    cauchy_sd: float = 2.0
    """Standard deviations at which an error begins to count less."""
    least_normal_cosine: float = 0.8
    """Between the normals of two points that are taken for the same place."""
    first_gate: float = 6.0
    """Gating: in the tolerance, how far apart two places may be to be drawn together, at first ..."""
    last_gate: float = 1.5
    """... in the end ..."""
    gate_shrink: float = 0.75
    """... and by what the gate narrows from step to step."""
    rounds: int = 14
    """Steps at most."""
    least_step: float = 2e-6
    """The change of a pose [rad, m] at which they end."""
    longest_step: float = 0.15
    """No pose moves further at once [rad, m]."""
    unseen_sd_m: float = 3.0
    """Standard deviation [m] along the line of sight of a place whose depth is not known ..."""
    unseen_across: float = 1e-3
    """... and across it, in its distance."""


@dataclass(frozen=True)
class Adjusted:
    """poses: camera to world (n, 4, 4), the first held; turn_sd_deg (n,): of the turns against the best known one, from
    the normal equations; matched, compared (n,): how many matches and depth points hold each; off_m: median distance of
    depth points from the surfaces that they fall on."""

    poses: F64
    turn_sd_deg: F64
    matched: I64
    compared: I64
    off_m: float


def adjust(
    poses: F64, lifted: list[Lifted], matches: Mapping[tuple[int, int], I64], maps: list[DepthMap | None], *,
    tolerance: float, gate: float | None = None, dense: bool = True, options: JointIcpOptions = JointIcpOptions(),
) -> Adjusted:  # fmt: skip
    """Poses (n, 4, 4), camera to world, that matches and depths agree with.

    tolerance [m]: of a match; gate: in the tolerance, how far off the poses may be (None: `first_gate`); dense: whether
    depths are compared.
    """
    gate = options.first_gate if gate is None else gate
    G = [np.array(p, np.float64) for p in poses]
    n = len(G)
    places = [spread_out(m, options.points, seed=k) if dense and m is not None else np.zeros((0, 2), np.int64)
              for k, m in enumerate(maps)]  # fmt: skip
    system = _System(n)
    for _ in range(options.rounds):
        system = _System(n)
        for (i, j), m in matches.items():
            _add_matches(system, i, j, G, lifted, m, gate * tolerance, options)
        if dense:
            for j, i in _partners(G, maps, options):
                _add_depth(system, i, j, G, maps, places[j], max(gate * tolerance, tolerance), options)
        step = system.solve()
        longest = float(np.abs(step).max())
        step *= min(1.0, options.longest_step / max(longest, 1e-12))
        G = [g @ _moved(s) for g, s in zip(G, step)]
        if longest < options.least_step and gate <= options.last_gate:
            break
        gate = max(options.last_gate, gate * options.gate_shrink)
    off = float(np.median(np.concatenate(system.off))) if system.off else 0.0
    return Adjusted(np.array(G), system.turn_sd_deg(), system.matched, system.compared, off)


class _System:
    """The normal equations of small motions (n, 6) of the poses: turn [rad] and shift [m] in the camera's axes."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.H = np.zeros((6 * n, 6 * n))
        self.b = np.zeros(6 * n)
        self.matched, self.compared = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.off: list[F64] = []

    def add(self, i: int, j: int, H: F64, b: F64) -> None:
        """Equations (12, 12), (12,) of poses i and j."""
        at = np.r_[6 * i : 6 * i + 6, 6 * j : 6 * j + 6]
        self.H[np.ix_(at, at)] += H
        self.b[at] += b

    def solve(self) -> F64:
        """The motions, (n, 6), of which the first is none."""
        H = self.H[6:, 6:]
        H = H + np.diag(1e-6 * np.diag(H) + 1e-6)
        return np.concatenate([np.zeros((1, 6)), -np.linalg.solve(H, self.b[6:]).reshape(-1, 6)])

    def turn_sd_deg(self) -> F64:
        """(n,): largest standard deviation of each turn, against the pose from which all are known best."""
        held = int(np.argmax([np.linalg.eigvalsh(self.H[6 * k : 6 * k + 6, 6 * k : 6 * k + 6])[0]
                              for k in range(self.n)]))  # fmt: skip
        free = np.delete(np.arange(6 * self.n), np.s_[6 * held : 6 * held + 6])
        H = self.H[np.ix_(free, free)]
        covariance = np.linalg.inv(H + np.diag(1e-9 * np.diag(H) + 1e-3))
        out = np.zeros(self.n)
        for k, which in enumerate(np.delete(np.arange(self.n), held)):
            block = covariance[6 * k : 6 * k + 3, 6 * k : 6 * k + 3]
            out[which] = np.degrees(np.sqrt(max(float(np.linalg.eigvalsh(block)[-1]), 0.0)))
        return out


def _add_matches(
    system: _System, i: int, j: int, G: list[F64], lifted: list[Lifted], m: I64, gate: float, options: JointIcpOptions
) -> None:
    """Matches m (n, 2) of pictures i and j draw their places together where these are within `gate` [m]."""
    a, b = lifted[i], lifted[j]
    A, B = G[i], G[j]
    known = a.ok[m[:, 0]], b.ok[m[:, 1]]
    m = m[known[0] | known[1]]
    if len(m) == 0:
        return
    known = a.ok[m[:, 0]], b.ok[m[:, 1]]
    first, second = a.points[m[:, 0]].copy(), b.points[m[:, 1]].copy()
    spread = [a.covariances[m[:, 0]].copy(), b.covariances[m[:, 1]].copy()]
    for rays, mine, theirs, own, other, T, c in (
        (a.rays[m[:, 0]], first, second, known[0], known[1], np.linalg.inv(A) @ B, spread[0]),
        (b.rays[m[:, 1]], second, first, known[1], known[0], np.linalg.inv(B) @ A, spread[1]),
    ):
        guess = ~own & other
        if guess.any():  # as far along its line of sight as the other says
            z = np.maximum((theirs[guess] @ T[:3, :3].T + T[:3, 3])[:, 2:], 1e-3)
            mine[guess] = rays[guess] * z
            c[guess] = _by_sight(rays[guess], z, options)
    r = first @ A[:3, :3].T + A[:3, 3] - second @ B[:3, :3].T - B[:3, 3]
    near = np.linalg.norm(r, axis=1) < gate
    if not near.any():
        return
    first, second, r = first[near], second[near], r[near]
    C = A[:3, :3] @ spread[0][near] @ A[:3, :3].T + B[:3, :3] @ spread[1][near] @ B[:3, :3].T
    weight = np.linalg.inv(C)
    error = np.einsum("ni,nij,nj->n", r, weight, r)
    weight = weight / (1 + error / options.cauchy_sd**2)[:, None, None]
    turned = np.broadcast_to(A[:3, :3], (len(r), 3, 3)), np.broadcast_to(B[:3, :3], (len(r), 3, 3))
    J = np.concatenate([-A[:3, :3] @ _cross(first), turned[0], B[:3, :3] @ _cross(second), -turned[1]], axis=2)
    WJ = weight @ J
    system.add(i, j, np.einsum("nki,nkj->ij", J, WJ), np.einsum("nki,nk->i", WJ, r))
    system.matched[[i, j]] += len(r)


def _by_sight(rays: F64, z: F64, options: JointIcpOptions) -> F64:
    """Covariances (n, 3, 3) of places of which only the line of sight is known."""
    across = (options.unseen_across * z[:, :, None]) ** 2 * np.eye(3)
    return np.asarray(across + options.unseen_sd_m**2 * rays[:, :, None] * rays[:, None, :])


def _partners(G: list[F64], maps: list[DepthMap | None], options: JointIcpOptions) -> list[tuple[int, int]]:
    """Pairs (j, i): depth picture j is laid on i; those that look most alike."""
    deep = [k for k, m in enumerate(maps) if m is not None]
    ahead = np.array([g[:3, 2] for g in G])
    out = []
    for j in deep:
        alike = {i: float(ahead[i] @ ahead[j]) for i in deep if i != j}
        best = sorted(alike, key=lambda i: -alike[i])[:options.partners]
        out += [(j, i) for i in best if alike[i] > np.cos(np.radians(options.widest_deg))]
    return out


def _add_depth(
    system: _System, i: int, j: int, G: list[F64], maps: list[DepthMap | None], at: I64, gate: float,
    options: JointIcpOptions,
) -> None:  # fmt: skip
    """Points of depth picture j, at pixels (n, 2), are drawn to the planes of picture i on which they fall."""
    on, of = maps[i], maps[j]
    if on is None or of is None or len(at) == 0:
        return
    points = of.points[at[:, 1], at[:, 0]].astype(np.float64)
    T = np.linalg.inv(G[i]) @ G[j]
    moved = points @ T[:3, :3].T + T[:3, 3]
    _, (x, y), which = projected(moved, on)
    there, normals = on.points[y, x].astype(np.float64), on.normals[y, x].astype(np.float64)
    own = of.normals[at[which, 1], at[which, 0]].astype(np.float64) @ T[:3, :3].T
    alike = (own * normals).sum(1) > options.least_normal_cosine
    normals = normals + own
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    error = ((moved[which] - there) * normals).sum(1)
    same = (np.abs(error) < gate) & alike
    points, normals, error = points[which[same]], normals[same], error[same]
    if len(error) < options.least_common:
        return
    pixel = on.distance_m / float(on.K[0, 0])
    sd = float(np.hypot(1.5 * np.median(np.abs(error)), options.sampling_ratio * pixel))
    weight = 1 / (options.dependent_points * sd**2) / (1 + (error / sd / options.cauchy_sd) ** 2)
    facing = normals @ T[:3, :3]
    J = np.concatenate([np.cross(points, facing), facing], axis=1)
    H, b = (J * weight[:, None]).T @ J, J.T @ (weight * error)
    # T exp(s) = exp(-s_i) T exp(s_j), so that s = s_j - Ad(1 / T) s_i.
    both = np.hstack([-_adjoint(np.asarray(np.linalg.inv(T))), np.eye(6)])
    system.add(i, j, both.T @ H @ both, both.T @ b)
    system.compared[[i, j]] += len(error)
    system.off.append(np.abs(error))


def _cross(x: F64) -> F64:
    """(n, 3, 3): matrices that take the cross product of x (n, 3) with a vector."""
    out = np.zeros((*x.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -x[..., 2], x[..., 1], -x[..., 0]
    return np.asarray(out - np.swapaxes(out, -1, -2))


def _moved(step: F64) -> F64:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(step[:3]).as_matrix(), step[3:]
    return T


def _adjoint(T: F64) -> F64:
    out = np.zeros((6, 6))
    out[:3, :3] = out[3:, 3:] = T[:3, :3]
    out[3:, :3] = _cross(T[None, :3, 3])[0] @ T[:3, :3]
    return out
