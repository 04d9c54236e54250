"""The closed loop against a hidden world, whose films are all that ours gets to see.

The hidden world has other physics (softer, a wind nobody told of), more particles and another renderer (Genesis's mesh
rasteriser, with noise). Ours predicts a round, refines by the films of three cameras, commits, predicts the next. What
counts is the error of a round's prediction, before its refinement. Beside it runs the open loop, which never looks.

    python test/benchmark/closed_loop.py --scene play_doh --seed 0 --estimate wind,yield_stress
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from parts.filming import Filming
from parts.records import ROOT, psnr
from scipy.spatial import cKDTree

from pw_core.actions import parse_action
from pw_core.config import RefineConfig, SceneConfig
from pw_core.gaussians import Camera
from pw_core.refine.targets.observed import CameraFilm, Observed
from pw_core.render.cameras import orbit
from pw_core.scene import Scene, Trajectory
from pw_core.world import World

INTERVAL_S = 0.02


def hidden_config(config: SceneConfig, rng: np.random.Generator) -> tuple[SceneConfig, tuple[float, float]]:
    """Other constants than ours, twice the particles, and a wind [m/s^2] along x and y."""
    factor = float(rng.uniform(0.4, 0.7))
    changed = []
    for e in config.entities:
        m = e.material
        keys = {"liquid": ["viscosity_pa_s"], "plastic": ["yield_stress_pa", "youngs_modulus_pa"]}.get(
            m.model, ["youngs_modulus_pa"]
        )
        update = {} if m.model == "rigid" else {k: getattr(m, k) * factor for k in keys}
        changed.append(e.model_copy(update={"material": m.model_copy(update=update)}))
    simulation = config.simulation.model_copy(update={"particles": 2 * config.simulation.particles})
    angle = rng.uniform(0, 2 * math.pi)
    wind = (2.0 * math.cos(angle), 2.0 * math.sin(angle))
    return config.model_copy(update={"entities": tuple(changed), "simulation": simulation}), wind


class Match:
    """Our particles among the hidden ones, matched once, at t = 0."""

    def __init__(self, ours: Scene, hidden: Scene) -> None:
        gap, self.near = cKDTree(hidden.rest).query(ours.rest, k=4)
        weight = 1 / (gap + 1e-5)
        self.weight = (weight / weight.sum(1, keepdims=True))[..., None]
        self.offset = ours.rest - (hidden.rest[self.near] * self.weight).sum(1)

    def __call__(self, hidden: np.ndarray) -> np.ndarray:
        """Where our particles (J, 3) [m] would be, had ours been right."""
        return np.asarray((hidden[self.near] * self.weight).sum(1) + self.offset)


def errors(ours: np.ndarray, match: Match, hidden: np.ndarray, size: float) -> tuple[float, float]:
    """Mean particle error and Chamfer distance, in particle sizes, at one instant."""
    mean = float(np.linalg.norm(ours - match(hidden), axis=1).mean())
    there, back = cKDTree(hidden).query(ours)[0].mean(), cKDTree(ours).query(hidden)[0].mean()
    return mean / size, float(there + back) / 2 / size


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


def run(scene: str, *, seed: int, arms: dict[str, RefineConfig | None], device: str, width: int) -> dict[str, Any]:
    """All arms of one scene and seed; an arm without a configuration is the open loop."""
    rng = np.random.default_rng(seed)
    config = SceneConfig.load(ROOT / "config" / "scenes" / f"{scene}.yaml")
    other, wind = hidden_config(config, rng)
    folder = Path(tempfile.mkdtemp(prefix="pw_loop_"))
    truth = World(folder / "hidden", device=device)
    hidden = truth.reconstruct(other)
    breeze = [
        parse_action(
            {"type": "wind", "duration": r.duration, "direction": [*wind, 0.0], "magnitude": math.hypot(*wind)}
        )
        for r in config.rounds
    ]
    real = [roll(truth, r, (b,)) for r, b in zip(config.rounds, breeze, strict=True)]
    cameras = cameras_of(hidden, rng, width)
    filming = Filming(hidden, cameras)
    films = [filming.film(t, seed=seed + k) for k, t in enumerate(real)]
    out: dict[str, Any] = {"scene": scene, "seed": seed, "wind_m_s2": wind, "arms": {}}
    for name, refine in arms.items():
        began = time.perf_counter()
        world = World(folder / name, device=device)
        ours = world.reconstruct(config.model_copy(update={"refine": refine or RefineConfig()}))
        match, size = Match(ours, hidden), ours.entities[0].particle_size_m
        rounds = []
        for k, round_ in enumerate(config.rounds):
            predicted = roll(world, round_)
            point, chamfer = errors(predicted.positions[-1], match, real[k].positions[-1], size)
            view = world.render(cameras[-1]).rgb
            row = {"particle": point, "chamfer": chamfer, "psnr": psnr(view, films[k][-1, -1])}
            if refine is not None and k + 1 < len(config.rounds):
                row |= corrected(world, predicted, cameras[:-1], films[k], refine)
                row["particle_after"] = errors(
                    world.state().physics.particles.positions, match, real[k].positions[-1], size
                )[0]
            rounds.append(row)
            print(name, k, {a: b if isinstance(b, dict) else round(b, 3) for a, b in row.items()}, flush=True)
        out["arms"][name] = {"rounds": rounds, "seconds": time.perf_counter() - began}
    return out


def corrected(
    world: World, predicted: Trajectory, cameras: tuple[Camera, ...], films: np.ndarray, refine: RefineConfig
) -> dict[str, Any]:
    """One refinement, committed; its figures."""
    provider = Observed(
        films=[CameraFilm(camera=c, stamps=predicted.times, frames=films[v]) for v, c in enumerate(cameras)]
    )
    running = world.refine(provider, trajectory=predicted.id, config=refine, commit=True)
    for _ in running:
        pass
    told = {e.name: (e.before, e.value, e.error, e.told) for e in running.estimates}
    return {**running.figures, **({"estimates": told} if told else {})}


def main() -> None:
    """As the module says."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--scene", default="play_doh")
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument("--device", default="cpu")
    parse.add_argument("--width", type=int, default=640, help="of the films [px]")
    parse.add_argument("--iterations", type=int, default=60)
    parse.add_argument("--estimate", default="wind", help="constants fitted in the arm `fitted`, comma-separated")
    parse.add_argument("--arms", default="open,state,fitted")
    parse.add_argument("--out", type=Path, default=Path("out/bench/closed_loop.json"))
    given = parse.parse_args()
    base = RefineConfig(iterations=given.iterations)
    fitted = RefineConfig.model_validate({**base.model_dump(), "estimate": tuple(given.estimate.split(","))})
    every: dict[str, RefineConfig | None] = {
        "open": None, "state": base, "fitted": fitted,
        "inherit": base.model_copy(update={"velocity": "inherit"}),
        "transport": base.model_copy(update={"stress": "transport"}),
        "relax": base.model_copy(update={"stress": "relax"}),
    }  # fmt: skip
    arms = {name: every[name] for name in given.arms.split(",")}
    result = run(given.scene, seed=given.seed, arms=arms, device=given.device, width=given.width)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
