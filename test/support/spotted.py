"""A ball with spots that goes elsewhere than predicted: films of it, and a simulator in which wind alone moves it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pw_core.actions import parse_action
from pw_core.gaussians import SH_C0
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.targets.observed import CameraFilm, Observed
from pw_core.refine.tracking.film import Film
from pw_core.render.cameras import orbit
from pw_core.scene import PhysicsState, State, Trajectory
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World
from support.ball_scene import ball_scene

FRAMES = 6
TIMES = np.arange(FRAMES) * 0.05
INSIDE = (np.array([-1.0, -1, -0.1]), np.array([2.0, 1, 1]))


def spotted_ball():
    """The ball in colours that tell places apart, and three cameras."""
    scene = ball_scene()
    x = (scene.foreground.means - scene.entities[0].origin) / 0.05
    colour = 0.5 + 0.4 * np.sin(4 * x + [0, 1, 2])
    sh = ((colour - 0.5) / SH_C0)[:, None].astype(np.float32)
    foreground = replace(scene.foreground, sh=sh, log_scales=np.full_like(scene.foreground.log_scales, np.log(0.006)))
    scene = replace(scene, foreground=foreground)
    first = scene.cameras[0].resized(192, 128)
    turned = orbit(first.viewmat, scene.entities[0].origin, [math.radians(a) for a in (-40, 40)])
    return scene, (first, *(first.moved(v, name=f"side{i}") for i, v in enumerate(turned)))


def truth(scene) -> np.ndarray:
    """Positions (T, J, 3): 4 cm to the left and flattened by a tenth, while the prediction stays."""
    rest = scene.rest
    out = []
    for t in range(FRAMES):
        s = t / (FRAMES - 1)
        p = rest * np.float32([1, 1, 1 - 0.1 * s]) + np.float32([0, 0.04 * s, 0])
        out.append(p)
    return np.stack(out).astype(np.float32)


def still(scene) -> Trajectory:
    positions = np.repeat(scene.rest[None], FRAMES, 0)
    return Trajectory("t-still", ROOT, "s-still", TIMES, positions, np.zeros_like(positions), {})


def filmed(scene, cameras, positions) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks (V, T, H, W) of the truth, with noise."""
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, cameras, positions, device="cpu")
    rng = np.random.default_rng(0)
    frames = np.zeros((len(cameras), FRAMES, cameras[0].height, cameras[0].width, 3), np.uint8)
    masks = np.zeros(frames.shape[:-1], np.int32)
    for t in range(FRAMES):
        drawn = model.draw(*model.gaussians_at(positions[t], {}), cameras)
        for v in range(len(cameras)):
            alpha = drawn.alpha[v][..., :1]
            picture = drawn.rgb[v] + (1 - alpha) * shadow_gain.plain(v)
            frames[v, t] = np.clip(picture * 255 + rng.normal(0, 3, picture.shape), 0, 255)
            masks[v, t] = np.where(alpha[..., 0] > 0.9, 1, np.where(alpha[..., 0] < 0.1, 0, -1))
    return frames, masks


def film_of(scene, cameras, positions, *, width: int = 192, weights: tuple[float, ...] = ()) -> Film:
    """That, as tracking and optimisation see it."""
    frames, masks = filmed(scene, cameras, positions)
    return Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=width,
                       weights=weights or (1,) * len(cameras))  # fmt: skip


class WindOnly:
    """A simulator in which wind is all that moves things."""

    settings = SimpleNamespace(inside=INSIDE)

    def __init__(self) -> None:
        self.set_constants({})

    def set_constants(self, constants: dict[str, float]) -> None:
        self.constants = dict(constants)
        self.wind = np.array([constants.get(f"wind_{a}", 0.0) for a in "xyz"])

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        self.start, self.t = physics, 0.0

    def set_actions(self, actions) -> None:
        pass

    def advance_to(self, t: float) -> None:
        self.t = t

    def check(self) -> None:
        pass

    def read(self) -> PhysicsState:
        p = self.start.particles
        moved = replace(p, positions=(p.positions + 0.5 * self.wind * self.t**2).astype(np.float32))
        return PhysicsState(moved, {})


def rolled_world(scene, folder: Path) -> World:
    """A world of that scene after a first round, which missed the wind."""
    store = Store(folder / "store")
    store.save_scene(scene)
    store.save_state(scene.id, State(ROOT, "", 0.0, scene.initial_physics()))
    world = World.open(store.root, scene=scene.id)
    world._simulation = WindOnly()
    list(world.rollout([parse_action({"type": "wind", "duration": 1, "direction": [1, 0, 0], "magnitude": 1})],
                       float(TIMES[-1]), frame_interval=0.05, commit=True))  # fmt: skip
    return world


def observed(scene, cameras) -> Observed:
    frames, masks = filmed(scene, cameras, truth(scene))
    return Observed(films=[
        CameraFilm(camera=c, stamps=TIMES, frames=frames[v], masks=masks[v]) for v, c in enumerate(cameras)
    ])  # fmt: skip
