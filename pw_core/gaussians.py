"""The visual side: Camera, Gaussians, Binding, and how Gaussians follow their particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SH_C0 = 0.28209479177387814
"""The constant of spherical harmonics' degree 0: colour = 0.5 + SH_C0 * sh."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. K [px], shape (3, 3), pixel centres at +0.5; viewmat: world to camera (4, 4), optical axes."""

    name: str
    K: F64
    viewmat: F64
    width: int
    height: int

    @classmethod
    def above_table(
        cls, *, height_m: float, pitch_deg: float, hfov_deg: float, width: int, height: int, name: str = "camera"
    ) -> Camera:
        """A camera `height_m` above the world's origin that looks along +x and `pitch_deg` down."""
        f = width / 2 / math.tan(math.radians(hfov_deg) / 2)
        K = np.array([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1.0]])
        c, s = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
        R = np.array([[0, -1, 0], [-s, 0, -c], [c, 0, -s]])  # rows: right, down, forward in the world
        viewmat = np.eye(4)
        viewmat[:3, :3] = R
        viewmat[:3, 3] = -R @ np.array([0, 0, height_m])
        return cls(name, K, viewmat, width, height)

    @property
    def centre(self) -> F64:
        """Where it stands [m], shape (3,)."""
        return np.asarray(-self.viewmat[:3, :3].T @ self.viewmat[:3, 3])

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with another number of pixels."""
        scale = np.array([[width / self.width], [height / self.height], [1.0]])
        return Camera(self.name, self.K * scale, self.viewmat, width, height)

    def moved(self, viewmat: F64, *, name: str) -> Camera:
        """The same lens elsewhere."""
        return Camera(name, self.K, np.asarray(viewmat, dtype=np.float64), self.width, self.height)

    def rays(self, pixels: F64) -> F64:
        """Directions in the world, shape (..., 3), with unit depth, through `pixels` [px], shape (..., 2)."""
        xy = (np.asarray(pixels) - self.K[:2, 2]) / np.array([self.K[0, 0], self.K[1, 1]])
        local = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)
        return np.asarray(local @ self.viewmat[:3, :3])

    def unproject(self, pixels: F64, depth: F64) -> F64:
        """Points [m], shape (..., 3), at `depth` [m] along the optical axis through `pixels` [px], shape (..., 2)."""
        return np.asarray(self.centre + self.rays(pixels) * np.asarray(depth)[..., None])

    def project(self, points: NDArray[np.floating]) -> tuple[F64, F64]:
        """Pixels (..., 2) and depths (...) [m] of `points` [m], shape (..., 3)."""
        local = np.asarray(points) @ self.viewmat[:3, :3].T + self.viewmat[:3, 3]
        depth = local[..., 2]
        uv = local[..., :2] / depth[..., None] * np.array([self.K[0, 0], self.K[1, 1]]) + self.K[:2, 2]
        return uv, depth

    def contains(self, uv: F64, depth: F64) -> NDArray[np.bool_]:
        """Which of the pixels `uv` [px] (..., 2) at `depth` [m] (...) lie before the camera and in its picture."""
        x, y = uv[..., 0], uv[..., 1]  # column by column: NumPy takes ten times as long over rows of two
        return np.asarray((depth > 0) & (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height))

    def pixels(self, points: NDArray[np.floating]) -> tuple[I64, F64, NDArray[np.bool_]]:
        """Where `points` [m] (..., 3) fall: pixels (..., 2) as column and row, depths (...) [m], and which are seen.

        Pixels of points that are not in the picture are moved to its border, so that they may index it.
        """
        uv, depth = self.project(points)
        last = np.array([self.width - 1, self.height - 1])
        cells = np.clip(np.nan_to_num(np.floor(uv)), 0, last).astype(np.int64)
        return cells, depth, self.contains(uv, depth)


def sh_degree(sh: NDArray[np.floating]) -> int:
    """Degree of spherical harmonics with coefficients (N, K, 3): K = (degree + 1)²."""
    return math.isqrt(sh.shape[-2]) - 1


@dataclass(frozen=True)
class Gaussians:
    """N of them, as gsplat: means [m] (N, 3), quats wxyz (N, 4), log_scales [log m] (N, 3), opacities [logit] (N,),
    sh (N, K, 3)."""

    means: F32
    quats: F32
    log_scales: F32
    opacities: F32
    sh: F32

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, index: slice | I64 | NDArray[np.bool_]) -> Gaussians:
        return Gaussians(*(a[index] for a in self.arrays().values()))

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics."""
        return sh_degree(self.sh)

    def arrays(self) -> dict[str, F32]:
        """The five arrays by name."""
        return {
            "means": self.means, "quats": self.quats, "log_scales": self.log_scales, "opacities": self.opacities,
            "sh": self.sh,
        }  # fmt: skip

    @classmethod
    def concatenate(cls, parts: list[Gaussians]) -> Gaussians:
        """All of them in order; they must have the same number of SH coefficients."""
        return cls(*(np.concatenate(x) for x in zip(*(p.arrays().values() for p in parts))))

    def moved(self, turn: F64, shift: F64, *, scale: float = 1.0) -> Gaussians:
        """Scaled, turned by a rotation (3, 3), shifted [m] (3,). A turn leaves only the view-independent colours: the
        other harmonics would have to be turned too."""
        from scipy.spatial.transform import Rotation

        own = Rotation.from_quat(self.quats[:, [1, 2, 3, 0]])
        quats = (Rotation.from_matrix(turn) * own).as_quat()[:, [3, 0, 1, 2]].astype(np.float32)
        sh = self.sh
        if not np.allclose(turn, np.eye(3)):
            sh = sh.copy()
            sh[:, 1:] = 0
        means = (scale * self.means @ np.asarray(turn).T + shift).astype(np.float32)
        return Gaussians(means, quats, self.log_scales + np.float32(math.log(scale)), self.opacities, sh)

    def with_harmonics(self, count: int) -> Gaussians:
        """With so many coefficients K: more are zero, fewer are left out."""
        sh = np.zeros((len(self), count, 3), np.float32)
        kept = min(count, self.sh.shape[1])
        sh[:, :kept] = self.sh[:, :kept]
        return Gaussians(self.means, self.quats, self.log_scales, self.opacities, sh)

    def covariances(self) -> F32:
        """[m²], shape (N, 3, 3)."""
        m = quats_to_rotations(self.quats) * np.exp(self.log_scales)[:, None, :]
        return np.asarray(m @ m.transpose(0, 2, 1), dtype=np.float32)

    def colors(self) -> F32:
        """RGB of the view-independent part, shape (N, 3), clamped to [0, 1]."""
        return np.clip(0.5 + SH_C0 * self.sh[:, 0], 0, 1)


