"""Fuzzed requests, kills, disk faults, cancels, several clients, soak: what each left behind."""

from __future__ import annotations

import errno
import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil

from parts.node import running_node
from parts.records import ROOT, record
from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError

FACTORY = "world_factory:=support.fake_world:FakeWorld"
SLOW = parse_action({"type": "wind", "name": "slow", "duration": 60, "direction": [1, 0, 0], "magnitude": 1})
SEEDS, ROUNDS = 5, 4


@contextmanager
def _world() -> Iterator[tuple[Any, Any, Path]]:
    """A client, the node's process and the store's folder, with a scene."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_node(folder, FACTORY) as (world, process):
            world.reconstruct("jam", scene_id="ball")
            world.rollout([], 0.1, commit=True)
            world.result(60)
            yield world, process, folder / "store"


def _sizes(process: Any) -> dict[str, float]:
    """Of the node and its children together. Own memory is what of RSS is not shared: the ring of 16 MB between node
    and worker counts in both as its pages are first written to, which takes minutes. shm: what of /dev/shm they have
    open; other programs of this machine have files there too."""
    all_of = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return {
        "RSS": sum(p.memory_info().rss for p in all_of) / 1e6,
        "own memory": sum(p.memory_info().rss - p.memory_info().shared for p in all_of) / 1e6,
        "fds": sum(p.num_fds() for p in all_of),
        "threads": sum(p.num_threads() for p in all_of),
        "shm": len({m.path for p in all_of for m in p.memory_maps(grouped=True) if m.path.startswith("/dev/shm/")}),
    }  # fmt: skip


def _growth(before: dict[str, float], after: dict[str, float], key: str) -> float:
    return 100 * (after[key] - before[key]) / max(before[key], 1)


def fuzz(count: int) -> None:
    """Requests drawn from the message definitions, over all services and actions."""
    from campaign.requests import Fuzzer

    with _world() as (_, process, store):
        fuzzer = Fuzzer()
        targets = [(n, k) for n, k in fuzzer.targets() if fuzzer.served(n)]
        sizes = []
        for at in range(SEEDS):
            share = count * (at + 1) // SEEDS
            for more in range(ROUNDS):  # of types with few fields there are few requests: the others get more
                each = -(-(share - fuzzer.counts.asked) // len(targets))
                if each > 0:
                    for name, kind in targets:
                        fuzzer.run(name, kind, examples=each, at=at + SEEDS * more)
            sizes.append(_sizes(process))
        counts, alive = fuzzer.counts, process.poll() is None
        fuzzer.close()
        outside = [p.name for p in store.parent.iterdir() if p.name not in ("store", "home", "node.log")]
    note = f"{counts.asked} requests, {SEEDS} seeds, {len(targets)} interfaces"
    record("fuzz: node ended", float(not alive), "", "0", alive, note)
    record("fuzz: no answer in 30 s", len(counts.hung), "", "0", not counts.hung, "; ".join(counts.hung[:2]))
    record("fuzz: longest answer", counts.longest[0], "s", "<= 5", counts.longest[0] <= 5,
           f"{counts.longest[1]}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    record("fuzz: x00 codes", len(counts.unknown), "", "0", not counts.unknown, "; ".join(counts.unknown[:2]))
    record("fuzz: texts over 1 kB", len(counts.long), "", "0", not counts.long, "")
    record("fuzz: files outside the store", len(outside), "", "0", not outside, ", ".join(outside))
    growth = _growth(sizes[0], sizes[-1], "RSS")
    record("fuzz: RSS growth after the first seed", growth, "%", "<= 5", growth <= 5, note)


def writers(count: int) -> None:
    """kill -9 of programs that only write, in commit, save and replace, by the test that judges each."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test/core/store/test_kills.py"]
    done = subprocess.run(
        [*command, "-o", "timeout=0"], cwd=ROOT, env={**os.environ, "PW_KILLS": str(count)}, capture_output=True,
        text=True,
    )  # fmt: skip
    note = f"{count} kills in commit, save and replace"
    record("kills of writers: something lost or left", float(done.returncode != 0), "", "0", done.returncode == 0,
           note if done.returncode == 0 else done.stdout[-300:])  # fmt: skip


