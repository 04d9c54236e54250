"""How fast candidates are answered: both engines on the example scenes, and batches through World."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

import numpy as np

from parts.records import ROOT, record
from pw_core.config import Material, SceneConfig
from pw_core.gaussians import F64
from pw_core.plan.objective import Objective
from pw_core.scene import Scene
from pw_core.simulate import Simulation
from pw_core.world import World

SCENES = {"play_doh": 28.9, "jam": None, "dumpling": None}
"""And what one candidate of 0.5 s took on Genesis when this was asked for [s]."""
SNOW = Material(model="snow", density_kg_m3=400, youngs_modulus_pa=2e4, poisson_ratio=0.2)
"""Which no example scene is made of; as soft as lets a substep be as long as theirs."""
STEPS = 25
AGREEMENT_S = 0.3
"""Of physics under the scene's own actions, from the same state."""
LOOKS = 15
"""Instants on the way at which energies and momenta are compared."""


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
            if name == "play_doh":
                _rates("play_doh as snow", replace(scene, entities=(replace(scene.entities[0], material=SNOW),)))


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
    """Of what deforms: mean distance of the same particles at the end, kinetic energy and momentum on the way there:
    at its end a scene may be at rest, where a share of nothing says nothing."""
    soft = next(e for e in scene.entities if e.kind == "deformable")
    times = np.linspace(0, AGREEMENT_S, LOOKS + 1)[1:]
    ends: dict[str, F64] = {}
    ways: dict[str, F64] = {}
    for engine, simulation in built.items():
        simulation.reset(scene.initial_physics())
        simulation.set_actions([a for a in scene.config.rounds[0].actions if a.start < AGREEMENT_S])
        velocities = []
        for time_s in times:
            simulation.advance_to(float(time_s))
            particles = simulation.read().particles
            velocities.append(particles.velocities[soft.particles].astype(np.float64))
        ends[engine], ways[engine] = particles.positions[soft.particles].astype(np.float64), np.array(velocities)
    apart = np.linalg.norm(ends["fast"] - ends["genesis"], axis=1).mean() / soft.particle_size_m
    moved = np.linalg.norm(ends["genesis"] - scene.rest[soft.particles], axis=1).mean() / soft.particle_size_m
    note = f"{AGREEMENT_S} s under the scene's own actions"
    record(f"{name}: fast engine from Genesis", apart, "particle sizes", "<= 0.1", apart <= 0.1,
           f"mean; the matter moved by {moved:.2g}; {note}")  # fmt: skip
    energy = {k: (v**2).sum((1, 2)) for k, v in ways.items()}
    share = np.abs(energy["fast"] - energy["genesis"]).sum() / energy["genesis"].sum()
    last, left = abs(energy["fast"][-1] / energy["genesis"][-1] - 1), energy["genesis"][-1] / energy["genesis"].max()
    record(
        f"{name}: energy, fast engine from Genesis", 100 * share, "%", "<= 1", share <= 0.01,
        f"kinetic, {LOOKS} instants of {note}; at the last one, with {left:.1g} of the most, {100 * last:.1f} %",
    )  # fmt: skip
    speed = np.sqrt(energy["genesis"] / ways["genesis"].shape[1])
    share = np.linalg.norm((ways["fast"] - ways["genesis"]).mean(1), axis=1).sum() / speed.sum()
    record(f"{name}: momentum, fast engine from Genesis", 100 * share, "%", "<= 1", share <= 0.01,
           f"of mass times root mean square speed, {LOOKS} instants of {note}")  # fmt: skip


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
