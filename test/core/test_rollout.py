"""A rollout as it runs: its frames, its trajectory and end, and what is refused before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.rollout import MAX_FRAMES, begin, frame_times, physics_at
from pw_core.scene import State
from pw_core.tree import ROOT
from support.spotted import WindOnly


def test_frames_are_at_every_interval_and_at_the_end() -> None:
    assert frame_times(0.5, 0.2).tolist() == pytest.approx([0, 0.2, 0.4, 0.5])
    assert frame_times(0.4, 0.2).tolist() == pytest.approx([0, 0.2, 0.4])
    for duration, interval in ((0, 0.1), (61, 0.1), (1, 2), (float("nan"), 0.1), (1, 0)):
        with pytest.raises(RolloutError) as caught:
            frame_times(duration, interval)
        assert caught.value.code == ErrorCode.INVALID_DURATION
    with pytest.raises(RolloutError, match=f"at most {MAX_FRAMES}"):
        frame_times(60, 0.001)


def test_a_rollout_that_is_called_off_keeps_what_it_has(scene) -> None:
    kept: list[tuple[object, object, bool]] = []
    simulation = WindOnly()
    simulation.set_constants({"wind_x": 1.0})
    origin = State(ROOT, "", 2.0, scene.initial_physics(), parameters={"wind_x": 1.0})
    running = begin(scene, origin, [], 0.4, simulation=lambda: simulation, keep=lambda *a: kept.append(a),
                    frame_interval=0.1)  # fmt: skip
    with pytest.raises(RolloutError, match="has not begun"):
        _ = running.end
    first, second = next(running), next(running)
    assert (first.time_s, second.index) == (0, 1)
    running.close()
    ((trajectory, end, finished),) = kept
    assert not finished and running.trajectory is trajectory and running.end is end
    assert len(trajectory) == 2 and end.parent == ROOT and end.time_s == pytest.approx(2.1)
    assert end.parameters == origin.parameters
    shown = physics_at(scene, trajectory, 0.08).particles.positions
    assert np.array_equal(shown, second.physics.particles.positions)


def test_an_action_on_nobody_is_refused_at_once(scene) -> None:
    action = parse_action({"type": "wind", "duration": 1, "direction": [1, 0, 0], "magnitude": 1, "entity": "toast"})
    origin = State(ROOT, "", 0.0, scene.initial_physics())
    with pytest.raises(RolloutError, match="'toast' is none of ball") as caught:
        begin(scene, origin, [action], 0.4, simulation=WindOnly, keep=lambda *a: None)
    assert caught.value.code == ErrorCode.UNKNOWN_ENTITY
