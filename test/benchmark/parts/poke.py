"""A reconstructed thing is poked through World, and what it uncovers is looked at."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from parts.records import record
from pw_core.actions import parse_action
from pw_core.gaussians import Camera
from pw_core.rollout import Frame
from pw_core.scene import Scene
from pw_core.world import World

PULSE_S, WATCHED_S, SPEED_M_S = 0.1, 0.8, 1.2
RIM_PX = 14
VIEWS = 3
OPAQUE = 0.95


def poke(what: str, scene: Scene, out: Path) -> None:
    """One pulse against the first entity, across the first camera's look, that sets it off with SPEED_M_S.

    Pictures before, while it moves and after, from VIEWS cameras, in `out`/poke.png. Of the pixels that the entity
    leaves in them, all must be covered by the background, which is to be as bright as what lies round them.
    """
    e = scene.entities[0]
    cameras = [scene.cameras[i] for i in np.linspace(0, len(scene.cameras), VIEWS, endpoint=False).astype(int)]
    look = cameras[0].viewmat[2, :2] / np.linalg.norm(cameras[0].viewmat[2, :2])
    across = np.array([-look[1], look[0], 0.0])
    mass = e.volume_m3 * e.material.density_kg_m3
    size = np.ptp(e.mesh.vertices, axis=0)
    action = parse_action({
        "type": "poke", "duration": PULSE_S, "center": e.origin.tolist(), "direction": across.tolist(),
        "radius": float(0.6 * size.max()), "magnitude": float(mass * SPEED_M_S * np.pi / 2 / PULSE_S),
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as store:
        world = World(store)
        world.adopt(scene)
        frames = list(world.rollout([action], WATCHED_S))
        shown = [frames[i] for i in (0, len(frames) // 3, -1)]
        views = [[world.render(c, physics=f.physics) for f in shown] for c in cameras]
    before, after = (f.physics.particles.positions[e.particles].mean(0) for f in (frames[0], frames[-1]))
    moved = float(np.linalg.norm((after - before)[:2]))
    record(f"{what}: poked, moves by", 100 * moved, "cm", "> 2", moved > 0.02)
    covered, apart = [], []
    for camera, row in zip(cameras, views):
        first, last = outline(scene, frames[0], camera), outline(scene, frames[-1], camera, grow=6)
        left = first & ~last
        if not left.any():
            continue
        covered.append(row[-1].alpha[left] > OPAQUE)
        rim = ndimage.binary_dilation(left, iterations=RIM_PX) & ~ndimage.binary_dilation(left, iterations=2)
        rim &= ~outline(scene, frames[0], camera, grow=4) & ~last
        picture = row[-1].rgb.astype(np.float64)
        apart.append(np.abs(np.median(picture[left], axis=0) - np.median(picture[rim], axis=0)).max())
    share = float(np.concatenate(covered).mean())
    note = f"{sum(map(len, covered))} px in {len(covered)} views, opacity above {OPAQUE}"
    record(f"{what}: uncovered background that is there", 100 * share, "%", ">= 99", share >= 0.99, note)
    note = f"medians, of 255; the worst of {len(apart)} views"
    record(f"{what}: uncovered background from its surroundings", float(max(apart)), "levels", "reported", None, note)
    out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out / "poke.png"), np.vstack([np.hstack([v.rgb for v in row]) for row in views])[..., ::-1])


def outline(scene: Scene, frame: Frame, camera: Camera, *, grow: int = 0) -> np.ndarray:
    """Pixels within the hull of the first entity's particles, closed; (H, W)."""
    points = frame.physics.particles.positions[scene.entities[0].particles].astype(np.float64)
    uv, _ = camera.project(points)
    mask = np.zeros((camera.height, camera.width), bool)
    at = np.floor(uv).astype(int)
    at = at[(at >= 0).all(1) & (at[:, 0] < mask.shape[1]) & (at[:, 1] < mask.shape[0])]
    mask[at[:, 1], at[:, 0]] = True
    return np.asarray(ndimage.binary_dilation(ndimage.binary_closing(mask, iterations=8), iterations=grow + 1))
