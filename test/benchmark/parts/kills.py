"""kill -9 of the node and of its worker in rollouts, refinements, reconstructions, saves, commits and replacements.

The oracle: what was acknowledged is there, readable, and the head; what was not acknowledged is there whole or not at
all; nothing is left behind, no worker outlives its node, and the next goal works.
"""

from __future__ import annotations

import itertools
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from parts.node import running_node, until
from parts.records import record
from pw_core.actions import parse_action
from pw_core.errors import PWError
from pw_core.store import Store

FACTORY = "world_factory:=support.fake_world:FakeWorld"
SLOW = parse_action({"type": "wind", "name": "slow", "duration": 60, "direction": [1, 0, 0], "magnitude": 1})
VICTIMS = ("worker", "node")
LEFT = (".new-", ".old-", ".swap-", ".gone-")
INTERVAL_MS, FRAMES = 20, 6


@dataclass
class Told:
    """What the node has acknowledged since the scene was made."""

    head: str = "root"
    committed: set[str] = field(default_factory=lambda: {"root"})
    labels: dict[str, int] = field(default_factory=dict)

    def commit(self, state: str) -> None:
        """A commit was acknowledged."""
        self.committed.add(state)
        self.head = state


@dataclass
class Found:
    """What came of the kills of one victim."""

    kills: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    longest_s: float = 0.0


class Bed:
    """A node that is started anew whenever it was killed, with a client of its own: one that was there before would
    hear of the dead node for a while."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.told = folder, folder / "store", Told()
        self._stack = ExitStack()
        self.start()
        self.world.reconstruct("jam", scene_id="ball")

    def start(self) -> None:
        """A node, and a client."""
        self.world, self.process = self._stack.enter_context(running_node(self.folder, FACTORY))

    def close(self) -> None:
        """No more node."""
        self._stack.close()

    def worker(self) -> int:
        """The worker's process; there is one."""
        until(lambda: bool(self._workers()), 60)
        return max(self._workers())

    def _workers(self) -> set[int]:
        found = set()
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.add(child.pid)
        return found

    def grow(self, *, commit: bool = True) -> str:
        """A rollout; its state."""
        self.world.rollout([], INTERVAL_MS * (FRAMES - 1) / 1e3, frame_interval=INTERVAL_MS / 1e3, commit=commit)
        state = str(self.world.result(60).state_id)
        if commit:
            self.told.commit(state)
        return state

    def kill(self, victim: str) -> None:
        """Now; back when it is dead."""
        dead = psutil.Process(self.process.pid if victim == "node" else self.worker())
        dead.send_signal(signal.SIGKILL)
        if victim == "node":
            self.process.wait()

    def again(self, victim: str, worker: int) -> list[str]:
        """After a kill: ready once more; what outlived the node."""
        if victim == "worker":
            until(lambda: self._workers() - {worker} != set(), 60)  # another was started: the node says "starting"
            time.sleep(0.3)
            self.world.wait_until_ready(60)
            return []
        self._stack.close()
        with suppress(psutil.Error):
            psutil.Process(worker).wait(5)
        self.start()
        self.world.call("SelectScene", scene_id="ball")
        return [f"worker {worker}"] if psutil.pid_exists(worker) else []


def _rollout(world: Any, told: Told) -> None:
    world.rollout([SLOW], 0.4, commit=True)
    told.commit(world.result(60).state_id)


def _refine(world: Any, told: Told) -> None:
    from builtin_interfaces.msg import Time

    from pw_msgs.msg import TargetFrame
    from pw_ros.convert.images import numpy_to_image

    picture = numpy_to_image(np.full((64, 96, 3), 128, np.uint8))
    stamps = [Time(sec=7, nanosec=k * INTERVAL_MS * 1_000_000) for k in range(FRAMES)]
    frames = [TargetFrame(camera="photo", stamp=stamp, image=picture) for stamp in stamps]
    world.refine(frames, iterations=10, prompt="slow", time_origin=stamps[0], commit=True)
    told.commit(world.result(60).state_id)


def _replace(world: Any, told: Told) -> None:
    world.reconstruct("jam", scene_id="ball", replace=True)
    told.committed, told.labels, told.head = {"root"}, {}, "root"


def _save(world: Any, told: Told) -> None:
    for number in itertools.count():
        told.labels[world.call("SaveState", label=str(number)).state_id] = number


def _commit(world: Any, told: Told) -> None:
    """The what-ifs first, then to and fro."""
    for state in itertools.cycle([s.state_id for s in world.states()][::-1]):
        world.commit(state)
        told.commit(state)


