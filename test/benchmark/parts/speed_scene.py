"""What the speed of refinement is measured on: a textured ball before a large still background, and a film of a truth
that bent, moved by tens of pixels and has other colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pw_core.gaussians import F32, SH_C0, Camera, Gaussians
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film
from pw_core.render.cameras import orbit
from pw_core.scene import Scene, Trajectory
from support.ball_scene import ball_scene

RADIUS_M, SHIFT_M, BEND_M, NOISE = 0.06, 0.02, 0.012, 3.0


@dataclass(frozen=True)
class Size:
    """particles carry three Gaussians each; width x height [px] of the pictures."""

    particles: int = 20_000
    background: int = 150_000
    frames: int = 49
    width: int = 1280
    height: int = 704
    iterations: int = 201
    reference_s: float = 40.0


SMALL = Size(400, 3000, 6, 192, 112, 12, 4.0)
"""For a machine without CUDA: shows that it runs, and no more."""


def scene_of(size: Size) -> tuple[Scene, tuple[Camera, ...]]:
    """The ball of the tests with colours that tell places apart, on a table before a backdrop; three cameras."""
    scene: Scene = ball_scene(radius=RADIUS_M, count=size.particles)
    entity, front = scene.entities[0], scene.foreground
    x = (front.means - entity.origin) / RADIUS_M
    colour = 0.5 + 0.25 * np.sin(5 * x + [0, 1, 2]) + 0.12 * np.sin(17 * x[:, [1, 2, 0]])
    scales = np.full_like(front.log_scales, np.log(0.5 * entity.particle_size_m))
    front = replace(front, sh=_sh(colour), log_scales=scales)
    scene = replace(scene, foreground=front, background=_background(size.background))
    first = scene.cameras[0].resized(size.width, size.height)
    turned = orbit(first.viewmat, entity.origin, [math.radians(a) for a in (-40, 40)])
    return scene, (first, *(first.moved(v, name=f"side{i}") for i, v in enumerate(turned)))


def _background(count: int) -> Gaussians:
    """A table (two thirds) and an upright backdrop, in a grid each."""
    parts = []
    for share, low, high in ((2 / 3, (0.1, -0.8, 0.0), (1.4, 0.8, 0.0)), (1 / 3, (1.4, -1.2, 0.0), (1.4, 1.2, 0.8))):
        low_, span = np.array(low), np.array(high) - np.array(low)
        a, b = np.flatnonzero(span)
        step = math.sqrt(span[a] * span[b] / (share * count))
        grid = np.stack(np.meshgrid(*(np.arange(s / 2, 1, s) for s in step / span[[a, b]]), indexing="ij"), -1)
        points = np.tile(low_, (grid.size // 2, 1))
        points[:, [a, b]] += grid.reshape(-1, 2) * span[[a, b]]
        parts.append((points, np.full(len(points), 0.7 * step)))
    means, scale = (np.concatenate(x) for x in zip(*parts, strict=True))
    n = len(means)
    colour = 0.5 + 0.2 * np.sin(40 * means[:, [1, 0, 2]] + [0, 1, 2]) * np.sin(23 * means)
    return Gaussians(
        means.astype(np.float32), np.tile(np.float32([1, 0, 0, 0]), (n, 1)),
        np.log(np.tile(scale[:, None], (1, 3))).astype(np.float32), np.full(n, 3.0, np.float32), _sh(colour),
    )  # fmt: skip


def _sh(colour: np.ndarray) -> F32:
    return ((colour - 0.5) / SH_C0)[:, None].astype(np.float32)


def truth(scene: Scene, size: Size) -> F32:
    """Positions [m] (T, J, 3): shifted to one side, bent the more the higher, and a little flatter."""
    rest = scene.rest
    high = rest[:, 2:] / (2 * RADIUS_M)
    out = []
    for s in np.linspace(0, 1, size.frames):
        s = s * s * (3 - 2 * s)
        shift, bend, sink = np.array([[0.3 * SHIFT_M, SHIFT_M, 0], [0, BEND_M, 0], [0, 0, -0.1 * RADIUS_M]])
        out.append(rest + s * (shift + high**2 * bend + high * sink))
    return np.stack(out).astype(np.float32)


def still(scene: Scene, size: Size) -> Trajectory:
    """The prediction: nothing moves."""
    positions = np.repeat(scene.rest[None], size.frames, 0)
    times = np.arange(size.frames) * 0.02
    return Trajectory("t-still", "s-root", "s-still", times, positions, np.zeros_like(positions), {})


def filmed(scene: Scene, cameras: tuple[Camera, ...], size: Size, device: str) -> tuple[Any, Any]:
    """Pictures uint8 (V, T, H, W, 3) with noise, and masks (V, T, H, W), of the truth in its own colours."""
    import torch

    x = (scene.foreground.means - scene.entities[0].origin) / RADIUS_M
    other = 1 + 0.1 * np.sin(3 * x + [2, 0, 1])
    colour = (0.5 + SH_C0 * scene.foreground.sh[:, 0]) * other
    model = Model(scene, replace(scene.initial_appearance(), sh=_sh(colour)), device=device)
    shadow_gain = ShadowGain(scene, model.appearance, cameras, truth(scene, size), device=device)
    noise = torch.Generator(device).manual_seed(0)
    v, h, w = len(cameras), size.height, size.width
    frames = np.zeros((v, size.frames, h, w, 3), np.uint8)
    masks = np.zeros((v, size.frames, h, w), np.int32)
    for t, positions in enumerate(truth(scene, size)):
        drawn = model.draw(*model.gaussians_at(positions, {}), cameras)
        for i in range(v):
            alpha = drawn.alpha[i][..., :1]
            rough = torch.randn((h, w, 3), generator=noise, device=device).cpu().numpy() * NOISE
            picture = (drawn.rgb[i] + (1 - alpha) * shadow_gain.plain(i)) * 255 + rough
            frames[i, t] = np.clip(picture + 0.5, 0, 255)
            masks[i, t] = np.where(alpha[..., 0] > 0.9, 1, np.where(alpha[..., 0] < 0.1, 0, -1))
    return frames, masks


def film_of(cameras: tuple[Camera, ...], frames: Any, masks: Any) -> Film:
    """At full size."""
    rgb = frames.astype(np.float32)
    rgb /= 255
    return Film(cameras, rgb, np.ones(masks.shape, bool), masks, (1.0,) * len(cameras))