def faults(count: int) -> None:
    """A system call of a commit, save, reset or delete fails: ENOSPC or EIO, at any call."""
    from pw_core.scene import State, Trajectory
    from pw_core.world import World
    from support.ball_scene import ball_scene

    chance, wrong, half, stuck, raised = random.Random(0), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        world, scene = World(folder), ball_scene()
        world.adopt(scene)
        for number in itertools.count():
            if raised >= count:
                break
            name = f"s{number}"
            frames = np.stack([scene.rest] * 3)
            way = Trajectory(f"t{number}", world.head, name, np.arange(3.0), frames, frames, {})
            world.tree.add(State(name, world.head, 0.1, scene.initial_physics(), way.id, created=1e9 + number), way)
            before = (world.head, set(world.committed), _files(Path(folder) / "ball"))
            target = chance.choice(["os.fsync", "os.open", "pathlib.Path.replace", "tempfile.NamedTemporaryFile"])
            code, at = chance.choice([errno.ENOSPC, errno.EIO]), chance.randint(1, 6)
            work = chance.choice([lambda n=name: world.commit(n), lambda n=name: world.save(n, "kept"), world.reset])
            module, _, attribute = target.rpartition(".")
            owner = {"os": os, "pathlib.Path": Path, "tempfile": tempfile}[module]
            try:
                with mock.patch.object(owner, attribute, _failing(getattr(owner, attribute), at, code)):
                    work()
            except PWError as error:
                raised += 1
                wrong += error.code != ErrorCode.STORE_FAILED or os.strerror(code) not in str(error)
                half += (world.head, set(world.committed), _files(Path(folder) / "ball")) != before
            try:
                world.commit(name)
            except PWError:
                stuck += 1
        broken = len(world.store.check())
    note = f"{raised} faults in {number} calls"
    record("faults: error without the cause", wrong, "", "0", wrong == 0, note)
    record("faults: something half-written", half + broken, "", "0", half + broken == 0, note)
    record("faults: not working after it", stuck, "", "0", stuck == 0, note)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _failing(real: Any, at: int, code: int) -> Any:
    calls = itertools.count(1)

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise OSError(code, os.strerror(code))
        return real(*args, **options)

    return call


def _percentile(values: list[float], p: float) -> float:
    return float(np.percentile(values, p)) * 1e3


def cancels(count: int) -> None:
    """Rollouts called off at a random moment: acknowledged, ended, and the next call on states."""
    chance = random.Random(0)
    taken: list[float] = []
    ended: list[float] = []
    after: list[float] = []
    with _world() as (world, _, _store):
        for _ in range(count):
            world.rollout([SLOW], 5.0)
            time.sleep(chance.uniform(0.0, 0.4))
            began = time.monotonic()
            world.cancel()
            taken.append(time.monotonic() - began)
            world.result(60)
            ended.append(time.monotonic() - began)
            began = time.monotonic()
            world.call("SaveState", label="kept")
            after.append(time.monotonic() - began)
    for name, values, goal in (("acknowledged", taken, 20), ("ended", ended, 150), ("next SaveState", after, 50)):
        p99 = _percentile(values, 99)
        record(f"cancel of a rollout: {name}, p99", p99, "ms", f"<= {goal}", p99 <= goal,
               f"{count} cancels, median {_percentile(values, 50):.1f} ms, load {os.getloadavg()[0]:.1f}")  # fmt: skip


def clients(seconds: float) -> None:
    """Three clients that roll out, commit and save; the tree must be what they were told."""
    from pw_ros.client import WorldClient

    waits: list[float] = []
    told: set[str] = set()
    done = [0, 0, 0]
    with _world() as (world, _, _store):
        until = time.monotonic() + seconds

        def work(k: int) -> None:
            chance = random.Random(k)
            with WorldClient() as client:
                client.wait_until_ready()
                while time.monotonic() < until:
                    began = time.monotonic()
                    with suppress(PWError):
                        client.rollout([SLOW], chance.choice([0.04, 0.1, 0.2]))
                        state = client.result(60).state_id
                        if chance.random() < 0.5:
                            client.commit(state)
                            told.add(state)
                        done[k] += 1
                    waits.append(time.monotonic() - began)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = {s.state_id for s in world.states() if s.committed}
    missing = told - found
    note = f"{seconds:g} s, {done} rounds of each client"
    record("clients: longest round", max(waits), "s", "reported", None, note)
    record("clients: starved", float(min(done) < 0.5 * max(done)), "", "0", min(done) >= 0.5 * max(done), note)
    record("clients: acknowledged commits missing", len(missing), "", "0", not missing, f"{len(told)} commits")


def soak(seconds: float) -> None:
    """Rollouts, pictures and resets, over and over."""
    with _world() as (world, process, _store):
        until, warm = time.monotonic() + seconds, time.monotonic() + seconds / 6
        before, rounds, minutes = None, 0, list[str]()
        while time.monotonic() < until:
            world.rollout([SLOW], 0.1, commit=rounds % 10 == 0)
            world.result(60)
            world.render()
            if rounds % 20 == 19:
                world.call("Reset", drop_uncommitted=True)
            rounds += 1
            if time.monotonic() - until + seconds > 60 * len(minutes):
                minutes.append(f"{_sizes(process)['own memory']:.0f}")
            if before is None and time.monotonic() > warm:
                before = _sizes(process)
        after = _sizes(process)
    assert before is not None
    for key in before:
        growth = _growth(before, after, key)
        note = f"{seconds:g} s, {rounds} rounds, {before[key]:.0f} to {after[key]:.0f} after the first sixth"
        if key == "own memory":
            note += f"; by the minute {', '.join(minutes)} MB"
        record(f"soak: growth of {key}", growth, "%", "<= 1", growth <= 1, note)
