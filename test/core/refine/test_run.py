"""A refinement as it runs: a new state at its end, nothing or the best so far where it is called off."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, PWError, RefineError
from pw_core.tree import ROOT
from pw_core.world import World
from support.spotted import observed, rolled_world, truth

SMALL = RefineConfig(iterations=10, nodes=16, width_px=192)


@pytest.fixture
def world(spotted, tmp_path: Path) -> World:
    return rolled_world(spotted[0], tmp_path)


def test_a_refinement_is_a_new_state_that_the_next_rollout_starts_from(world, spotted) -> None:
    scene, cameras = spotted
    head = world.head
    running = world.refine(observed(scene, cameras), config=SMALL, commit=True)
    steps = list(running)
    assert steps[-1].fraction == 1 and [s.fraction for s in steps] == sorted(s.fraction for s in steps)
    state = running.state
    assert state.parent == head and world.head == state.id
    assert running.figures["psnr_after"] > running.figures["psnr_before"] + 5
    real = truth(scene)[-1]
    gap = np.linalg.norm(state.physics.particles.positions - real, axis=1).mean()
    assert gap < 0.2 * np.linalg.norm(scene.rest - real, axis=1).mean()
    again = World.open(world.store.root, scene=scene.id).state()
    assert again.id == state.id and again.figures == state.figures
    assert np.array_equal(again.appearance.sh, state.appearance.sh) and set(again.views) == {c.name for c in cameras}
    end = world.rollout([], 0.1, frame_interval=0.05)
    list(end)
    assert end.end.appearance is state.appearance
    assert not np.array_equal(world.render(state=state.id).rgb, world.render(state=ROOT).rgb)


def test_a_cancelled_refinement_leaves_nothing_or_the_best_so_far(world, spotted) -> None:
    scene, cameras = spotted
    before = {s.id for s in world.states()}
    running = world.refine(observed(scene, cameras), config=SMALL, commit=True)
    for _ in range(4):
        next(running)
    running.close()
    assert {s.id for s in world.states()} == before and world.head in before
    running = world.refine(observed(scene, cameras), config=SMALL, keep_best=True)
    for _ in range(6):
        next(running)
    running.close()
    assert running.state.id in {s.id for s in world.states()} and world.head in before


def test_one_called_off_within_a_step_leaves_nothing_wherever_it_is(world, spotted) -> None:
    scene, cameras = spotted
    before = ({s.id for s in world.states()}, world.head)
    asked: list[str] = []

    def ask(stage: str, fraction: float) -> None:
        asked.append(stage)
        if len(asked) == off[0]:
            raise RefineError("canceled", code=ErrorCode.CANCELED)

    off, short = [-1], SMALL.model_copy(update={"iterations": 1})
    list(running := world.refine(observed(scene, cameras), config=short, progress=ask))
    world.delete(running.state.id)
    stages, many = set(asked), len(asked)
    assert {"targets of all views", "tracking, all views", "all views"} <= stages and many > 5 * len(stages)
    for off[0] in (1, many // 4, many // 2, 3 * many // 4, many):
        asked.clear()
        with pytest.raises(RefineError, match="canceled"):
            list(world.refine(observed(scene, cameras), config=short, commit=True, progress=ask))
        assert ({s.id for s in world.states()}, world.head) == before
        assert not [t.name for t in threading.enumerate() if t.name.startswith("pw-track")]


def test_bad_targets_change_nothing(world, spotted) -> None:
    scene, cameras = spotted
    before = ({s.id for s in world.states()}, world.head)
    many = SMALL.model_copy(update={"strengths": (0.5,) * 4})
    with pytest.raises(PWError, match="strengths: found 4, expected at most one for each of 3 views"):
        list(world.refine(observed(scene, cameras), config=many))
    with pytest.raises(PWError, match="trajectory"):
        world.refine(observed(scene, cameras), trajectory="t-none")
    films = observed(scene, cameras)
    with pytest.raises(PWError, match="camera"):
        list(world.refine(films, cameras=[replace(cameras[0], name="other")], config=SMALL))
    assert ({s.id for s in world.states()}, world.head) == before
