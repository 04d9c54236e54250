"""Pencil-and-paper physics of a scene as reconstructed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from parts.records import record

from pw_core.actions import parse_action
from pw_core.scene import PhysicsState, Scene
from pw_core.simulate import Simulation


def centre(physics: PhysicsState) -> np.ndarray:
    """Mean particle position [m], shape (3,)."""
    return np.asarray(physics.particles.positions.astype(np.float64).mean(0))


def physics_of(scene: Scene) -> None:
    """Pencil-and-paper physics of a scene with one deformable entity."""
    simulation = Simulation.build(scene)
    print(simulation.settings.report())
    start, entity = scene.initial_physics(), scene.entities[0]

    def run(physics: PhysicsState, duration: float, *actions: dict[str, Any]) -> PhysicsState:
        simulation.reset(physics)
        simulation.set_actions([parse_action(a) for a in actions])
        simulation.advance_to(duration)
        simulation.check()
        return simulation.read()

    lifted = replace(start.particles, positions=start.particles.positions + np.float32([0, 0, 0.06]))
    high = PhysicsState(lifted, start.bodies)
    ratio = float((centre(high) - centre(run(high, 0.1)))[2] / (0.5 * 9.81 * 0.1**2))
    record("free fall over half g t squared", ratio, "", "1 +- 0.01", abs(ratio - 1) <= 0.01)
    rest = run(start, 0.4)
    sunk = float((centre(start) - centre(rest))[2] / entity.particle_size_m)
    record("sinking at rest, in particle diameters", sunk, "", "< 1", sunk < 1)

    def push(newtons: float) -> dict[str, Any]:
        middle = centre(rest).tolist()
        return {"type": "push", "duration": 0.05, "center": middle, "direction": [0, 1, 0], "radius": 0.06,
                "magnitude": newtons}  # fmt: skip

    weight = entity.mass_kg * 9.81
    still = centre(run(rest, 0.05))
    once, twice = (centre(run(rest, 0.05, push(k * 2 * weight))) - still for k in (1, 2))
    record(
        "push: sideways share of the motion", float(abs(once[0]) / once[1]), "", "< 0.1", abs(once[0]) < 0.1 * once[1]
    )
    ratio = float(twice[1] / once[1])
    record("twice the push over once", ratio, "", "about 2", 1.7 <= ratio <= 2.3)
    a, b = run(rest, 0.05, push(weight)), run(rest, 0.05, push(weight))
    same = all(np.array_equal(v, b.particles.arrays()[k]) for k, v in a.particles.arrays().items())
    record("the same rollout twice is bit-identical", float(same), "", "1", same)
    began = time.perf_counter()
    simulation.reset(rest)
    simulation.set_actions([parse_action(push(weight))])
    simulation.step()
    seconds = time.perf_counter() - began
    record("second rollout: request to first step", seconds, "s", "<= 0.5", seconds <= 0.5)
