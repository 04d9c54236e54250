"""Reconstructions and refinements of a small photo, with real physics, called off and killed at random moments.

How soon a cancel is acknowledged and its job ended, how soon the next service on states answers, and when the worker is
free again; and after kill -9 of the worker, whether all that was acknowledged is there.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parts.interrupts import ITERATIONS, prepare, small_scene
from parts.node import running_node, worker_pid
from parts.records import record
from pw_core.errors import ErrorCode, PWError
from pw_core.store import Store

ENDED = (ErrorCode.CANCELED, ErrorCode.RECONSTRUCT_CANCELED)


class Job:
    """A reconstruction (in place of the scene) or a refinement that commits, in the background.

    Args:
        world: the client.
        films: URI of the refinement's target frames; empty: a reconstruction.
    """

    def __init__(self, world: Any, films: str) -> None:
        self.world, self.code, self.ended = world, 0, 0.0
        self._refines = bool(films)
        if films:
            world.refine(frames_uri=films, iterations=ITERATIONS, commit=True)
            wait = world.result
        else:
            text, photo = small_scene()
            wait = partial(world.reconstruct, config_yaml=text, photo=photo, replace=True)
        self._thread = threading.Thread(target=self._run, args=(wait,))
        self._thread.start()

    def _run(self, wait: Callable[[], Any]) -> None:
        try:
            self.code = int(wait().error_code)
        except PWError as error:
            self.code = int(error.code)
        self.ended = time.monotonic()

    def cancel(self) -> bool:
        """Whether the node took it."""
        return bool(self.world.cancel() if self._refines else self.world.cancel_reconstruct())

    def join(self) -> int:
        """Its code."""
        self._thread.join()
        return self.code


@contextmanager
def _prepared() -> Iterator[tuple[Any, Any, Path, str]]:
    """Client, node's process, store and the films' URI; a scene with a committed rollout."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "films").mkdir()
        with running_node(root, f"input_roots:=['{root}']") as (world, process):
            prepare(world, root / "films")
            yield world, process, root / "store", f"file://{root / 'films'}"


def _committed(world: Any) -> None:
    world.rollout([], 0.1, frame_interval=0.02, commit=True)
    world.result(300)


def cancels(count: int) -> None:
    """`count` cancels in each of the two."""
    chance = random.Random(0)
    with _prepared() as (world, _, _store, films):
        for name, uri in (("a reconstruction", ""), ("a refinement", films)):
            longest = _whole(world, uri)
            taken, ended, after, free = [], [], [], []
            _committed(world)
            began = time.monotonic()
            _committed(world)
            usual = time.monotonic() - began
            while len(ended) < count:
                job = Job(world, uri)
                time.sleep(chance.uniform(0.0, longest))
                began = time.monotonic()
                if not job.cancel():
                    job.join()  # it had ended
                    _committed(world)
                    continue
                taken.append(time.monotonic() - began)
                if job.join() not in ENDED:
                    _committed(world)
                    continue
                ended.append(job.ended - began)
                at = time.monotonic()
                world.call("SaveState", label="kept")
                after.append(time.monotonic() - at)
                _committed(world)
                free.append(max(0.0, time.monotonic() - began - usual))
            for what, values, goal in (
                ("acknowledged", taken, 20), ("ended", ended, 150), ("next SaveState", after, 50),
                ("worker free again", free, None),
            ):  # fmt: skip
                p99 = float(np.percentile(values, 99)) * 1e3
                note = (
                    f"{len(values)} cancels in {longest:.1f} s, median {np.median(values) * 1e3:.1f} ms, "
                    f"load {os.getloadavg()[0]:.1f}"
                )
                aim, ok = ("reported", None) if goal is None else (f"<= {goal}", p99 <= goal)
                record(f"cancel of {name}: {what}, p99", p99, "ms", aim, ok, note)


def _whole(world: Any, uri: str) -> float:
    """Seconds of one that nobody disturbs; the second, whose modules and kernels are loaded."""
    for _ in range(2):
        began = time.monotonic()
        assert Job(world, uri).join() == 0
        took = time.monotonic() - began
        _committed(world)
    return took


def kills(count: int) -> None:
    """`count` kills of the worker in each of the two."""
    chance = random.Random(1)
    with _prepared() as (world, process, store, films):
        for name, uri in (("reconstructions", ""), ("refinements", films)):
            longest, lost, failed, wrong, late, done = _whole(world, uri), 0, 0, 0, 0, 0
            while done < count:
                before, picture = _seen(world), world.render()
                job = Job(world, uri)
                time.sleep(chance.uniform(0.0, longest))
                os.kill(worker_pid(process), signal.SIGKILL)
                code = job.join()
                time.sleep(0.3)  # a killed worker is noticed
                world.wait_until_ready(120)
                if code == 0:
                    late += 1  # it was acknowledged: it must be there
                    lost += _seen(world) == before
                else:
                    done += 1
                    wrong += code != ErrorCode.WORKER_DIED
                    # What is not acknowledged may be there too where the kill came between the two, and then whole.
                    lost += not (before <= _seen(world) or _is_whole(world))
                    if _seen(world) == before:
                        lost += not np.array_equal(world.render(), picture)
                try:
                    _committed(world)
                except PWError:
                    failed += 1
            left = [p.name for p in store.rglob("*") if p.name.startswith((".new-", ".old-", ".swap-", ".gone-"))]
            broken = len(Store(store).check())
            note = f"{done} kills in {longest:.1f} s of {name}, {late} more had ended"
            record(f"kills in {name}: something lost", lost, "", "0", lost == 0, note)
            record(f"kills in {name}: code other than 902", wrong, "", "0", wrong == 0, note)
            record(f"kills in {name}: next goal failed", failed, "", "0", failed == 0, note)
            record(f"kills in {name}: leftovers and broken files", len(left) + broken, "", "0", not left and not broken,
                   f"{note}; {', '.join(left[:3])}")  # fmt: skip


def _seen(world: Any) -> frozenset[tuple[str, bool]]:
    """Ids of the committed states, and which is the head."""
    return frozenset((s.state_id, s.head) for s in world.states() if s.committed)


def _is_whole(world: Any) -> bool:
    """Whether the head can be drawn."""
    with suppress(PWError):
        return bool(world.render().any())
    return False

