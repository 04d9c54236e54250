"""What one camera cannot see, and views one after the other: a correction must not be worse than none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.loop.films import read_films
from pw_core.progress import Progress
from pw_core.refine.refinement import RefinementOptions
from pw_core.refine.targets.types import TargetFrames, TargetRequest
from support import stand_in


class Same:
    """A video model that has nothing to object to: pictures and masks as they were asked with."""

    name = "same"

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        return TargetFrames(request.frames, np.ones(request.shape, np.bool_), request.masks)


class Right:
    """One that knows what really happened."""

    name = "right"

    def __init__(self, folder: Path) -> None:
        self.films = {f.name: f.frames for f in read_films(folder)[0]}

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        return TargetFrames(np.stack([self.films[c.name] for c in request.cameras]), np.ones(request.shape, np.bool_))


@pytest.fixture
def world(tmp_path: Path):
    """The ball after its first round, which missed the wind that nobody told it of."""
    config = stand_in.SceneConfig.load(stand_in.write_scene(tmp_path / "ball.yaml"))
    stand_in.write_films(tmp_path, config, rounds=1)
    world = stand_in.SpottedWorld(tmp_path / "store")
    world.reconstruct(config)
    list(world.rollout(config.rounds[0].actions, stand_in.DURATION, frame_interval=stand_in.INTERVAL, commit=True))
    return world


@pytest.mark.parametrize("views", [1, 2])
def test_pictures_that_are_as_predicted_move_nothing(world, views: int) -> None:
    before = world.state().physics.particles.positions
    running = world.refine(Same(), cameras=stand_in.cameras_of(world.scene)[:views])
    list(running)
    assert running.figures["mask_iou_before"] > 0.99
    moved = np.linalg.norm(running.state.physics.particles.positions - before, axis=1)
    assert moved.mean() < 0.005 < world.scene.entities[0].particle_size_m


@pytest.mark.parametrize("views", [1, 2])
def test_one_view_then_the_others_find_what_happened(world, views: int, tmp_path: Path) -> None:
    real = np.load(tmp_path / "truth" / "round-1.npz")["positions"][-1]

    def error() -> float:
        return float(np.linalg.norm(world.state().physics.particles.positions - real, axis=1).mean())

    open_loop = error()
    list(world.refine(Right(tmp_path / "targets" / "round-1"), cameras=stand_in.cameras_of(world.scene)[:views],
                      commit=True))  # fmt: skip
    assert open_loop > 0.045 and error() < 0.3 * open_loop


def test_a_correction_that_makes_pictures_no_better_is_not_kept(world, tmp_path: Path) -> None:
    """By options that ask for more than any correction gives, tracking is forgotten; a pixel's worth of motion is left
    to gradients."""
    before = world.state().physics.particles.positions
    strict = RefinementOptions(gate_error_ratio=0.0)
    running = world.refine(Right(tmp_path / "targets" / "round-1"), cameras=stand_in.cameras_of(world.scene)[:1],
                           options=strict)  # fmt: skip
    list(running)
    moved = np.linalg.norm(running.state.physics.particles.positions - before, axis=1)
    assert moved.mean() < 0.01
