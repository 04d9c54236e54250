"""Furniture and small things for the blurred rooms behind the dough and the clay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from materials import glazed, linear, matte, mix, plane_points, texture
from shapes import F64, Mesh, box, cells, fbm, grid, lathe, merge, perlin

Part = tuple[Mesh, dict[str, Any]]


def ball(center: Sequence[float], radius: float, *, squash: Sequence[float] = (1, 1, 1)) -> Mesh:
    """Smooth ellipsoid [m]."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 24)
    mesh = lathe(np.stack([np.cos(angle), np.sin(angle)], 1) * radius, segments=48)
    return Mesh(mesh.verts * np.asarray(squash) + np.asarray(center), mesh.faces, mesh.uv)


def can(center: Sequence[float], radius: float, height: float, *, top: float = 1.0) -> Mesh:
    """Upright cylinder or cone frustum that stands at `center` [m]; `top`: upper radius over lower."""
    profile = [(0, 0), (radius, 0), (radius * top, height), (0, height)]
    mesh = lathe(profile, segments=48, smooth=False)
    return mesh.moved(center)


def bowl(center: Sequence[float], radius: float, height: float) -> Mesh:
    """Open bowl with a foot, standing at `center` [m]."""
    a = np.linspace(0.0, np.pi / 2, 18)
    outer = np.stack([radius * (0.42 + 0.58 * np.sin(a)), height * (0.06 + 0.94 * (1 - np.cos(a)))], 1)
    inner = (outer * [0.93, 0.93] + [0, 0.09 * height])[::-1]
    inner[0] = outer[-1] * [0.96, 1.0]
    return lathe([(0, 0), (radius * 0.40, 0), *outer, *inner, (0, 0.14 * height)], segments=80).moved(center)


def plant(center: Sequence[float], radius: float, *, seed: int, leaves: int = 420) -> Mesh:
    """A bush of curled leaves in a ball of `radius` m about `center`."""
    rng = np.random.default_rng(seed)
    out = []
    s, t = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(0, 1, 5))
    leaf = np.stack([s * np.sin(np.pi * t**0.8) * 0.42, t, 0.25 * t**2 + 0.2 * np.abs(s)], -1)
    for _ in range(leaves):
        where = rng.normal(size=3)
        where *= rng.uniform(0.3, 1.0) / np.linalg.norm(where)
        frame, _ = np.linalg.qr(rng.normal(size=(3, 3)) + np.outer(where, [0, 1.5, 0]))
        size = radius * rng.uniform(0.25, 0.45)
        points = leaf @ (frame * size).T + where * radius * [1, 1, 0.85] + center
        out.append(grid(points, np.stack([s, t], -1)))
    return merge(out)


def curtain(x: float, y: tuple[float, float], z: tuple[float, float], *, folds: int, seed: int) -> Mesh:
    """A hanging, gathered sheet; `u` runs across the cloth itself and `v` up."""
    s, t = np.meshgrid(np.linspace(0, 1, 240), np.linspace(0, 1, 40))
    wander = perlin(np.stack([s.ravel() * 4, t.ravel(), np.full(s.size, seed * 1.7)], 1)).reshape(s.shape)
    wave = np.sin(2 * np.pi * folds * s + 1.2 * wander + seed)
    points = np.stack([x + 0.022 * wave, y[0] + (y[1] - y[0]) * s, z[0] + (z[1] - z[0]) * t], -1)
    return grid(points, np.stack([s, t], -1))


