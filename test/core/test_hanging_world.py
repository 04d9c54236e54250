"""A thing that hangs, from its photo through everything that a world does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.plan.objective import Objective
from pw_core.plan.search import Budget, SearchOptions
from pw_core.plan.template import Template
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.refine.targets.observed import CameraFilm, Observed
from pw_core.simulate.stepping import held_particles
from pw_core.world import World
from support.hanging_ball import camera, config, shot


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    picture, _, mask = shot(camera(np.zeros(3), 0.0), np.zeros(3))
    made = World.open(tmp_path_factory.mktemp("store"))
    made.reconstruct(config(mask), Inputs((ViewInput("photo.png", picture),)))
    return World.open(made.store.root, scene="hanging")


def blown(world: World, magnitude: float):
    wind = parse_action({"type": "wind", "duration": 0.2, "direction": [0, 1, 0], "magnitude": magnitude})
    rollout = world.rollout([wind], 0.2, frame_interval=0.04)
    for _ in rollout:
        pass
    return rollout


def test_it_is_drawn_exported_and_stays_held_after_the_disk(world: World, tmp_path: Path) -> None:
    assert world.scene is not None and world.scene.config.ground == "none" and world.scene.light is None
    rollout = blown(world, 60)
    moved = rollout.trajectory.positions[-1] - rollout.trajectory.positions[0]
    held = held_particles(world.scene)
    assert held.any() and not moved[held].any() and moved[~held, 1].max() > 1e-3
    for ending in (".ply", ".glb", ".usd"):
        path = world.export(tmp_path / f"out{ending}", state=rollout.end.id)
        assert path.stat().st_size > 1000


def test_a_plan_finds_the_wind_that_swings_it(world: World) -> None:
    wind = {"type": "wind", "duration": 0.2, "direction": [0, 1, 0], "magnitude": {"free": [0, 80], "name": "wind"}}
    aim = Objective.parse({"terms": [{"type": "reach", "entity": "ball", "position": [0.4, 0.05, 1.6]}]})
    planning = world.plan(
        Template([wind]), aim, 0.12, budget=Budget(candidates=6), options=SearchOptions(population=3)
    )
    list(planning)
    assert np.isfinite(planning.plan.cost) and planning.plan.values["wind"] > 20


def test_a_refinement_fits_its_stiffness_and_leaves_it_hanging(world: World) -> None:
    assert world.scene is not None
    seen = blown(world, 60)
    frames = np.stack([
        world.render(world.scene.cameras[0], physics=world.physics_at(seen.trajectory, float(t))).rgb
        for t in seen.trajectory.times
    ])
    guess = blown(world, 30)
    film = CameraFilm("photo", seen.trajectory.times, frames)
    settings = world.scene.config.refine.model_copy(update={"iterations": 6, "estimate": ("stiffness",)})
    running = world.refine(Observed(films=[film]), trajectory=guess.trajectory.id, config=settings)
    for _ in running:
        pass
    assert running.figures["psnr_after"] >= running.figures["psnr_before"] - 0.1
    assert running.estimates and np.isfinite(running.estimates[0].value)
    again = world.rollout([], 0.08, start=running.state.id, frame_interval=0.04)
    for _ in again:
        pass
    held = held_particles(world.scene)
    assert not (again.trajectory.positions[-1] - again.trajectory.positions[0])[held].any()
