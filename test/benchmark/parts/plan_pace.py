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


def pace() -> None:
    """Record substep rates, candidates, first frames."""
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
