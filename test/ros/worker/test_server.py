"""What the worker answers while a job runs or has just been called off. No DDS."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.operations import HANDLERS
from pw_ros.worker.process import Job, Worker
from pw_ros.worker.protocol import Answered, Began, FrameData, Progressed, Refused, WorkerOptions
from pw_ros.worker.requests import (
    Asked,
    CommitRequest,
    ConfigRequest,
    DeleteRequest,
    Moved,
    ReconstructRequest,
    ResetRequest,
    RestoreRequest,
    RolloutRequest,
    SaveRequest,
    ScenesRequest,
    SelectRequest,
)
from pw_ros.worker.server import Session
from support.ball_scene import ball_config
from support.fake_world import COMPILE_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def wind(name: str = ""):
    return parse_action({"type": "wind", "name": name, "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    worker = Worker(
        WorkerOptions(store=str(tmp_path_factory.mktemp("store")), world_factory="support.fake_world:FakeWorld")
    )
    assert worker.wait_ready(60)
    yield worker
    worker.close()


@pytest.fixture
def worker(process, tmp_path: Path) -> Worker:
    process.call(ReconstructRequest(config=ball_config(), replace=True), timeout=60)
    return process


class Running:
    """A rollout that has begun: its job, and what it told."""

    def __init__(self, worker: Worker, name: str, *, until: type, duration: float = 5.0, **options) -> None:
        self.told: list[object] = []
        asked = RolloutRequest(actions=[wind(name)], duration=duration, **options)
        self.job: Job = worker.submit(asked, on_event=self.told.append)
        deadline = time.monotonic() + 20
        while not any(isinstance(e, until) for e in self.told):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    @property
    def began(self) -> Began:
        return next(e for e in self.told if isinstance(e, Began))


def everything(worker: Worker, made: str) -> None:
    """Every service on states, once; `made` is a state that it commits and goes back from."""
    assert worker.call(ScenesRequest(), timeout=5)
    assert worker.call(SaveRequest(state_id=made, label="kept"), timeout=5) == made
    assert worker.call(CommitRequest(state_id=made), timeout=5).previous_head == "root"
    assert worker.call(RestoreRequest(state_id="root"), timeout=5).state_id == "root"
    assert worker.call(ResetRequest(), timeout=5) == "root"
    assert worker.call(DeleteRequest(state_id=made), timeout=5) == [made]
    assert made not in {s.id for s in worker.snapshot.states}


@pytest.mark.parametrize("canceled", [False, True])
def test_states_are_served_while_kernels_compile(worker, canceled: bool) -> None:
    made = worker.submit(RolloutRequest(actions=[], duration=0.04)).future.result(20).state_id
    running = Running(worker, "very slow compile", until=Progressed)
    began = time.monotonic()
    if canceled:
        worker.cancel(running.job)
    everything(worker, made)
    assert not running.job.done and time.monotonic() - began < COMPILE_S["very slow compile"] / 2
    worker.cancel(running.job)
    states = {s.id for s in worker.snapshot.states}
    after = worker.submit(RolloutRequest(actions=[], duration=0.04)).future.result(30)
    assert running.job.done and running.job.future.result().canceled and not after.canceled
    # Nobody was told of what the cancelled one would have left, so it left nothing.
    assert {s.id for s in worker.snapshot.states} == {*states, after.state_id}


def test_states_are_served_between_the_frames_of_a_slow_simulation(worker) -> None:
    made = worker.submit(RolloutRequest(actions=[], duration=0.04)).future.result(20).state_id
    running = Running(worker, "very slow", until=FrameData)
    frames = len(running.told)
    everything(worker, made)
    assert len(running.told) - frames <= 4 and not running.job.done  # a frame takes 0.5 s
    worker.cancel(running.job)
    assert running.job.future.result(5).canceled


def test_what_a_cancelled_rollout_leaves_can_be_named_at_once(worker) -> None:
    running = Running(worker, "very slow", until=Began)
    worker.cancel(running.job)
    end = running.began.state_id
    assert worker.call(CommitRequest(state_id=end), timeout=5) == Moved(end, "root")


def test_the_end_of_a_running_rollout_is_not_there_yet(worker) -> None:
    running = Running(worker, "very slow", until=Began)
    with pytest.raises(PWError, match="wait for its result") as caught:
        worker.call(CommitRequest(state_id=running.began.state_id), timeout=5)
    assert caught.value.code == ErrorCode.BUSY and worker.snapshot.head == "root"
    worker.cancel(running.job)
    assert running.job.future.result(5).canceled


def test_what_a_running_goal_uses_stays_and_what_a_cancelled_one_used_may_go(worker) -> None:
    made = worker.submit(RolloutRequest(actions=[], duration=0.04)).future.result(20).state_id
    running = Running(worker, "slow", until=Began, start=made)
    with pytest.raises(PWError, match=f"uses state '{made}'") as caught:
        worker.call(DeleteRequest(state_id=made), timeout=5)
    assert caught.value.code == ErrorCode.STATE_IN_USE
    worker.call(ResetRequest(drop_uncommitted=True), timeout=5)
    assert {s.id for s in worker.snapshot.states} == {"root", made}
    worker.cancel(running.job)
    worker.call(ResetRequest(drop_uncommitted=True), timeout=5)
    assert running.job.future.result(5).canceled
    assert {s.id for s in worker.snapshot.states} == {"root"}  # what the rollout would have left is dropped as well


def test_jobs_that_are_called_off_before_they_begin_do_not_run(worker) -> None:
    first = Running(worker, "slow compile", until=Progressed)
    second = worker.submit(RolloutRequest(actions=[wind()], duration=0.1, commit=True))
    worker.cancel(second)  # and with it what came before
    assert first.job.future.result(20).canceled
    with pytest.raises(PWError, match="before it began") as caught:
        second.future.result(20)
    assert caught.value.code == ErrorCode.CANCELED and worker.snapshot.head == "root"


def test_another_scene_can_be_selected_while_a_cancelled_rollout_compiles(worker) -> None:
    worker.call(ReconstructRequest(config=ball_config().model_copy(update={"name": "other"}), replace=True), timeout=20)
    running = Running(worker, "slow compile", until=Progressed)
    worker.cancel(running.job)
    worker.call(SelectRequest(scene_id="ball"), timeout=5)
    assert worker.snapshot.scene_id == "ball" and not running.job.done
    done = worker.submit(RolloutRequest(actions=[wind()], duration=0.04)).future.result(20)
    assert done.state_id in {s.id for s in worker.snapshot.states} and running.job.future.result().canceled


def test_an_answer_that_no_pipe_carries_fails_its_request_only(monkeypatch) -> None:
    sent: list[object] = []

    class Pipe:
        def send(self, message) -> None:
            sent.append(pickle.loads(pickle.dumps(message)))

    session = object.__new__(Session)
    session.context, session.replies = None, Pipe()
    for value in (lambda: 0, 7):
        monkeypatch.setitem(HANDLERS, ConfigRequest, lambda context, request, value=value: value)
        session.answer(Asked(1, ConfigRequest("ball")))
    refused, answered = sent
    assert isinstance(refused, Refused) and "config: its answer" in refused.text and answered == Answered(1, 7)
