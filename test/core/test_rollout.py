"""A rollout as it runs: its frames, its trajectory and end, and what is refused before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.limits import LIMITS
from pw_core.rollout import begin, frame_times, frames_between, nearest_frame, physics_at
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
    for interval in (0.001, 5e-324, 1e-300):
        with pytest.raises(RolloutError, match=f"at most {LIMITS.frames}") as caught:
            frame_times(60, interval)
        assert caught.value.code == ErrorCode.INVALID_DURATION
    assert len(frame_times(50, 0.01)) == LIMITS.frames + 1


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


def _wind(**fields: object) -> dict[str, object]:
    return {"type": "wind", "duration": 1, "direction": [1, 0, 0], "magnitude": 1, **fields}


def test_an_action_that_would_never_begin_is_refused_at_once(scene) -> None:
    origin = State(ROOT, "", 0.0, scene.initial_physics())
    with pytest.raises(RolloutError, match=r"begin at 0\.4 s") as caught:
        begin(scene, origin, [parse_action(_wind(start=0.4))], 0.4, simulation=WindOnly, keep=lambda *a: None)
    assert caught.value.code == ErrorCode.INVALID_ACTION


def test_more_actions_than_the_limit_are_refused_at_once(scene) -> None:
    origin = State(ROOT, "", 0.0, scene.initial_physics())
    with pytest.raises(RolloutError, match=f"at most {LIMITS.actions}") as caught:
        begin(scene, origin, [parse_action(_wind())] * (LIMITS.actions + 1), 0.4, simulation=WindOnly,
              keep=lambda *a: None)  # fmt: skip
    assert caught.value.code == ErrorCode.INVALID_ACTION


def test_a_rollout_shorter_than_the_scene_s_frame_interval_has_its_start_and_end(scene) -> None:
    origin = State(ROOT, "", 0.0, scene.initial_physics())
    running = begin(scene, origin, [], scene.config.frame_interval_s / 2, simulation=WindOnly, keep=lambda *a: None)
    assert [f.time_s for f in running] == pytest.approx([0, scene.config.frame_interval_s / 2])


def test_times_outside_a_trajectory_and_ranges_upside_down_are_refused(scene) -> None:
    origin = State(ROOT, "", 0.0, scene.initial_physics())
    running = begin(scene, origin, [], 0.4, simulation=WindOnly, keep=lambda *a: None, frame_interval=0.1)
    list(running)
    trajectory = running.trajectory
    assert nearest_frame(trajectory, 0.26) == 3 and nearest_frame(trajectory, 0.44) == 4
    assert list(frames_between(trajectory)) == [0, 1, 2, 3, 4]
    assert list(frames_between(trajectory, 0.1, 0.3)) == [1, 2, 3]
    assert list(frames_between(trajectory, 0.15, 0.36, stride=2)) == [2]
    for start, end in ((0.3, 0.1), (-1, 0), (float("nan"), 0), (0, float("nan")), (0, 1e9), (1e9, 0), (0, -1)):
        with pytest.raises(RolloutError) as caught:
            frames_between(trajectory, start, end)
        assert caught.value.code == ErrorCode.INVALID_TIME