@dataclass(frozen=True)
class Binding:
    """How N foreground Gaussians hang on particles (design section 5).

    index (N, B): particles, the first is its own; weights (N, B), rows sum to 1; raw (N, 3): the offset from the own
    particle is delta * tanh(raw) in the rest frame; delta [m] (N,): that particle's size.
    """

    index: I64
    weights: F32
    raw: F32
    delta: F32

    def offsets(self) -> F32:
        """At rest, from the own particle [m], shape (N, 3)."""
        return np.asarray(self.delta[:, None] * np.tanh(self.raw), dtype=np.float32)


def quats_to_rotations(quats: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rotation matrices (..., 3, 3) of quaternions wxyz (..., 4), which are normalised first."""
    w, x, y, z = np.moveaxis(quats / np.linalg.norm(quats, axis=-1, keepdims=True), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, axis=-1).reshape(*quats.shape[:-1], 3, 3)


def neighbours(positions: F32, entity: NDArray[np.integer], *, count: int = 12) -> I64:
    """For each particle, up to `count` nearest of the same entity at rest, shape (J, count), itself included."""
    from scipy.spatial import cKDTree

    out = np.empty((len(positions), count), dtype=np.int64)
    for e in np.unique(entity):
        mine = np.flatnonzero(entity == e)
        k = min(count, len(mine))
        found = cKDTree(positions[mine]).query(positions[mine], k=k)[1].reshape(len(mine), k)
        out[mine] = mine[np.pad(found, ((0, 0), (0, count - k)), mode="edge")]
    return out


FLAT = 1e-3
"""Neighbours whose spread in a direction is below this share of the mean say nothing about that direction."""


def deformations(rest: F32, now: F32, near: I64) -> F32:
    """The total deformation A of each particle since binding, shape (J, 3, 3), from positions [m] (J, 3).

    Least squares over the neighbours (Müller et al. 2005, "Meshless deformations based on shape matching"), singular
    values clamped to [1/2, 2]. Exact for affine maps. Where neighbours lie nearly in a plane, the direction that they
    do not tell is pulled towards the neighbourhood's own rotation, so that a turned body stays turned.
    """
    q = rest[near].astype(np.float64) - rest[:, None]
    p = now[near].astype(np.float64) - now[:, None]
    apq = np.einsum("jki,jkl->jil", p, q)
    spread, axes = np.linalg.eigh(np.einsum("jki,jkl->jil", q, q))
    # Only what a direction's spread lacks to FLAT of the mean is filled up: a ridge on all of them would bias A.
    lacking = np.maximum(FLAT * spread.mean(1, keepdims=True) + 1e-18 - spread, 0)
    u, _, vt = np.linalg.svd(apq)
    u[:, :, 2] *= np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)[:, None]
    turn = u @ vt
    a = (apq @ axes + turn @ axes * lacking[:, None, :]) / (spread + lacking)[:, None, :] @ axes.transpose(0, 2, 1)
    u, s, vt = np.linalg.svd(a)
    flip = np.linalg.det(u @ vt) < 0
    u[flip, :, 2] *= -1
    return np.asarray((u * np.clip(s, 0.5, 2.0)[:, None, :]) @ vt, dtype=np.float32)


def follow(binding: Binding, rest: F32, now: F32, A: F32, covariances: F32) -> tuple[F32, F32]:
    """Where bound Gaussians are and how they are stretched: means [m] (N, 3) and covariances [m²] (N, 3, 3).

    Each Gaussian blends what its particles say: mean = sum_b w_b (p_b + A_b (x - p_b at rest)), cov = A cov A^T with A
    of the same blend.
    """
    own = binding.index[:, 0]
    x = rest[own] + binding.offsets()
    means = np.zeros_like(x)
    blended = np.zeros((len(x), 3, 3), dtype=np.float32)
    for b in range(binding.index.shape[1]):
        j, w = binding.index[:, b], binding.weights[:, b]
        means += w[:, None] * (now[j] + np.einsum("nij,nj->ni", A[j], x - rest[j]))
        blended += w[:, None, None] * A[j]
    return means, np.asarray(blended @ covariances @ blended.transpose(0, 2, 1), dtype=np.float32)