WORK: dict[str, tuple[Callable[[Any, Told], None], float, float]] = {
    "rollout": (_rollout, 0.0, 0.8), "refine": (_refine, 0.0, 0.7), "save": (_save, 0.0, 0.2),
    "commit": (_commit, 0.0, 0.2),
    # The stand-in's own work takes 0.1 s; after it come the scene's writing and the swap.
    "reconstruct": (_replace, 0.0, 0.1), "replace": (_replace, 0.1, 0.25),
}  # fmt: skip
"""What is killed, and from when to when [s] after it was asked for."""


def kills(count: int, *, victims: Sequence[str] = VICTIMS, kinds: Sequence[str] = tuple(WORK)) -> None:
    """So many, the same number of each kind and victim."""
    each = -(-count // (len(victims) * len(kinds)))
    for victim in victims:
        found, chance = Found(), random.Random(victim)
        with tempfile.TemporaryDirectory() as folder:
            bed = Bed(Path(folder))
            try:
                for kind in kinds:
                    while found.kills.get(kind, 0) < each:
                        _once(bed, kind, victim, chance, found)
            finally:
                bed.close()
            broken = [str(fault) for fault in Store(bed.store).check()]
        note = ", ".join(f"{n} in {kind}" for kind, n in found.kills.items())
        for what, values in (
            ("acknowledged and not there, or head not right", found.lost), ("next goal failed", found.failed),
            ("leftovers", found.left), ("broken files", broken), ("workers that outlive their node", found.orphans),
        ):  # fmt: skip
            told = f"{note}; {'; '.join(values[:3])}" if values else note
            record(f"kills of the {victim}: {what}", len(values), "", "0", not values, told)
        record(f"kills of the {victim}: longest until ready", found.longest_s, "s", "reported", None, note)


def _once(bed: Bed, kind: str, victim: str, chance: random.Random, found: Found) -> None:
    work, low, high = WORK[kind]
    try:
        bed.grow()
        if kind == "commit":
            bed.grow(commit=False)
            bed.grow(commit=False)
    except PWError as error:
        found.failed.append(f"before {kind}: {error}")
    found.left += [p.name for p in bed.store.rglob("*") if p.name.startswith(LEFT)]
    worker = bed.worker()
    thread = threading.Thread(target=_quietly, args=(work, bed.world, bed.told), daemon=True)
    thread.start()
    time.sleep(chance.uniform(low, high))
    inside = thread.is_alive()
    bed.kill(victim)
    began = time.monotonic()
    thread.join(0.3 if victim == "node" else 60)  # an answer that was there before is still taken
    found.orphans += bed.again(victim, worker)
    found.longest_s = max(found.longest_s, time.monotonic() - began)
    if inside:
        found.kills[kind] = found.kills.get(kind, 0) + 1
    found.lost += [f"{kind}: {text}" for text in _missing(bed, kind)]
    wrong = len(found.lost) + len(found.failed) + len(found.left) + len(found.orphans)
    print(f"{victim} killed in {kind}, {found.kills.get(kind, 0)}; wrong so far: {wrong}", flush=True)


def _quietly(work: Callable[[Any, Told], None], world: Any, told: Told) -> None:
    with suppress(Exception):  # the node it asks is killed, and its client closed
        work(world, told)


def _missing(bed: Bed, kind: str) -> list[str]:
    """What was acknowledged and is not there; from now on what is there counts as told."""
    states = {s.state_id: s for s in bed.world.states()}
    committed, head = {s for s in states if states[s].committed}, next(s for s in states if states[s].head)
    told, wrong = bed.told, []
    if kind in ("reconstruct", "replace") and committed == {"root"} != told.committed:
        # It took place and was not told: what it replaced is kept whole.
        aside = Store(bed.store).replaced()[-1]
        kept = {p.stem for p in (bed.store / ".replaced" / aside.id / "states").iterdir()}
        wrong += [f"state {s} of what was replaced" for s in sorted(told.committed - kept)]
    else:
        wrong += [f"state {s}" for s in sorted(told.committed - committed)]
        for state, number in told.labels.items():
            if state not in states or int(states[state].label or -1) < number:
                wrong.append(f"label {number} of {state}")
        known = {told.head} | (told.committed if kind == "commit" else set())
        if head not in known and head in told.committed:
            wrong.append(f"head {told.head}, it is {head}")
    store = Store(bed.store)
    for state in sorted(told.committed & committed):
        try:
            store.load_state("ball", state)
        except PWError as error:
            wrong.append(f"state {state} cannot be read: {error}")
    labels = {s: int(states[s].label) for s in states if states[s].label}
    bed.told = Told(head, committed, labels)
    return wrong
