"""The node as planners feel it: how soon a cancel is taken and ends, what answers meanwhile, and what a killed worker
costs. The node is a process of its own, with cold kernels; the client talks to it over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parts.records import ROOT, record

SCENE = "play_doh"


@contextmanager
def running_node(folder: Path, *parameters: str, cold: bool = False) -> Iterator[tuple[Any, subprocess.Popen[bytes]]]:
    """A client, and the node's process; `cold`: with empty kernel caches."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
    from pw_ros.client import WorldClient

    command = [sys.executable, "-m", "pw_ros.node", "--ros-args", "-p", f"store:={folder / 'store'}"]
    for parameter in parameters:
        command += ["-p", parameter]
    home = folder / "home"
    (home / ".cache").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "HOME": str(home)} if cold else dict(os.environ)
    with (folder / "node.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=ROOT)
    try:
        with WorldClient() as world:
            world.wait_until_ready(120)
            yield world, process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


class Probe:
    """Asks one thing over and over from a thread; the longest answer [s] since `reset`."""

    def __init__(self, ask: Callable[[], Any], *, pause_s: float = 0.05) -> None:
        self.worst, self.count, self.failures = 0.0, 0, 0
        self._stop = threading.Event()

        def run() -> None:
            while not self._stop.wait(pause_s):
                began = time.monotonic()
                try:
                    ask()
                except Exception:
                    self.failures += 1
                self.worst, self.count = max(self.worst, time.monotonic() - began), self.count + 1

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """A new phase."""
        self.worst, self.count, self.failures = 0.0, 0, 0

    def close(self) -> None:
        """No more questions."""
        self._stop.set()
        self._thread.join()


def parameter_reader(world: Any) -> Callable[[], Any]:
    """Reads a parameter of the node as `ros2 param get` does."""
    from rcl_interfaces.srv import GetParameters

    client = world.node.create_client(GetParameters, "/perpetual_wonder/get_parameters")
    client.wait_for_service(10)
    return lambda: world._wait(client.call_async(GetParameters.Request(names=["view_rate"])), 30, "get_parameters")


def until(condition: Callable[[], bool], timeout: float) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s")
        time.sleep(0.005)


def worker_pid(node: subprocess.Popen[bytes]) -> int:
    """The node's child that holds the World: the one with most memory (another is a tracker of shared memory)."""
    import psutil

    return int(max(psutil.Process(node.pid).children(), key=lambda p: p.memory_info().rss).pid)


def cancel(world: Any) -> tuple[float, float, Any]:
    """Seconds to the acknowledgement and to the result, and the result."""
    began = time.monotonic()
    taken = world.cancel()
    acknowledged = time.monotonic() - began
    result = world.result(60)
    ended = time.monotonic() - began
    assert taken, "the node did not take the cancel"
    return acknowledged, ended, result


def canceled(name: str, figures: Sequence[tuple[float, float, Any]]) -> None:
    """The worst of several cancels."""
    from pw_core.errors import ErrorCode

    note = f"worst of {len(figures)}"
    acknowledged, ended = max(f[0] for f in figures), max(f[1] for f in figures)
    right = all(f[2].error_code == ErrorCode.CANCELED for f in figures)
    record(f"cancel acknowledged {name}", acknowledged * 1e3, "ms", "<= 100", acknowledged <= 0.1, note)
    record(f"CANCELED {name}", ended * 1e3, "ms", "<= 300", right and ended <= 0.3, note)


def node() -> None:
    """Cancels, answers throughout, and a killed worker."""
    with tempfile.TemporaryDirectory() as folder, running_node(Path(folder), cold=True) as (world, process):
        world.reconstruct(SCENE)
        probes = {
            "list_states": Probe(world.states),
            "get_parameters": Probe(parameter_reader(world)),
            "render_view": Probe(world.render, pause_s=0.2),
        }
        try:
            _measure(world, process, probes)
        finally:
            for probe in probes.values():
                probe.close()


def _measure(world: Any, process: subprocess.Popen[bytes], probes: dict[str, Probe]) -> None:
    from pw_core.actions import parse_action
    from pw_core.errors import ErrorCode, PWError
    from pw_msgs.msg import WorldStatus

    push = parse_action({
        "type": "push", "duration": 0.3, "center": [0.6, 0, 0.08], "direction": [0, 0, -1], "radius": 0.06,
        "magnitude": 5,
    })  # fmt: skip

    def answers(phase: str) -> None:
        for name, probe in probes.items():
            if probe.count == 0 and name == "render_view":
                continue
            ok = probe.failures == 0
            note = f"worst of {probe.count}, {probe.failures} without an answer"
            record(f"{name} answers {phase}", probe.worst * 1e3, "ms", "all answer", ok, note)
            probe.reset()

    for probe in probes.values():
        probe.reset()
    figures = []
    for _ in range(3):  # the first one starts the compile, the others wait for it
        world.rollout([push], 1.0)
        until(lambda: world.status().status == WorldStatus.COMPILING or world.feedback() is not None, 60)
        time.sleep(1.5)
        figures.append(cancel(world))
    canceled("while compiling", figures)
    began = time.monotonic()
    world.rollout([push], 2.0)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0, 300)
    record("the next goal after that compile steps", time.monotonic() - began, "s", "reported", None, "cold kernels")
    answers("while compiling")
    figures = []
    for k in range(5):
        if k:
            world.rollout([push], 2.0)
            until(lambda: world.feedback() is not None and world.feedback().fraction > 0, 60)
        time.sleep(0.3)
        figures.append(cancel(world))
    canceled("while stepping", figures)
    answers("while stepping")

    world.rollout([push], 0.1, commit=True)
    committed = world.result(60).state_id
    world.rollout([push], 5.0)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0, 60)
    began = time.monotonic()
    os.kill(worker_pid(process), signal.SIGKILL)
    try:
        world.result(60)
        code = 0
    except PWError as error:
        code = error.code
    died = time.monotonic() - began
    record("WORKER_DIED after kill -9", died * 1e3, "ms", "reported", code == ErrorCode.WORKER_DIED, f"code {code}")
    world.rollout([], 0.1)
    result = world.result(300)
    states = {s.state_id: s for s in world.states()}
    right = states[committed].head and states[result.state_id].parent == committed
    took = time.monotonic() - began
    record("next goal done, from the committed state", took, "s", "reported", right, "with a new worker, warm kernels")
    probes["render_view"].failures = 0  # pictures that were asked of the killed worker
    answers("around a killed worker")
