"""Arrays through shared memory: whole, in order, and nothing left behind however either side ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pw_ros.worker.shared_memory import Receiver, Ring, Sender

SHM = Path("/dev/shm")


def pair(size: int):
    theirs, ours = multiprocessing.Pipe()
    ring = Ring.create(size)
    assert ring is not None
    return Sender(theirs, Ring.attach(ring.name)), Receiver(ours, ring), ring.name


def test_arrays_arrive_whole_and_in_order_while_the_ring_wraps() -> None:
    sender, receiver, name = pair(100_000)
    rng = np.random.default_rng(0)
    for _ in range(50):
        sent = [rng.integers(0, 256, int(rng.integers(1, 60_000)), dtype=np.uint8) for _ in range(2)]
        sender.send(("ok", 1, {"a": sent[0], "b": sent[1]}))
        kind, number, got = receiver.recv()
        assert (kind, number) == ("ok", 1)
        for x, y in zip(sent, got.values(), strict=True):
            assert np.array_equal(x, y) and y.flags.writeable
    assert not (SHM / name).exists(), "the name goes with the first message"
    sender.close()
    receiver.close()


def test_what_finds_no_room_goes_through_the_pipe() -> None:
    sender, receiver, _ = pair(50_000)
    arrays = [np.full(20_000, k, np.uint8) for k in range(3)]
    for array in arrays[:2]:
        sender.send(array)  # nobody reads: the ring fills
    sender.send(arrays[2])
    assert [int(receiver.recv()[-1]) for _ in range(3)] == [0, 1, 2]
    sender.send(np.arange(6_000, dtype=np.int32)[::2])  # not in one piece
    sender.send(np.asfortranarray(np.arange(12_000.0).reshape(3, -1)))
    assert receiver.recv()[-1] == 5_998 and receiver.recv()[2, 3999] == 11_999
    sender.close()
    receiver.close()


def test_without_shared_memory_all_goes_through_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = set(SHM.iterdir())
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert Ring.create() is None and set(SHM.iterdir()) <= before
    theirs, ours = multiprocessing.Pipe()
    sender, receiver = Sender(theirs, None), Receiver(ours, None)
    sender.send(np.arange(5_000))
    assert receiver.recv().sum() == 12_497_500


NODE = """
import sys, time
from pw_ros.worker.process import Worker
from pw_ros.worker.protocol import WorkerOptions
if __name__ == "__main__":
    worker = Worker(WorkerOptions(store=sys.argv[1], world_factory="support.fake_world:FakeWorld"))
    if sys.argv[2] == "ready":
        worker.wait_ready(60)
    print(worker._replies.ring.name, worker.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["starting", "ready"])
def test_nothing_is_left_of_a_killed_node(tmp_path: Path, when: str) -> None:
    script = tmp_path / "node.py"
    script.write_text(NODE)
    places = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": ":".join(places)}
    command = [sys.executable, str(script), str(tmp_path / "store"), when]
    node = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert node.stdout is not None
    name, worker = node.stdout.readline().split()
    assert (SHM / name).exists() == (when == "starting")
    node.send_signal(signal.SIGKILL)
    node.wait()
    deadline = time.monotonic() + 20
    while (SHM / name).exists() or Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "memory or worker is still there"
        time.sleep(0.05)


@pytest.mark.slow
def test_nothing_is_left_of_a_killed_worker(tmp_path: Path) -> None:
    from pw_ros.worker.process import Worker
    from pw_ros.worker.protocol import WorkerOptions

    worker = Worker(WorkerOptions(store=str(tmp_path), world_factory="support.fake_world:FakeWorld"))
    names = {worker._replies.ring.name}
    os.kill(worker.pid, signal.SIGKILL)  # while it starts
    deadline = time.monotonic() + 60
    while worker.starts < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert worker.wait_ready(60) and worker.starts == 2
    names.add(worker._replies.ring.name)
    worker.close()
    assert len(names) == 2 and not any((SHM / n).exists() for n in names)
