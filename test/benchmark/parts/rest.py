"""What a correction does to matter at rest: nothing where it is zero, and hardly any motion where it is small.

Four balls, one of each material, settle on the floor; a smooth field of 2 mm is written back, and the kinetic energy
that it sets free is held against that of a drop by 1 mm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from parts.records import record
from pw_core.config import Material, SceneConfig
from pw_core.refine.writeback import write_back
from pw_core.scene import Entity, Particles, PhysicsState, Scene
from pw_core.simulate import Simulation
from support.ball_scene import ball_scene

MATERIALS = ("elastic", "plastic", "snow", "liquid")
RADIUS, COUNT, APART = 0.04, 1000, 0.25
SHIFT_M, DROP_M = 0.002, 0.001


def balls() -> Scene:
    """The tests' ball, four times."""
    one = ball_scene("elastic", radius=RADIUS, count=COUNT)
    fields = one.config.model_dump()
    first = fields["entities"][0]
    fields["entities"] = tuple(
        {**first, "name": m, "material": Material(model=m).model_dump()} for m in MATERIALS
    )
    fields["simulation"]["margin_m"] = 0.4  # the liquid spreads
    config = SceneConfig.parse(fields)
    moves = [np.array([0, APART * (i - 1.5), 0], np.float32) for i in range(len(MATERIALS))]
    entities = tuple(
        Entity(m, i, "deformable", config.entities[i].material, replace(
            one.entities[0].mesh, vertices=one.entities[0].mesh.vertices + moves[i]), one.entities[0].origin + moves[i],
            one.entities[0].volume_m3, one.entities[0].particle_size_m, slice(i * COUNT, (i + 1) * COUNT),
            slice(0, 0))
        for i, m in enumerate(MATERIALS)
    )  # fmt: skip
    return replace(
        one, config=config, entities=entities,
        particles=Particles.at_rest(np.concatenate([one.rest + m for m in moves])),
        entity_ids=np.repeat(np.arange(len(MATERIALS), dtype=np.int32), COUNT),
    )  # fmt: skip


def fields(at: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth displacements [m] of points (J, 3) of one body, at most 2 mm long."""
    x = (at - at.mean(0)) / RADIUS
    height = at[:, 2] / np.ptp(at[:, 2])
    zero = np.zeros(len(at))
    return {
        "shift": SHIFT_M * np.stack([zero + 1, zero, zero], 1),
        "stretch": SHIFT_M * np.stack([np.sin(np.pi / 2 * np.clip(x[:, 0], -1, 1)), zero, zero], 1),
        "shear": SHIFT_M * np.stack([zero, np.sin(np.pi / 2 * height), zero], 1),
        "squash": SHIFT_M * np.stack([zero, zero, -np.sin(np.pi / 2 * height)], 1),
    }


def kinetic(simulation: Simulation, scene: Scene, start: PhysicsState, seconds: float) -> np.ndarray:
    """Largest kinetic energy over mass [m^2/s^2] of each body in that time."""
    simulation.reset(start)
    simulation.set_actions([])
    most = np.zeros(len(MATERIALS))
    for t in np.arange(0.0025, seconds, 0.0025):
        simulation.advance_to(float(t))
        v = simulation.read().particles.velocities
        most = np.maximum(most, [0.5 * (v[e.particles] ** 2).sum(1).mean() for e in scene.entities])
    return most


def at_rest() -> dict[str, Any]:
    """Records, and what they were made of."""
    scene = balls()
    simulation = Simulation.build(scene)
    simulation.reset(scene.initial_physics())
    simulation.set_actions([])
    simulation.advance_to(1.5)
    start = simulation.read()
    inside, times = simulation.settings.inside, np.linspace(0, 0.1, 6)
    none = np.zeros((6, *scene.rest.shape), np.float32)
    again = write_back(scene, start, none, times, bodies={}, inside=inside)
    ends = []
    for state in (start, again):
        simulation.reset(state)
        simulation.advance_to(0.02)
        ends.append(simulation.read().particles)
    same = all(
        np.array_equal(getattr(ends[0], k), getattr(ends[1], k)) for k in ("positions", "velocities", "C", "F", "Jp")
    )
    record("a zero correction changes the next step", float(not same), "", "bit-identical", same)
    limit = 9.81 * DROP_M
    rest = kinetic(simulation, scene, start, 0.1)
    worst = dict.fromkeys(MATERIALS, (0.0, ""))
    for name in ("shift", "stretch", "shear", "squash"):
        u = np.concatenate([fields(start.particles.positions[e.particles])[name] for e in scene.entities])
        moved = write_back(
            scene, start, np.repeat(u[None].astype(np.float32), 6, 0), times, bodies={}, inside=inside
        )  # fmt: skip
        for m, k, k0 in zip(MATERIALS, kinetic(simulation, scene, moved, 0.1), rest, strict=True):
            worst[m] = max(worst[m], (float(k - k0), name))
    for m in MATERIALS:
        value, name = worst[m]
        record(
            f"{m} at rest, corrected by 2 mm: energy", value / limit, "of a 1 mm drop", "< 1", value < limit,
            f"the worst of four fields: {name}; sampled every 2.5 ms for 0.1 s",
        )  # fmt: skip
    return {"worst": worst, "at rest": rest.tolist()}


if __name__ == "__main__":
    print(at_rest())
