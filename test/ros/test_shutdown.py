"""A node that is told to end answers every client that waits, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_ros.client import WorldClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
SLOW = {"type": "wind", "name": "very slow", "duration": 1, "direction": [1, 0, 0], "magnitude": 1}


@pytest.fixture
def process(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'test'}:{os.environ.get('PYTHONPATH', '')}"}
    given = {"store": str(tmp_path / "store"), "world_factory": "support.fake_world:FakeWorld",
             "config_dirs": f"[{ROOT / 'config/scenes'}]"}  # fmt: skip
    arguments = [a for k, v in given.items() for a in ("-p", f"{k}:={v}")]
    command = [sys.executable, "-m", "pw_ros.node", "--ros-args", "-r", "__ns:=/ending", *arguments]
    started = subprocess.Popen(command, env=environment)
    yield started
    started.kill()
    started.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_waiting_client_is_told_that_the_node_shuts_down(process, number) -> None:
    name = "ending/perpetual_wonder"
    with WorldClient(name) as world, WorldClient(name) as second:
        for each in (world, second):
            each.wait_until_ready()
        world.reconstruct("jam")
        codes: list[int] = []

        def rollout(client: WorldClient) -> None:
            client.rollout([parse_action(SLOW)], 1.0)
            with pytest.raises(PWError) as caught:
                client.result(60)
            codes.append(caught.value.code)

        waiting = [threading.Thread(target=rollout, args=(c,)) for c in (world, second)]
        waiting[0].start()
        while world.feedback() is None:
            threading.Event().wait(0.02)
        waiting[1].start()
        threading.Event().wait(0.5)
        process.send_signal(number)
        for thread in waiting:
            thread.join(60)
        assert process.wait(60) == 0
    assert codes == [ErrorCode.SHUTTING_DOWN] * 2
