"""The hidden world that plays the truth for the closed loop, filmed once and kept, so that any arm can be held to it.

It has other constants than ours, a wind nobody told of, another floor friction, and more and smaller particles.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from parts.filming import Filming
from parts.records import ROOT
from pw_core.actions import parse_action
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.render.cameras import orbit
from pw_core.scene import Entity, Scene, Trajectory
from pw_core.world import World

INTERVAL_S = 0.02
WIND_M_S2 = 2.0
_FIELDS = {
    "liquid": ("viscosity_pa_s",), "plastic": ("yield_stress_pa", "youngs_modulus_pa"),
    "elastic": ("youngs_modulus_pa",), "snow": ("youngs_modulus_pa",), "rigid": (),
}  # fmt: skip


@dataclass(frozen=True)
class Hidden:
    """What of the hidden world a benchmark may know: rest (J, 3) and positions (T, J, 3) [m] a round, films (V, T, H,
    W, 3) a round through `cameras`, of which the last is never shown to refinement, and the constants."""

    scene: str
    seed: int
    constants: dict[str, float]
    rest: np.ndarray
    positions: tuple[np.ndarray, ...]
    films: tuple[np.ndarray, ...]
    cameras: tuple[Camera, ...]

    @property
    def config(self) -> SceneConfig:
        """Ours, with the wrong constants."""
        return SceneConfig.load(ROOT / "config" / "scenes" / f"{self.scene}.yaml")

    def save(self, folder: Path) -> None:
        """As .npz and .json."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"positions{k}": p for k, p in enumerate(self.positions)}
        arrays |= {f"film{k}": f for k, f in enumerate(self.films)}
        np.savez(folder / "hidden.npz", rest=self.rest, K=np.stack([c.K for c in self.cameras]),
                 viewmats=np.stack([c.viewmat for c in self.cameras]), **arrays)  # fmt: skip
        about = {"scene": self.scene, "seed": self.seed, "constants": self.constants,
                 "size": [self.cameras[0].width, self.cameras[0].height],
                 "names": [c.name for c in self.cameras]}  # fmt: skip
        (folder / "hidden.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Hidden:
        """What `save` wrote."""
        about = json.loads((folder / "hidden.json").read_text())
        with np.load(folder / "hidden.npz") as z:
            rounds = range(sum(n.startswith("film") for n in z.files))
            cameras = tuple(
                Camera(K=K, viewmat=v, width=about["size"][0], height=about["size"][1], name=n)
                for K, v, n in zip(z["K"], z["viewmats"], about["names"], strict=True)
            )
            return cls(about["scene"], about["seed"], about["constants"], z["rest"],
                       tuple(z[f"positions{k}"] for k in rounds), tuple(z[f"film{k}"] for k in rounds),
                       cameras)  # fmt: skip


def make(scene: str, *, seed: int, device: str, width: int, folder: Path) -> Hidden:
    """Simulate the scene's rounds with hidden constants and film them; `folder` takes the store."""
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    config = SceneConfig.load(ROOT / "config" / "scenes" / f"{scene}.yaml")
    other, wind, constants = hidden_config(config, rng)
    world = World(folder / "store", device=device, keep_replaced=0)
    made = world.reconstruct(other, replace=True)
    trajectories = []
    for round_ in config.rounds:
        breeze = {"type": "wind", "duration": round_.duration, "direction": [*wind, 0.0], "magnitude": WIND_M_S2}
        trajectories.append(roll(world, round_, (parse_action(breeze),)))
    cameras = cameras_of(made, rng, width)
    filming = Filming(made, cameras)
    films = tuple(filming.film(t, seed=seed + k) for k, t in enumerate(trajectories))
    hidden = Hidden(scene, seed, constants, made.rest, tuple(t.positions for t in trajectories), films, cameras)
    hidden.save(folder)
    print(scene, seed, f"hidden world made and filmed in {time.perf_counter() - began:.0f} s", flush=True)
    return hidden


def hidden_config(
    config: SceneConfig, rng: np.random.Generator
) -> tuple[SceneConfig, tuple[float, float], dict[str, float]]:
    """Softer or thinner matter, slipperier floor, twice the particles; the wind [m/s^2] along x and y; and the hidden
    constants by the names of `pw_core.calibrate.constants`."""
    factor = float(rng.uniform(0.4, 0.7))
    friction = config.simulation.floor_friction * float(rng.uniform(0.5, 0.8))
    constants: dict[str, float] = {"floor_friction": friction}
    changed = []
    for e in config.entities:
        update = {k: getattr(e.material, k) * factor for k in _FIELDS[e.material.model]}
        constants |= {f"{e.name}.{k}": v for k, v in update.items()}
        changed.append(e.model_copy(update={"material": e.material.model_copy(update=update)}))
    simulation = config.simulation.model_copy(
        update={"particles": 2 * config.simulation.particles, "floor_friction": friction}
    )
    angle = rng.uniform(0, 2 * math.pi)
    wind = (WIND_M_S2 * math.cos(angle), WIND_M_S2 * math.sin(angle))
    constants |= {"wind_x": wind[0], "wind_y": wind[1]}
    return config.model_copy(update={"entities": tuple(changed), "simulation": simulation}), wind, constants


def cameras_of(scene: Scene, rng: np.random.Generator, width: int) -> tuple[Camera, ...]:
    """The photo's, two at its sides, and a fourth that refinement never sees."""
    first = scene.cameras[0]
    first = first.resized(width, round(first.height * width / first.width))
    pivot = scene.entities[0].origin
    degrees = [-40 + rng.uniform(-8, 8), 40 + rng.uniform(-8, 8), 20 + rng.uniform(-4, 4)]
    turned = orbit(first.viewmat, pivot, [math.radians(d) for d in degrees])
    return (first, *(first.moved(v, name=n) for v, n in zip(turned, ("left", "right", "judge"), strict=True)))


def roll(world: World, round_: Any, extra: tuple[Any, ...] = ()) -> Trajectory:
    """One committed round."""
    running = world.rollout([*round_.actions, *extra], round_.duration, frame_interval=INTERVAL_S, commit=True)
    for _ in running:
        pass
    return running.trajectory


class Match:
    """Our particles among the hidden ones, matched once, at t = 0; and points of the surface, which both carry along.

    Particles fill a body, so that two sets of them are near each other anywhere in it (half a particle apart even when
    all is right): Chamfer distance is taken between surfaces.
    """

    def __init__(self, ours: Scene, hidden: Hidden) -> None:
        gap, self.near = cKDTree(hidden.rest).query(ours.rest, k=4)
        self.weight = _inverse(gap)
        self.offset = ours.rest - (hidden.rest[self.near] * self.weight).sum(1)
        soft = [e for e in ours.entities if e.kind == "deformable"]
        self.size = (soft or ours.entities)[0].particle_size_m
        self.skin = [Skin(e, ours.rest, hidden.rest) for e in ours.entities]

    def __call__(self, hidden: np.ndarray) -> np.ndarray:
        """Where our particles (J, 3) [m] would be, had ours been right."""
        return np.asarray((hidden[self.near] * self.weight).sum(1) + self.offset)

    def errors(self, ours: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
        """Mean particle error, and Chamfer distance of the surfaces, in particle sizes, at one instant."""
        mean = float(np.linalg.norm(ours - self(hidden), axis=1).mean())
        a, b = (np.concatenate([s.moved(p, i) for s in self.skin]) for i, p in enumerate((ours, hidden)))
        there, back = cKDTree(b).query(a)[0].mean(), cKDTree(a).query(b)[0].mean()
        return mean / self.size, float(there + back) / 2 / self.size


class Skin:
    """Points on an entity's surface at rest, carried by the nearest particles of ours (0) and of the hidden world (1).
    The nearest may be another entity's, where two touch: by then they move alike."""

    def __init__(self, entity: Entity, *rests: np.ndarray, points: int = 40_000) -> None:
        mesh = trimesh.Trimesh(entity.mesh.vertices, entity.mesh.faces, process=False)
        self.points = np.asarray(trimesh.sample.sample_surface(mesh, points, seed=0)[0])
        found = [cKDTree(r).query(self.points, k=8) for r in rests]
        self.near = [near for _, near in found]
        self.weight = [_inverse(gap) for gap, _ in found]
        self.rests = rests

    def moved(self, positions: np.ndarray, which: int) -> np.ndarray:
        """Where the points are (P, 3) [m] when the particles are there."""
        shift = (positions - self.rests[which])[self.near[which]]
        return np.asarray(self.points + (shift * self.weight[which]).sum(1))


def _inverse(gap: np.ndarray) -> np.ndarray:
    weight = 1 / (gap + 1e-5)
    return np.asarray((weight / weight.sum(1, keepdims=True))[..., None])
