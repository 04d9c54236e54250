"""Who is let through the gate, and in which order. No node."""

from __future__ import annotations

import threading
import time

import pytest

from pw_ros.interfaces.gate import MAX_WAITING, Gate, Pass
from support.ros_world import until


def whatif(name: str = "rollout") -> Pass:
    return Pass(name)


def committing() -> Pass:
    return Pass("rollout", moves_head=True, goal_id="1234")


def commit() -> Pass:
    return Pass("commit", alone=False, moves_head=True, service=True)


def select() -> Pass:
    return Pass("select", moves_head=True, service=True)


@pytest.mark.parametrize(
    ("inside", "wanted", "may"),
    [
        (whatif, whatif, False), (whatif, commit, True), (whatif, select, False), (committing, commit, False),
        (committing, whatif, False), (commit, commit, True), (commit, whatif, True), (commit, committing, False),
        (select, commit, True), (select, whatif, False), (select, select, False),
    ],
)  # fmt: skip
def test_who_may_run_beside_whom(inside, wanted, may: bool) -> None:
    gate = Gate()
    held = inside()
    assert gate.enter(held, wait=False) == "entered"
    assert bool(gate.blocks(wanted())) != may
    assert gate.enter(wanted(), wait=False) == ("entered" if may else "busy")
    gate.leave(held)
    gate.leave(held)


def test_who_is_in_the_way_is_named() -> None:
    gate = Gate()
    gate.enter(committing(), wait=False)
    assert gate.blocks(commit()) == "rollout 1234, which moves the head," and gate.running == "rollout"


def queue(gate: Gate, order: list[str], name: str, wanted: Pass) -> threading.Thread:
    def run() -> None:
        if gate.enter(wanted, wait=True) == "entered":
            order.append(name)
            time.sleep(0.02)
            gate.leave(wanted)

    before = len(gate._waiting)
    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: len(gate._waiting) == before + 1)
    return thread


def test_goals_come_in_their_order_and_a_service_before_goals_that_wait() -> None:
    gate, order = Gate(), []
    first = committing()
    gate.enter(first, wait=False)
    threads = [
        queue(gate, order, "goal 1", committing()), queue(gate, order, "goal 2", whatif()),
        queue(gate, order, "commit", commit()), queue(gate, order, "goal 3", committing()),
    ]  # fmt: skip
    assert gate.waiting == 3
    gate.leave(first)
    for thread in threads:
        thread.join(10)
    assert order == ["commit", "goal 1", "goal 2", "goal 3"] and gate.running == ""


def test_a_service_waits_so_long_and_only_so_many_do() -> None:
    gate = Gate()
    gate.enter(committing(), wait=False)
    began = time.monotonic()
    assert gate.enter(commit(), wait=True, patience=0.1) == "busy"
    assert time.monotonic() - began >= 0.1
    threads = [queue(gate, [], "commit", commit()) for _ in range(MAX_WAITING)]
    assert gate.enter(commit(), wait=True) == "busy"
    assert gate.enter(committing(), wait=True, stopped=lambda: True) == "stopped"
    for held in list(gate._inside):
        gate.leave(held)
    for thread in threads:
        thread.join(10)
    assert not gate._inside and not gate._waiting
