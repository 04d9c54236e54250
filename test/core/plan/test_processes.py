"""Candidates over processes: the same bits as alone, and nothing lost when a process dies."""

from __future__ import annotations

import os

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Candidate
from pw_core.plan.executors.processes import Processes
from support.sliding import Mortal, Sliding, TellsThreads

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}
PUSH = {"type": "push", "duration": 0.01, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}


def pushes(*magnitudes: float) -> list[Candidate]:
    return [Candidate((parse_action({**PUSH, "magnitude": m}),)) for m in magnitudes]


@pytest.fixture(scope="module")
def processes():
    made = Processes(Sliding, count=2)
    yield made
    made.close()


@pytest.fixture
def mortal(tmp_path, monkeypatch):
    monkeypatch.setenv("PW_TEST_MORTAL", str(tmp_path / "died"))
    made = Processes(Mortal, count=2)
    yield made
    made.close()


@pytest.mark.slow
def test_the_same_bits_as_in_this_process_and_a_second_batch_goes_on(processes, serial, job) -> None:
    aim = job(AIM)
    for batch in (pushes(1, 30, 50, 20, 40), pushes(60, 5)):
        alone = {o.score.index: o for o in serial.run(aim, batch)}
        spread = {o.score.index: o for o in processes.run(aim, batch)}
        assert {i: o.score for i, o in spread.items()} == {i: o.score for i, o in alone.items()}
        for i, outcome in spread.items():
            ends = [o.frames[-1].physics.particles.positions.tobytes() for o in (outcome, alone[i])]
            assert ends[0] == ends[1]


@pytest.mark.slow
def test_constants_may_differ_by_candidate(processes, job) -> None:
    slippery = Candidate(pushes(50)[0].actions, {"floor_friction": 0.05})
    scores = {o.score.index: o.score.cost for o in processes.run(job(AIM), [pushes(50)[0], slippery])}
    assert scores[0] != scores[1]


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_its_candidate_tried_once_more(mortal, job) -> None:
    outcomes = {o.score.index: o.score for o in mortal.run(job(AIM), pushes(10, 67, 20))}
    assert sorted(outcomes) == [0, 1, 2] and not any(s.error for s in outcomes.values())


@pytest.mark.slow
def test_a_candidate_that_kills_every_process_ends_the_batch_with_a_word(mortal, job) -> None:
    with pytest.raises(PlanError, match="candidate 1 ended its process 2 times") as caught:
        list(mortal.run(job(AIM), pushes(10, 66)))
    assert caught.value.code == ErrorCode.EXECUTOR_FAILED
    assert [o.score.index for o in mortal.run(job(AIM), pushes(10))] == [0]  # and the next batch is done


@pytest.mark.slow
def test_processes_share_the_cores_between_them(job, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = Processes(TellsThreads, count=2)
    try:
        (outcome,) = made.run(job(AIM), pushes(1))
    finally:
        made.close()
    assert outcome.score.error == f"threads: {max(1, (os.cpu_count() or 1) // 2)}"


@pytest.mark.slow
def test_calling_off_ends_who_is_at_work(processes, job) -> None:
    asked = []

    def stopped() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(processes.run(job(AIM), pushes(10, 20, 30), stopped=stopped))
    assert len(list(processes.run(job(AIM), pushes(10, 20)))) == 2
