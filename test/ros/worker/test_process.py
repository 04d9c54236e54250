"""World in its process: replies, reads between frames, cancelling, death and restart. No DDS."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.process import Worker
from pw_ros.worker.protocol import Began, FrameData, WorkerOptions
from pw_ros.worker.requests import (
    CommitRequest,
    Moved,
    ReconstructRequest,
    RenderRequest,
    RolloutRequest,
    ScenesRequest,
    TrajectoryRequest,
)
from support.ball_scene import ball_config

pytestmark = pytest.mark.slow


def wind(name: str = ""):
    return parse_action({"type": "wind", "name": name, "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture
def worker(tmp_path: Path):
    worker = Worker(WorkerOptions(store=str(tmp_path / "store"), world_factory="support.fake_world:FakeWorld"))
    assert worker.wait_ready(60)
    worker.call(ReconstructRequest(config=ball_config()), timeout=60)
    yield worker
    worker.close()
    assert not worker._process.is_alive()


def test_rollout_sends_frames_and_moves_the_head_only_when_told(worker) -> None:
    events: list[object] = []
    job = worker.submit(RolloutRequest(actions=[wind()], duration=0.1), on_event=events.append)
    result = job.future.result(30)
    frames = [e for e in events if isinstance(e, FrameData)]
    assert [round(f.time_s, 3) for f in frames] == [0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert np.allclose(frames[-1].positions - frames[0].positions, [0, 0.1, 0], atol=1e-5)
    assert worker.snapshot.head == "root" and not result.committed
    committed = worker.call(CommitRequest(state_id=result.state_id))
    assert committed == Moved(result.state_id, "root")
    assert worker.snapshot.head == result.state_id and worker.snapshot.head_time == pytest.approx(0.1)
    trajectory, again = worker.call(TrajectoryRequest(trajectory=result.trajectory_id))
    assert len(trajectory) == 6 and np.array_equal(again[-1].positions, frames[-1].positions)


def test_a_picture_is_answered_between_frames(worker) -> None:
    worker.call(RenderRequest(camera="photo"), timeout=60)
    begun = threading.Event()
    asked = RolloutRequest(actions=[wind("slow")], duration=2.0)
    job = worker.submit(asked, on_event=lambda event: begun.set() if isinstance(event, FrameData) else None)
    assert begun.wait(10)
    began = time.monotonic()
    view = worker.call(RenderRequest(camera="photo", live=True), timeout=10)
    assert view.rgb.shape == (64, 96, 3) and not job.done and time.monotonic() - began < 2
    worker.cancel(job)
    assert job.future.result(2).canceled and worker.snapshot.head == "root"


def test_errors_keep_code_and_text(worker) -> None:
    with pytest.raises(PWError, match="'nope' is not known") as caught:
        worker.call(CommitRequest(state_id="nope"))
    assert caught.value.code == ErrorCode.UNKNOWN_STATE
    worker.submit(RolloutRequest(actions=[wind("slow compile")], duration=0.1))
    with pytest.raises(PWError, match="no answer"):
        worker.call(RolloutRequest(actions=[], duration=0.1), timeout=0.3)


def test_pictures_are_answered_while_kernels_compile(worker) -> None:
    still = worker.call(RenderRequest(camera="photo"), timeout=60).rgb
    compiling = threading.Event()
    asked = RolloutRequest(actions=[wind("slow compile")], duration=0.1)
    job = worker.submit(asked, on_event=lambda _: compiling.set())
    assert compiling.wait(10)
    for _ in range(3):
        picture = worker.call(RenderRequest(camera="photo", depth=True), timeout=10)
        assert np.array_equal(picture.rgb, still) and np.isfinite(picture.depth).any()
    assert not job.done and len(worker.call(ScenesRequest(), timeout=10)) == 1
    assert not job.future.result(30).canceled


def test_a_cancelled_rollout_is_there_for_whoever_asks_at_once(worker) -> None:
    """The client has the ids and gives up while a frame is still being made; what it asks for then must be there."""
    ids: list[Began] = []
    job = worker.submit(
        RolloutRequest(actions=[wind("very slow")], duration=1.0),
        on_event=lambda e: ids.append(e) if isinstance(e, Began) else None,
    )
    deadline = time.monotonic() + 20
    while not ids and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # within the next frame, which takes 0.5 s
    worker.cancel(job)
    trajectory = ids[0].trajectory_id
    assert worker.call(RenderRequest(camera="photo", trajectory=trajectory), timeout=10).rgb.shape == (64, 96, 3)
    assert len(worker.call(TrajectoryRequest(trajectory=trajectory), timeout=10).frames) == 2
    assert job.future.result(1).canceled


def test_a_killed_worker_fails_its_job_and_comes_back_with_what_was_committed(worker) -> None:
    done = worker.submit(RolloutRequest(actions=[wind()], duration=0.1, commit=True)).future.result(30)
    first = worker.pid
    job = worker.submit(RolloutRequest(actions=[wind("slow")], duration=5.0))
    time.sleep(0.3)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(PWError) as caught:
        job.future.result(10)
    assert caught.value.code == ErrorCode.WORKER_DIED
    result = worker.submit(RolloutRequest(actions=[], duration=0.1)).future.result(60)
    assert worker.pid != first and worker.snapshot.head == done.state_id and result.state_id


def test_a_scene_is_opened_or_made_at_the_start_or_said_to_be_missing(tmp_path: Path) -> None:
    import yaml

    configs = tmp_path / "configs"
    configs.mkdir()
    fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": "ball"}
    (configs / "ball.yaml").write_text(yaml.safe_dump(fields))
    notes: list[tuple[int, str]] = []
    unknown = [ErrorCode.UNKNOWN_SCENE]
    for scene, selected, codes in (("ball", "ball", [0, 0]), ("ball", "ball", []), ("bal", "", unknown)):
        notes.clear()
        options = WorkerOptions(
            store=str(tmp_path / "store"), config_dirs=(str(configs),), scene=scene,
            world_factory="support.fake_world:FakeWorld",
        )  # fmt: skip
        worker = Worker(options, on_note=lambda code, text: notes.append((code, text)))
        assert worker.wait_ready(60) and worker.snapshot.scene_id == selected
        worker.close()
        assert [code for code, _ in notes] == codes
        if len(notes) == 2:
            assert "is not there yet" in notes.pop(0)[1]  # the store
        assert all(f"'{scene}'" in text for _, text in notes)


def test_a_world_that_cannot_be_made_is_not_tried_for_ever(tmp_path: Path) -> None:
    seen: list[str] = []
    worker = Worker(
        WorkerOptions(store=str(tmp_path), world_factory="support.fake_world:Missing"),
        on_state=lambda s, _: seen.append(s),
    )
    deadline = time.monotonic() + 60
    while "failed" not in seen and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seen[-1] == "failed" and worker.starts == 3
    with pytest.raises(PWError) as caught:
        worker.call(ScenesRequest())
    assert caught.value.code == ErrorCode.WORKER_DIED
    worker.close()
