"""Builds are slow, so tests of one material share one simulation, reset between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from support.ball_scene import ball_scene


@pytest.fixture(scope="session")
def make_ball():
    """Makes the scene of a ball of some material."""
    return ball_scene


# What holds in one engine holds in the other.
ENGINES = [pytest.param("genesis", marks=pytest.mark.slow), "fast"]


def on(scene, engine):
    """The scene with that engine in its config."""
    simulation = scene.config.simulation.model_copy(update={"engine": engine})
    return replace(scene, config=scene.config.model_copy(update={"simulation": simulation}))


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """The engine's name."""
    return request.param


@pytest.fixture(scope="session")
def build_ball():
    """Makes a ball of some material and its simulation in some engine, once in a session."""
    from pw_core.simulate import Simulation

    made = {}

    def build(model, engine, *, count):
        key = (model, engine, count)
        if key not in made:
            scene = on(ball_scene(model, count=count), engine)
            made[key] = scene, Simulation.build(scene)
        return made[key]

    return build


@pytest.fixture(scope="session")
def elastic(build_ball, engine):
    return build_ball("elastic", engine, count=1200)


@pytest.fixture(scope="session")
def build_pin():
    """The scene with the pin and its simulation in some engine, once in a session."""
    from pw_core.simulate import Simulation

    made = {}

    def build(engine):
        if engine not in made:
            scene = on(pin_scene(), engine)
            made[engine] = scene, Simulation.build(scene)
        return made[engine]

    return build


def pin_scene():
    """The ball, softer and flattened to a dome, and a tilted rolling pin in the air 0.1 m before it."""
    import trimesh

    from pw_core.config import SceneConfig
    from pw_core.scene import Entity, Mesh, Particles

    scene = ball_scene("elastic", count=1200)
    turn = trimesh.transformations.rotation_matrix(np.radians(65), [1, 0, 0])
    pin = trimesh.creation.cylinder(radius=0.02, height=0.1, sections=24, transform=turn)
    origin = np.array([0.48, 0.0, 0.1])
    inside = (trimesh.sample.volume_mesh(pin, 400, seed=0)[:100] + origin).astype(np.float32)
    fields = scene.config.model_dump()
    fields["entities"] += (
        {**fields["entities"][0], "name": "pin", "material": {"model": "rigid", "density_kg_m3": 700}},
    )
    config = SceneConfig.parse(fields)
    body = Entity(
        "pin", 1, "rigid", config.entities[1].material, Mesh(pin.vertices + origin, pin.faces), origin, pin.volume,
        scene.entities[0].particle_size_m, slice(1200, 1200 + len(inside)), slice(0, 0),
    )  # fmt: skip
    return replace(
        scene, config=config, entities=(*scene.entities, body),
        particles=Particles.at_rest(np.concatenate([scene.rest, inside])),
        entity_ids=np.concatenate([scene.entity_ids, np.ones(len(inside), np.int32)]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def rolling_pin(build_pin, engine):
    return build_pin(engine)
