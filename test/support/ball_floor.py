"""The ball's floor as Gaussians, with the hole that the ball leaves in it, and the ball as fusing gives it."""

from __future__ import annotations

import numpy as np
import trimesh

from pw_core.gaussians import Gaussians
from pw_core.reconstruct.splatting.splats import surface_gaussians
from pw_core.reconstruct.surface.tsdf import TsdfMesh
from pw_core.reconstruct.types import View
from pw_core.scene import Mesh
from support.ball import CENTRE, RADIUS, camera, pattern, shot

STEP = 0.004
UNSEEN = 0.25
"""Of the radius: how far round its foot the ball hides the floor from cameras all round it."""


def ball() -> TsdfMesh:
    """The ball as fusing gives it, its field exact."""
    voxel = 2 * RADIUS / 40
    low = CENTRE - RADIUS - 4 * voxel
    axes = [a + voxel * np.arange(49) for a in low]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    field = (np.linalg.norm(grid - CENTRE, axis=-1) - RADIUS).astype(np.float32)
    mesh = trimesh.creation.icosphere(3, RADIUS).apply_translation(CENTRE)
    return TsdfMesh(Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)), field, low, voxel)


def floor_color(points: np.ndarray) -> np.ndarray:
    return 0.25 + pattern(points, scale=0.02, seed=1) * np.array([0.35, 0.5, 0.6])


def floor(*, wall: bool = False) -> Gaussians:
    """The floor of `conftest.shot`, but for what no view can see of it; with a wall behind that has the same hole."""
    x, y = (a.ravel() for a in np.mgrid[-0.6:0.6:STEP, -0.6:0.6:STEP])
    points = np.stack([x, y, np.zeros_like(x)], -1)
    points = points[np.hypot(points[:, 0], points[:, 1]) > UNSEEN * RADIUS]
    n = len(points)
    flat = surface_gaussians(
        points, np.tile([0, -STEP, 0], (n, 1)), np.tile([-STEP, 0, 0], (n, 1)), floor_color(points)
    )
    if not wall:
        return flat
    y, z = (a.ravel() for a in np.mgrid[-0.6:0.6:STEP, 0:0.7:STEP])
    points = np.stack([np.full_like(y, 0.3), y, z], -1)
    points = points[np.hypot(y, z) > 0.06]  # hidden by the ball
    n = len(points)
    up = surface_gaussians(points, np.tile([0, -STEP, 0], (n, 1)), np.tile([0, 0, -STEP], (n, 1)), np.full((n, 3), 0.6))
    return Gaussians.concatenate([flat, up])


def views(count: int, *, arc: float = 2 * np.pi, height: float = 0.3) -> tuple[list[View], dict[str, np.ndarray]]:
    out, masks = [], {}
    for i in range(count):
        cam = camera(arc * (i - count // 2) / count, height=height, name=f"v{i}.png")
        picture, _, mask = shot(cam)
        out.append(View(cam.name, picture, cam))
        masks[cam.name] = mask
    return out, masks
