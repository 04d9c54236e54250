"""The studio within the worker: it shows what is held, runs where goals run, and gives way to them. No DDS."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path

import pytest

from pw_core.world import World
from pw_ros.worker.process import Worker
from pw_ros.worker.protocol import WorkerOptions
from pw_ros.worker.requests import ReconstructRequest
from pw_ros.worker.studio import NodeStudio
from support.ball_scene import ball_config, ball_scene
from support.sliding import Sliding

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class MainThread:
    """Runs what is submitted, when it is told to."""

    def __init__(self) -> None:
        self.chores: deque = deque()
        self.busy = False
        self.served = self.changed = 0
        self.notes: list[str] = []

    def run(self) -> None:
        while self.chores:
            self.chores.popleft()()

    def serve(self) -> None:
        self.served += 1

    def change(self) -> None:
        self.changed += 1


def test_what_is_asked_in_it_runs_on_the_main_thread_and_gives_way(tmp_path: Path, monkeypatch) -> None:
    world, main = World(tmp_path / "store"), MainThread()
    world.adopt(ball_scene())
    built = Sliding(world.scene)
    threads = []
    monkeypatch.setattr(world, "_build", lambda *_: threads.append(threading.current_thread()) or built)
    studio = NodeStudio(world, 0, submit=main.chores.append, busy=lambda: main.busy, serve=main.serve,
                        changed=main.change, note=lambda n: main.notes.append(n.text))  # fmt: skip
    studio.follow()
    try:
        assert main.notes == [f"studio: {studio._made.address}"]
        main.run()
        made = studio._made
        made.acting.magnitude.value = 20.0
        made.acting.ask()
        assert len(world.states()) == 1, "nothing runs before the main thread does"
        main.run()
        assert len(world.states()) == 2 and set(threads) == {threading.main_thread()}
        assert main.served > 3 and main.changed
        end = made.room.state.id
        main.busy = True
        made.room.guarded(made.states.commit)
        assert world.head != end and "goal" in made.room.told[-1].text
        main.busy = False
        made.room.guarded(made.states.commit)
        assert world.head == end
        made.acting.ask()
        studio.give_way()
        main.run()
        assert len(world.states()) == 2, "called off before it began"
        world.adopt(ball_scene(), replace=True)
        studio.follow()
        assert studio._made is not made and studio._made.room.state.id == "root"
    finally:
        studio.close()


def test_a_job_ends_without_a_traceback_when_the_node_goes(tmp_path: Path, monkeypatch, capfd) -> None:
    world, main = World(tmp_path / "store"), MainThread()
    world.adopt(ball_scene())
    monkeypatch.setattr(world, "_build", lambda *_: Sliding(world.scene))

    def gone() -> None:
        raise EOFError

    studio = NodeStudio(world, 0, submit=main.chores.append, busy=lambda: False, serve=gone, changed=main.change,
                        note=lambda n: None)  # fmt: skip
    studio.follow()
    try:
        main.run()
        made = studio._made
        made.acting.ask()
        main.run()
        assert made.room.jobs.wait(0.0) and not made.room.told and "Traceback" not in capfd.readouterr().err
    finally:
        studio.close()



def test_a_worker_serves_its_page_once_there_is_a_scene(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    worker = Worker(
        WorkerOptions(store=str(tmp_path), world_factory="support.fake_world:FakeWorld", studio_port=port)
    )
    try:
        assert worker.wait_ready(60)
        worker.call(ReconstructRequest(config=ball_config()), timeout=60)
        ends = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert page.status == 200
                    return
            except OSError:
                assert time.monotonic() < ends
                time.sleep(0.2)
    finally:
        worker.close()
