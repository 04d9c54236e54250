"""A ball with spots, and a simulator in which wind is all that moves it: what `pw run` and `pw refine` do, in seconds.

As a program it is the `pw` command with these in place of a photo and of Genesis.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml

from pw_core.config import SceneConfig
from pw_core.gaussians import SH_C0
from pw_core.loop.films import camera_fields
from pw_core.render.cameras import orbit
from pw_core.scene import PhysicsState
from pw_core.world import World
from support.ball_scene import ball_config, ball_scene

DURATION, INTERVAL = 0.25, 0.05
TIMES = np.arange(6) * INTERVAL
HIDDEN = np.float32([0.0, 1.6, 0.0])
"""[m/s^2] of the wind that nobody tells the model of: 5 cm in a round."""


class Breeze:
    """In place of a Simulation: every action's acceleration, from rest in each rollout."""

    settings = SimpleNamespace(inside=(np.array([-1.0, -1, -0.1]), np.array([2.0, 1, 1])))
    wind = np.zeros(3)

    def set_constants(self, constants):
        self.wind = np.array([constants.get(f"wind_{a}", 0.0) for a in "xyz"])

    def reset(self, physics, *, time_s=0.0):
        self.start, self.t = physics, 0.0

    def set_actions(self, actions):
        self.pull = sum((a.magnitude * np.array(a.direction) for a in actions), np.zeros(3))

    def advance_to(self, t):
        self.t = t

    def check(self):
        pass

    def read(self):
        p = self.start.particles
        step = 0.5 * (self.pull + self.wind) * self.t**2
        moved = replace(p, positions=(p.positions + step).astype(np.float32))
        return PhysicsState(moved, {})


class SpottedWorld(World):
    """The real one but for photo and physics."""

    def reconstruct(self, config, inputs=None, *, replace=False, progress=None):
        return self.adopt(spotted(config), replace=replace)

    def _build(self, progress, parameters):
        simulation = Breeze()
        simulation.set_constants(parameters)
        return simulation


def spotted(config: SceneConfig):
    """The ball in colours that tell places apart."""
    scene = ball_scene()
    x = (scene.foreground.means - scene.entities[0].origin) / 0.05
    sh = ((0.5 + 0.4 * np.sin(4 * x + [0, 1, 2]) - 0.5) / SH_C0)[:, None].astype(np.float32)
    foreground = replace(scene.foreground, sh=sh, log_scales=np.full_like(scene.foreground.log_scales, np.log(0.006)))
    camera = scene.cameras[0].resized(144, 96)
    return replace(scene, foreground=foreground, config=config, cameras=(camera,)).with_id(config.name)


def write_scene(path: Path, *, rounds: int = 2) -> Path:
    """The scene file: in each round a wind of 1 m/s^2 away from the camera."""
    wind = {"type": "wind", "duration": 1.0, "direction": [1, 0, 0], "magnitude": 1.0}
    fields = {
        **ball_config().model_dump(mode="json", exclude_unset=True),
        "frame_interval_s": INTERVAL,
        "refine": {"iterations": 4, "nodes": 12, "width_px": 144},
        "rounds": [{"name": f"gust {k + 1}", "duration": DURATION, "actions": [wind]} for k in range(rounds)],
    }
    path.write_text(yaml.safe_dump(fields))
    return path


def cameras_of(scene):
    """The scene's own, and one from the side that it does not know."""
    first = scene.cameras[0]
    (side,) = orbit(first.viewmat, scene.entities[0].origin, [math.radians(40)])
    return first, first.moved(side, name="side")


def write_films(folder: Path, config: SceneConfig, *, rounds: int = 2, seed: int = 0) -> None:
    """`targets/round-<k>` and `truth/round-<k>.npz` of what really happens, with the hidden wind and noise."""
    from pw_core.refine.model import Model
    from pw_core.refine.photometric.shadow_gain import ShadowGain

    scene = spotted(config)
    cameras, model, rng = cameras_of(scene), Model(scene, scene.initial_appearance()), np.random.default_rng(seed)
    shadow_gain = ShadowGain(scene, model.appearance, cameras, scene.rest[None], device="cpu")
    (folder / "truth").mkdir(parents=True)
    at = scene.rest
    for k in range(1, rounds + 1):
        real = np.stack([at + 0.5 * (np.float32([1, 0, 0]) + HIDDEN) * np.float32(t**2) for t in TIMES])
        at = real[-1]
        np.savez(folder / "truth" / f"round-{k}.npz", times=TIMES, positions=real)
        out = folder / "targets" / f"round-{k}"
        out.mkdir(parents=True)
        frames = np.zeros((len(cameras), len(TIMES), cameras[0].height, cameras[0].width, 3), np.uint8)
        for t, p in enumerate(real):
            drawn = model.draw(*model.gaussians_at(p, {}), cameras)
            for v in range(len(cameras)):
                picture = drawn.rgb[v] + (1 - drawn.alpha[v][..., :1]) * shadow_gain.plain(v)
                frames[v, t] = np.clip(picture * 255 + rng.normal(0, 3, picture.shape), 0, 255)
        for v, camera in enumerate(cameras):
            np.savez(out / f"{camera.name}.npz", stamps=TIMES + 100 * k, frames=frames[v])
        (out / "film.json").write_text(json.dumps({"time_origin": 100 * k}))
    (folder / "targets" / "cameras.json").write_text(json.dumps([camera_fields(cameras[1])]))


if __name__ == "__main__":
    import pw_core.world
    from pw_core.cli import main

    pw_core.world.World = SpottedWorld
    sys.argv[0] = "pw"
    main()