def gingham(color: str, *, across: int, up: int) -> dict[str, Any]:
    """Checked cotton: white, the colour, and their blend where only one thread is coloured."""
    u, v = np.meshgrid(np.arange(across * 16) // 8 % 2, np.arange(up * 16) // 8 % 2)
    return matte(
        texture(mix((u + v) / 2.0, linear("#f4f0e6") * np.ones((*u.shape, 3)), linear(color) * np.ones((*u.shape, 3))))
    )


def tiles(*, rows: int, cols: int, size: tuple[float, float], tile: tuple[float, float], color: str, seed: int) -> F64:
    """Wall tiles in running bond: colours (rows, cols, 3) of a sheet; `size` and `tile` are (height, width) m."""
    pts = plane_points(rows, cols, *size)
    course = np.floor(pts[:, 0] / tile[0])
    along = pts[:, 1] / tile[1] + 0.5 * (course % 2)
    shade = perlin(np.stack([course * 3.7 + 0.5, np.floor(along) * 2.3 + 0.5, np.full(len(pts), 0.5)], 1), seed=seed)
    gap = np.minimum(
        np.minimum(pts[:, 0] % tile[0], tile[0] - pts[:, 0] % tile[0]), np.minimum(along % 1, 1 - along % 1) * tile[1]
    )
    joint = np.clip((0.0035 - gap) / 0.002, 0, 1)
    base = linear(color) * (1 + 0.10 * shade)[:, None]
    return (base * (1 - 0.45 * joint)[:, None]).reshape(rows, cols, 3)


def garden(*, rows: int = 160, cols: int = 160, seed: int, strength: float) -> dict[str, Any]:
    """What shines through a window: pale sky above, blurred leaves below, as an emitter's radiance."""
    pts = plane_points(rows, cols, 1.0, 1.0)
    leaf = fbm(pts, size=0.22, octaves=3, seed=seed).reshape(rows, cols)
    height = np.linspace(0, 1, rows)[:, None]
    green = np.clip(1.35 * (1 - height) + 1.6 * leaf - 0.25, 0, 1)
    spots, _ = cells(pts, size=0.07, seed=seed)
    light = mix(green, np.array([1.0, 0.99, 0.95]), np.array([0.42, 0.55, 0.26]))
    light *= (1 + 0.5 * np.clip(0.4 - spots, 0, 1).reshape(rows, cols) * green)[..., None]
    return texture(light * strength)


def panel(x: float, y: tuple[float, float], z: tuple[float, float]) -> Mesh:
    """Upright rectangle that faces the camera, `u` to the right and `v` up."""
    ys, zs = np.meshgrid([y[1], y[0]], [z[0], z[1]])
    u, v = np.meshgrid([0.0, 1.0], [0.0, 1.0])
    mesh = grid(np.stack([np.full(ys.shape, x), ys, zs], -1), np.stack([u, v], -1))
    if mesh.normals()[0, 0] > 0:
        mesh.faces = mesh.faces[:, ::-1].copy()
    mesh.smooth = False
    return mesh


def window(
    x: float, y: tuple[float, float], z: tuple[float, float], *, seed: int, strength: float, bar: float = 0.02
) -> dict[str, Part]:
    """A glowing window with a white frame and crossbars, its glass at `x` [m]."""
    mid = (y[0] + y[1]) / 2
    frame = [box((x - 0.05, y[k] - 0.035, z[0] - 0.035), (x + 0.01, y[k] + 0.035, z[1])) for k in (0, 1)]
    frame += [box((x - 0.09, y[0] - 0.07, z[0] - 0.05), (x + 0.01, y[1] + 0.07, z[0]))]
    frame += [box((x - 0.03, mid - bar / 2, z[0]), (x - 0.005, mid + bar / 2, z[1]))]
    step = (z[1] - z[0]) / 2.6
    frame += [box((x - 0.03, y[0], z[0] + step * k), (x - 0.005, y[1], z[0] + step * k + bar)) for k in (1, 2)]
    glow = {"emitter": {"type": "area", "radiance": garden(seed=seed, strength=strength)}, "bsdf": matte("#202020")}
    return {"glass": (panel(x, y, z), glow), "frame": (merge(frame), {"bsdf": glazed("#f0ede6", roughness=0.2)})}


def potted(name: str, center: Sequence[float], size: float, *, color: str, seed: int) -> dict[str, Part]:
    """A pot of `size` m across with a bush in it."""
    x, y, z = center
    pot = can((x, y, z), size * 0.40, size * 0.75, top=1.22)
    bush = plant((x, y, z + size * 1.15), size * 0.62, seed=seed)
    return {f"{name}_pot": (pot, {"bsdf": matte(color)}), f"{name}_bush": (bush, {"bsdf": matte("#5f8a3a")})}
