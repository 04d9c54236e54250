"""Without a table: what is held stays, what hangs from it swings, and nothing is borne by a plane that is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import Push
from pw_core.errors import RolloutError
from pw_core.simulate import Simulation
from pw_core.simulate.engines import engine_for
from pw_core.simulate.stepping import held_particles
from support.ball_scene import ball_scene


def hung(*, engine="fast", fixed="top", ground="none", model="elastic", count=600, z=0.0):
    """The ball, `z` higher, with some of it held."""
    scene = ball_scene(model, count=count)
    config, entity = scene.config, scene.config.entities[0]
    config = config.model_copy(update={
        "ground": ground, "entities": (entity.model_copy(update={"fixed": fixed, "fixed_share": 0.25}),),
        "simulation": config.simulation.model_copy(update={"engine": engine}),
    })  # fmt: skip
    up = np.array([0, 0, z], np.float32)
    mesh = replace(scene.entities[0].mesh, vertices=scene.entities[0].mesh.vertices + up)
    body = replace(scene.entities[0], mesh=mesh, origin=scene.entities[0].origin + up)
    particles = replace(scene.particles, positions=scene.particles.positions + up)
    return replace(scene, config=config, entities=(body,), particles=particles)


@pytest.fixture(scope="module")
def hanging(engine):
    scene = hung(engine=engine)
    return scene, Simulation.build(scene)


def test_what_is_held_does_not_move_and_the_rest_hangs_from_it(hanging):
    scene, simulation = hanging
    simulation.reset(scene.initial_physics())
    held = held_particles(scene)
    assert 0.02 < held.mean() < 0.3
    assert scene.rest[held, 2].min() > scene.rest[~held, 2].max()
    simulation.advance_to(0.3)
    now = simulation.read().particles.positions
    np.testing.assert_allclose(now[held], scene.rest[held], atol=2e-6)
    lower = np.argsort(scene.rest[:, 2])[:60]
    sunk = scene.rest[lower, 2].mean() - now[lower, 2].mean()
    assert 1e-4 < sunk < 0.03, "it is stretched by its weight, and does not fall"


def test_a_push_swings_it_about_what_is_held(hanging):
    scene, simulation = hanging
    simulation.reset(scene.initial_physics())
    centre = tuple(float(v) for v in scene.rest.mean(0))
    simulation.set_actions([
        Push(type="push", entity="ball", center=centre, radius=0.08, direction=(1, 0, 0), magnitude=2, duration=0.2)
    ])
    simulation.advance_to(0.2)
    moved = simulation.read().particles.positions - scene.rest
    held = held_particles(scene)
    assert np.abs(moved[held]).max() < 2e-6
    bottom = np.argsort(scene.rest[:, 2])[:60]
    assert moved[bottom, 0].mean() > 3 * np.abs(moved[bottom, 1]).mean()
    assert moved[bottom, 0].mean() > 1e-3


def test_a_second_rollout_from_the_same_state_has_the_same_bits(hanging):
    scene, simulation = hanging
    found = []
    for _ in range(2):
        simulation.reset(scene.initial_physics())
        simulation.advance_to(0.04)
        found.append(simulation.read().particles.positions)
    np.testing.assert_array_equal(*found)


def test_what_nothing_holds_falls_out_of_the_domain_and_the_error_says_so():
    scene = hung(fixed="no")
    simulation = Simulation.build(scene)
    with pytest.raises(RolloutError, match="left the domain"):
        for t in np.arange(0.05, 1.0, 0.05):
            simulation.advance_to(float(t))
            simulation.check()


def test_a_thing_below_the_worlds_origin_meets_no_table():
    scene = hung(z=-0.3)
    simulation = Simulation.build(scene)
    simulation.advance_to(0.1)
    held = held_particles(scene)
    now = simulation.read().particles.positions
    np.testing.assert_array_equal(now[held], scene.rest[held])
    assert now[:, 2].max() < 0


def test_all_of_it_may_be_held():
    scene = hung(fixed="all", ground="table")
    simulation = Simulation.build(scene)
    simulation.advance_to(0.1)
    np.testing.assert_array_equal(simulation.read().particles.positions, scene.rest)


def test_a_rigid_one_that_is_fixed_stays():
    scene = hung(model="rigid", fixed="back")
    scene = replace(scene, entities=(replace(scene.entities[0], kind="rigid"),))
    simulation = Simulation.build(scene)
    simulation.advance_to(0.2)
    np.testing.assert_array_equal(simulation.read().bodies["ball"].position, scene.entities[0].origin)


def test_a_gpu_gets_genesis_and_the_reason():
    assert engine_for(hung(), "fast", device="cpu") == ("fast", "")
    for scene, word in ((hung(), "ground: none"), (hung(ground="table"), "fixed")):
        name, why = engine_for(scene, "fast", device="cuda")
        assert name == "genesis" and word in why
