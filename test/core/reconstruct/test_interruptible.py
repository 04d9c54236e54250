"""Work that is called off at once, whatever it is doing."""

from __future__ import annotations

import threading
import time

import pytest

from pw_core.reconstruct.interruptible import interruptible


class CalledOff(Exception):
    pass


def test_what_the_work_returns_raises_and_tells_comes_through_in_order() -> None:
    told: list[tuple[str, float]] = []

    def work(progress):
        for k in range(3):
            progress(f"stage {k}", k / 3)
        return 7

    assert interruptible(work, lambda *a: told.append(a), every_s=5.0) == 7
    assert told == [("stage 0", 0), ("stage 1", 1 / 3), ("stage 2", 2 / 3)]
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda progress: 1 // 0, lambda *a: None)


def test_what_is_raised_at_a_stage_comes_up_in_the_work_which_may_put_away_what_it_has() -> None:
    kept = []

    def work(progress):
        try:
            progress("fit", 0.5)
        finally:
            time.sleep(0.2)  # longer than between two questions
            kept.append("checkpoint")

    def progress(stage: str, fraction: float) -> None:
        raise CalledOff

    with pytest.raises(CalledOff):
        interruptible(work, progress)
    assert kept == ["checkpoint"]


def test_work_within_work_is_part_of_it() -> None:
    assert interruptible(lambda outer: interruptible(lambda inner: 3, outer), lambda *a: None) == 3


def test_work_that_asks_nothing_is_called_off_all_the_same_and_the_next_waits_for_its_end() -> None:
    free, ended, asked = threading.Event(), [], []

    def work(progress):
        progress("masks", 0.1)
        free.wait(30)
        try:
            progress("fit", 0.2)
        finally:
            ended.append(True)

    def progress(stage: str, fraction: float) -> None:
        asked.append(stage)
        if len(asked) == 3:
            raise CalledOff

    with pytest.raises(CalledOff):
        interruptible(work, progress, every_s=0.01)
    assert asked == ["masks"] * 3 and not ended
    waited = []

    def let_go(stage: str, fraction: float) -> None:
        waited.append(stage)
        free.set()

    assert interruptible(lambda told: list(ended), let_go, every_s=0.01) == [True]
    assert waited[0].startswith("waiting")


def test_a_cancel_between_two_questions_leaves_no_thread_behind() -> None:
    def work(progress):
        while True:
            time.sleep(0.001)
            progress("sweep", 0.0)

    began = time.monotonic()

    def progress(stage: str, fraction: float) -> None:
        if time.monotonic() - began > 0.1:
            raise CalledOff

    with pytest.raises(CalledOff):
        interruptible(work, progress, every_s=0.0005)
    assert interruptible(lambda told: "free", lambda *a: None) == "free"
    assert not [t for t in threading.enumerate() if t.name == "interruptible"]
