"""How fast candidates are answered: both engines on the example scenes, and batches through World."""

from __future__ import annotations

import tempfile
import time

import numpy as np

from parts.records import ROOT, record
from pw_core.config import SceneConfig
from pw_core.plan.objective import Objective
from pw_core.scene import Scene
from pw_core.simulate import Simulation
from pw_core.world import World

SCENES = {"play_doh": 28.9, "jam": None, "dumpling": None}
"""And what one candidate of 0.5 s took on Genesis when this was asked for [s]."""
STEPS = 25
AGREEMENT_S = 0.3
"""Of physics under the scene's own actions, from the same state."""


def pace() -> None:
    """Record substep rates, how far the engines' answers are apart, candidates."""
    for name, before in SCENES.items():
        with tempfile.TemporaryDirectory(prefix="pw_plan_") as folder:
            world = World(folder)
            config = SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")
            fast = config.simulation.model_copy(update={"engine": "fast"})
            scene = world.reconstruct(config.model_copy(update={"simulation": fast}))
            _rates(name, scene)
            _candidates(name, world, before)


def _rates(name: str, scene: Scene) -> None:
    """Steps of both in turn, three times each, on the state after the first push has begun."""
    soft = sum(e.particles.stop - e.particles.start for e in scene.entities if e.kind == "deformable")
    built = {engine: Simulation.build(scene, engine=engine) for engine in ("fast", "genesis")}
    rates: dict[str, list[float]] = {engine: [] for engine in built}
    for _ in range(3):
        for engine, simulation in built.items():
            simulation.reset(scene.initial_physics())
            simulation.set_actions(scene.config.rounds[0].actions)
            simulation.step()
            began = time.perf_counter()
            for _ in range(STEPS):
                simulation.step()
            simulation.read()
            seconds = time.perf_counter() - began
            rates[engine].append(soft * simulation.settings.substeps * STEPS / seconds / 1e6)
    model = next(e.material.model for e in scene.entities if e.kind == "deformable")
    middle = {engine: float(np.median(r)) for engine, r in rates.items()}
    ratio = middle["fast"] / middle["genesis"]
    record(f"{name}: fast engine over Genesis, wall time", ratio, "x", ">= 8", ratio >= 8,
           f"{model}; {middle['fast']:.2f} and {middle['genesis']:.2f} M particle-substeps/s")  # fmt: skip
    _agreement(name, scene, built)


def _agreement(name: str, scene: Scene, built: dict[str, Simulation]) -> None:
    """Of what deforms: mean distance of the same particles, kinetic energy and momentum."""
    ends = {}
    for engine, simulation in built.items():
        simulation.reset(scene.initial_physics())
        simulation.set_actions([a for a in scene.config.rounds[0].actions if a.start < AGREEMENT_S])
        simulation.advance_to(AGREEMENT_S)
        ends[engine] = simulation.read().particles
    soft = next(e for e in scene.entities if e.kind == "deformable")
    x, v = ({k: getattr(e, what)[soft.particles].astype(np.float64) for k, e in ends.items()}
            for what in ("positions", "velocities"))  # fmt: skip
    apart = np.linalg.norm(x["fast"] - x["genesis"], axis=1).mean() / soft.particle_size_m
    moved = np.linalg.norm(x["genesis"] - scene.rest[soft.particles], axis=1).mean() / soft.particle_size_m
    note = f"{AGREEMENT_S} s under the scene's own actions"
    record(f"{name}: fast engine from Genesis", apart, "particle sizes", "<= 0.1", apart <= 0.1,
           f"mean; the matter moved by {moved:.2g}; {note}")  # fmt: skip
    energy = {k: (u**2).sum() for k, u in v.items()}
    momentum = np.linalg.norm(v["fast"].mean(0) - v["genesis"].mean(0)) / np.sqrt(energy["genesis"] / len(v["genesis"]))
    for what, share in (("energy", abs(energy["fast"] / energy["genesis"] - 1)), ("momentum", momentum)):
        record(f"{name}: {what}, fast engine from Genesis", 100 * share, "%", "<= 1", share <= 0.01, note)


def _candidates(name: str, world: World, before: float | None) -> None:
    scene = world.scene
    assert scene is not None
    target = next(e for e in scene.entities if e.kind == "deformable")
    goal = (target.origin + np.array([0.0, 0.05, 0.0])).tolist()
    objective = Objective.parse({"terms": [{"type": "reach", "entity": target.name, "position": goal}]})
    actions = scene.config.rounds[-1].actions
    list(world.evaluate([actions], 0.04, objective=objective))  # built and loaded
    for count, goal_s in ((1, 3.0), (20, 30.0)):
        began = time.perf_counter()
        for _ in world.evaluate([actions] * count, 0.5, objective=objective):
            pass
        seconds = time.perf_counter() - began
        note = f"was {before * count:.0f} s on Genesis" if before else ""
        record(f"{name}: {count} candidate{'s' * (count > 1)} of 0.5 s", seconds, "s", f"<= {goal_s:g}",
               seconds <= goal_s, note)  # fmt: skip
