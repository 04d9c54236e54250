"""Turned views and moved states of a photo's scene, as examples/photos/make_truths.py moves the true ones; and how
broad its thin parts are when turned."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from pw_core.gaussians import Camera
from pw_core.scene import PhysicsState, Scene

TURNED = tuple(f"turned_{a:+d}" for a in (-40, -20, -10, 10, 20, 40))
MOVED = ("slid", "spun", "pressed")
SLID_M = (0.0, 0.05, 0.0)
SPUN_DEG = 30.0
PRESSED = 0.85
"""Height that is left of what is pressed, at its volume."""
THIN_RATIO = 0.07
"""Of the square root of a mask's area: what is thinner than twice that is a thin part, a leg, a handle ..."""
LEAST_THIN_SHARE = 0.01
"""Of a mask: less of it that is thin is its outline's corners."""
Mask = NDArray[np.bool_]


def state(scene: Scene, view: str) -> PhysicsState:
    """The start; with the first entity slid, turned where it stands, or pressed, where the view's name says so."""
    a, wide = math.radians(SPUN_DEG), PRESSED**-0.5
    spun = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    linear = {"spun": spun, "pressed": np.diag([wide, wide, PRESSED])}.get(view, np.eye(3))
    return moved(scene, SLID_M if view == "slid" else (0.0, 0.0, 0.0), linear)


def moved(
    scene: Scene, offset: tuple[float, float, float] = SLID_M, linear: NDArray[np.float64] | None = None
) -> PhysicsState:
    """The start with the first entity taken through `linear` (3, 3) about the middle of its foot, then by `offset` [m]
    (3,)."""
    physics, first = scene.initial_physics(), scene.entities[0]
    A = np.eye(3) if linear is None else linear
    positions = physics.particles.positions.copy()
    own = positions[first.particles].astype(np.float64)
    foot = np.array([*(own.min(0) + own.max(0))[:2] / 2, 0.0])
    positions[first.particles] = (own - foot) @ A.T + foot + np.array(offset)
    bodies = dict(physics.bodies)
    # No pose of a rigid body is this; its particles say where it is all the same.
    bodies.pop(first.name, None)
    return replace(physics, particles=replace(physics.particles, positions=positions), bodies=bodies)


def thin_parts(mask: Mask) -> Mask:
    """What of a mask (H, W) is thin."""
    radius = max(2, round(THIN_RATIO * math.sqrt(mask.sum())))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    wide = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    # A rounded corner of what is wide is not thin: parts stick out by more than they are broad.
    parts, count = ndimage.label(mask & ~wide)
    reach = ndimage.maximum(ndimage.distance_transform_edt(~wide), parts, np.arange(count + 1))
    return np.asarray((parts > 0) & (reach > radius)[parts])


def thin_ratio(scene: Scene, front: Mask, turned: Camera, true: Mask) -> float | None:
    """How many times as broad as in a truth, whose mask (H, W) from the `turned` camera is `true`, those parts of a
    scene are drawn that are thin in the `front` mask (H, W); None where there are none."""
    import torch

    from pw_core.render import rasterize

    thin, goal = thin_parts(front), thin_parts(true)
    if thin.sum() < LEAST_THIN_SHARE * front.sum() or goal.sum() < LEAST_THIN_SHARE * true.sum():
        return None
    g, camera = scene.foreground, scene.cameras[0]
    small = camera.resized(front.shape[1], front.shape[0])
    cells, _, seen = small.pixels(g.means.astype(np.float64))
    is_thin = np.zeros((len(g), 1), np.float32)
    is_thin[seen, 0] = ndimage.binary_dilation(thin)[cells[seen, 1], cells[seen, 0]]
    means, quats, scales, opacities, colors, view, K = (
        torch.from_numpy(np.ascontiguousarray(a, np.float32))
        for a in (g.means, g.quats, np.exp(g.log_scales), g.opacities, g.colors(), turned.viewmat[None], turned.K[None])
    )
    drawn = rasterize(
        means, quats, scales, torch.sigmoid(opacities), colors, view, K, turned.width, turned.height,
        features=torch.from_numpy(is_thin),
    )  # fmt: skip
    assert drawn.features is not None
    own = drawn.features[0, ..., 0].numpy() > 0.5
    return _width(own) / max(_width(goal), 1e-6)


def _width(mask: Mask) -> float:
    """Median of a mask's local width [px]."""
    ridge = skeletonize(mask)
    if not ridge.any():
        return 0.0
    return float(np.median(2 * ndimage.distance_transform_edt(mask)[ridge] - 1))
