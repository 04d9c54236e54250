"""Procedural meshes for the example photos: noise, blobs, cloth, and the small furniture round them.

Everything is plain numpy. A mesh is a `Mesh` of vertices [m, world frame: x away from the camera, y left, z up],
triangles, and optional texture coordinates and vertex colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass
class Mesh:
    """Triangles: `verts` (V, 3) m, `faces` (F, 3), `uv` (V, 2) or None, `color` (V, 3) linear RGB or None."""

    verts: F64
    faces: NDArray[np.int32]
    uv: F64 | None = None
    color: F64 | None = None
    smooth: bool = True

    def normals(self) -> F64:
        """Area-weighted unit vertex normals, shape (V, 3)."""
        tri = self.verts[self.faces]
        face_n = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
        out = np.zeros_like(self.verts)
        for corner in range(3):
            for axis in range(3):
                out[:, axis] += np.bincount(self.faces[:, corner], face_n[:, axis], minlength=len(self.verts))
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20)

    def moved(self, offset: Sequence[float] | F64) -> Mesh:
        """The mesh shifted by `offset` [m]."""
        return Mesh(self.verts + np.asarray(offset), self.faces, self.uv, self.color, self.smooth)

    def write_ply(self, path: Path) -> None:
        """Binary PLY with normals (when smooth), `u v` and `r g b`, as Mitsuba and trimesh read them."""
        columns: list[tuple[str, F64]] = [("x y z", self.verts)]
        if self.smooth:
            columns.append(("nx ny nz", self.normals()))
        if self.uv is not None:
            columns.append(("u v", self.uv))
        if self.color is not None:
            columns.append(("r g b", self.color))
        names = " ".join(name for name, _ in columns).split()
        head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(self.verts)}"]
        head += [f"property float {name}" for name in names]
        head += [f"element face {len(self.faces)}", "property list uchar int vertex_indices", "end_header\n"]
        face_rows = np.empty(len(self.faces), dtype=[("n", "u1"), ("i", "<i4", (3,))])
        face_rows["n"], face_rows["i"] = 3, self.faces
        with path.open("wb") as out:
            out.write("\n".join(head).encode())
            out.write(np.concatenate([data for _, data in columns], axis=1).astype("<f4").tobytes())
            out.write(face_rows.tobytes())


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one; texture coordinates survive only if every mesh has them."""
    starts = np.cumsum([0] + [len(mesh.verts) for mesh in meshes[:-1]])
    uvs = [mesh.uv for mesh in meshes if mesh.uv is not None]
    return Mesh(
        np.concatenate([mesh.verts for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate(uvs) if len(uvs) == len(meshes) else None,
        smooth=all(mesh.smooth for mesh in meshes),
    )


# ---------------------------------------------------------------- noise


def _hash(ix: NDArray[np.uint32], iy: NDArray[np.uint32], iz: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    h = ix * np.uint32(374761393) + iy * np.uint32(668265263) + iz * np.uint32(2147483647)
    h += np.uint32(seed * 1274126177 & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(2246822519)
    return h ^ (h >> np.uint32(15))


_GRADIENTS = np.array(
    [[a, b, 0] for a in (-1, 1) for b in (-1, 1)]
    + [[a, 0, b] for a in (-1, 1) for b in (-1, 1)]
    + [[0, a, b] for a in (-1, 1) for b in (-1, 1)]
    + [[1, 1, 0], [-1, 1, 0], [0, -1, 1], [0, -1, -1]],
    dtype=np.float32,
).T.copy()


def perlin(points: F64, *, seed: int = 0) -> F64:
    """Gradient noise in about [-1, 1] at `points` (N, 3), feature size 1 (Perlin 2002)."""
    axes = [np.ascontiguousarray(points[:, k]) for k in range(3)]
    floors = [np.floor(axis) for axis in axes]
    frac = [(axis - low).astype(np.float32) for axis, low in zip(axes, floors, strict=True)]
    base = [low.astype(np.int64).astype(np.uint32) for low in floors]
    fade = [f * f * f * (f * (f * 6 - 15) + 10) for f in frac]
    flat = [not f.any() for f in frac]  # on a lattice plane the far corners weigh nothing
    out = np.zeros(len(points), dtype=np.float32)
    for d in np.ndindex(2, 2, 2):
        if any(flat[k] and d[k] for k in range(3)):
            continue
        pick = _hash(*(base[k] + np.uint32(d[k]) for k in range(3)), seed) & np.uint32(15)
        dot = sum(_GRADIENTS[k][pick] * (frac[k] - np.float32(d[k])) for k in range(3))
        for k in range(3):
            dot = dot * (fade[k] if d[k] else 1 - fade[k])
        out += dot
    return out.astype(np.float64)


def fbm(points: F64, *, size: float, octaves: int = 4, gain: float = 0.5, seed: int = 0, ridged: bool = False) -> F64:
    """Sum of `octaves` of noise whose largest feature is `size` [m]; `ridged` gives creases, in [-1, 0]."""
    out, amp, scale = np.zeros(len(points)), 1.0, 1.0 / size
    for octave in range(octaves):
        layer = perlin(points * scale, seed=seed + 17 * octave)
        out += amp * (-np.abs(layer) if ridged else layer)
        amp *= gain
        scale *= 2.03
    return out


def cells(points: F64, *, size: float, seed: int = 0) -> tuple[F64, F64]:
    """Worley noise: distances to the nearest and second nearest random site, in units of `size` [m]."""
    scaled = points / size
    base = np.floor(scaled).astype(np.int64)
    first, second = np.full(len(points), 9.0), np.full(len(points), 9.0)
    for d in np.ndindex(3, 3, 3):
        cell = base + np.array(d) - 1
        index = cell.astype(np.uint32)
        jitter = [_hash(index[:, 0], index[:, 1], index[:, 2], seed + 7919 * k) / 4294967296.0 for k in range(3)]
        dist = np.linalg.norm(cell + np.stack(jitter, axis=1) - scaled, axis=1)
        second = np.minimum(second, np.maximum(first, dist))
        first = np.minimum(first, dist)
    return first, second


def smooth_min(a: F64, b: F64, k: float) -> F64:
    """Polynomial smooth minimum with blending distance `k` [m] (Quilez)."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25


# ---------------------------------------------------------------- solids


def icosphere(subdivisions: int) -> tuple[F64, NDArray[np.int32]]:
    """Unit directions and triangles of an icosahedron split `subdivisions` times (10 * 4^n + 2 vertices)."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.asarray(ball.vertices, dtype=np.float64), np.asarray(ball.faces, dtype=np.int32)


def star_solid(sdf: Callable[[F64], F64], *, center: Sequence[float], reach: float, subdivisions: int = 7) -> Mesh:
    """Closed mesh of the outermost surface of `sdf` seen from `center`, by sphere tracing inwards from `reach` [m]."""
    dirs, faces = icosphere(subdivisions)
    c = np.asarray(center, dtype=np.float64)
    t = np.full(len(dirs), reach)
    live = np.arange(len(dirs))
    for _ in range(80):
        gap = sdf(c + dirs[live] * t[live, None])
        t[live] = np.maximum(t[live] - 0.7 * gap, 1e-4)
        live = live[np.abs(gap) > 2e-4 * reach]
        if not len(live):
            break
    return Mesh(c + dirs * t[:, None], faces)


def displaced(mesh: Mesh, height: F64, *, keep_flat_below: float = 0.0, fade: float = 0.004) -> Mesh:
    """Vertices moved along their normals by `height` (V,) m, less and less towards the table (z = 0)."""
    weight = np.clip((mesh.verts[:, 2] - keep_flat_below) / fade, 0.0, 1.0)
    verts = mesh.verts + mesh.normals() * (height * weight)[:, None]
    verts[:, 2] = np.maximum(verts[:, 2], 0.0)
    return Mesh(verts, mesh.faces, mesh.uv, mesh.color)


def grid(points: F64, uv: F64) -> Mesh:
    """Mesh of a (R, C, 3) array of points with (R, C, 2) texture coordinates."""
    rows, cols = points.shape[:2]
    index = np.arange(rows * cols, dtype=np.int32).reshape(rows, cols)
    a, b, c, d = (
        index[s].ravel()
        for s in np.s_[
            (slice(-1), slice(-1)),
            (slice(-1), slice(1, None)),
            (slice(1, None), slice(1, None)),
            (slice(1, None), slice(-1)),
        ]
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(points.reshape(-1, 3), faces, uv.reshape(-1, 2))


def lathe(profile: Sequence[Sequence[float]], *, segments: int = 96, smooth: bool = True) -> Mesh:
    """Solid of revolution about z from (radius, z) pairs [m]; `v` runs along the profile, `u` round it."""
    prof = np.asarray(profile, dtype=np.float64)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    points = np.stack(
        [prof[:, None, 0] * np.cos(angle), prof[:, None, 0] * np.sin(angle), np.repeat(prof[:, 1:2], segments + 1, 1)],
        axis=-1,
    )
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(prof, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(angle[None] / (2 * np.pi), length[:, None] / max(length[-1], 1e-9)), axis=-1)
    mesh = grid(points, uv)
    mesh.smooth = smooth
    return mesh


def rod(*, length: float, radius: float, rounding: float, segments: int = 160) -> Mesh:
    """Closed cylinder along z about the origin, its edges rounded by `rounding` [m], welded and watertight."""
    half = length / 2
    bend = np.linspace(0, np.pi / 2, 12)
    low = np.stack([radius - rounding + rounding * np.sin(bend), -half + rounding - rounding * np.cos(bend)], 1)
    side = np.stack([np.full(38, radius), np.linspace(-half + rounding, half - rounding, 40)[1:-1]], 1)
    prof = np.concatenate([low, side, (low * [1, -1])[::-1]])
    angle = np.arange(segments) / segments * 2 * np.pi
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    verts = np.concatenate(
        [np.concatenate([r * ring, np.full((segments, 1), z)], 1) for r, z in prof]
        + [np.array([[0, 0, -half], [0, 0, half]])]
    )
    n, here = len(prof), np.arange(segments)
    after = (here + 1) % segments
    faces = []
    for k in range(n - 1):
        a, b = k * segments + here, k * segments + after
        faces += [np.stack([a, b, b + segments], 1), np.stack([a, b + segments, a + segments], 1)]
    faces.append(np.stack([np.full(segments, n * segments), after, here], 1))
    faces.append(
        np.stack([np.full(segments, n * segments + 1), (n - 1) * segments + here, (n - 1) * segments + after], 1)
    )
    uv = np.stack([np.arctan2(verts[:, 1], verts[:, 0]) / (2 * np.pi), verts[:, 2] / length + 0.5], 1)
    return Mesh(verts, np.concatenate(faces).astype(np.int32), uv)


def box(low: Sequence[float], high: Sequence[float], *, uv_scale: float = 1.0) -> Mesh:
    """Axis-aligned box from corner to corner [m]; texture coordinates in metres times `uv_scale`."""
    lo, hi = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    verts, faces, uvs = [], [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        if axis == 1:
            u, v = 0, 2
        for side in (0, 1):
            quad = np.zeros((4, 3))
            quad[:, axis] = (lo, hi)[side][axis]
            quad[:, u] = [lo[u], hi[u], hi[u], lo[u]]
            quad[:, v] = [lo[v], lo[v], hi[v], hi[v]]
            flip = (side == 0) != (axis == 1)
            start = len(verts) * 4
            faces.append(np.array([[0, 2, 1], [0, 3, 2]] if flip else [[0, 1, 2], [0, 2, 3]]) + start)
            verts.append(quad)
            uvs.append(quad[:, [u, v]] * uv_scale)
    return Mesh(np.concatenate(verts), np.concatenate(faces).astype(np.int32), np.concatenate(uvs), smooth=False)


def sheet(x: tuple[float, float], y: tuple[float, float], z: float = 0.0) -> Mesh:
    """Horizontal rectangle; `v` runs along x and `u` along -y, so that a texture's columns run left to right."""
    xs, ys = np.meshgrid(x, y[::-1], indexing="ij")
    v, u = np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij")
    mesh = grid(np.stack([xs, ys, np.full(xs.shape, z)], -1), np.stack([u, v], -1))
    mesh.faces = mesh.faces[:, ::-1].copy() if mesh.normals()[0, 2] < 0 else mesh.faces
    mesh.smooth = False
    return mesh
