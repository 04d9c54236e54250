"""Candidates over the cores of this machine: processes that each keep a simulation of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from pw_core.errors import ErrorCode, PlanError, PWError
from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.plan.executors.building import with_constants
from pw_core.plan.executors.serial import Serial
from pw_core.plan.executors.types import same_scene
from pw_core.scene import Scene

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

Build = Callable[[Scene], "Simulation"]
"""Makes a scene's simulation in a process of its own: a function that can be imported there."""


@dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """How processes are watched."""

    poll_s: float = 0.05
    """[s] between looks at `stopped` while all are at work: a cancel is to be taken within 100 ms."""
    tries: int = 2
    """How often a candidate may take its process down before it counts as failed: it would do so again, since the same
    candidate gives the same bits."""
    join_s: float = 2.0
    """[s] that a process has to leave by itself."""


@dataclass(eq=False)
class _Process:
    process: Any
    conn: Connection
    job: Job | None = None
    at_work: int = -1


class Processes:
    """`count` processes, started with the first candidate and kept for the next batch; 0: one for each core.

    A process that dies is started again and its candidate tried once more, so that nothing is lost.
    """

    def __init__(self, build: Build, *, count: int = 0, options: ProcessOptions | None = None) -> None:
        self._build, self._count = build, count or os.cpu_count() or 1
        self._options = options or ProcessOptions()
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[_Process] = []

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor."""
        waiting = deque(range(len(candidates)))
        tries = [0] * len(candidates)
        left = len(candidates)
        try:
            while left:
                if stopped is not None:
                    stopped()
                self._hand_out(job, candidates, waiting, (bound, worth))
                ready = wait([p.conn for p in self._processes], timeout=self._options.poll_s)
                for p in [p for p in self._processes if p.conn in ready]:
                    index = p.at_work
                    try:
                        got = p.conn.recv()
                    except (EOFError, OSError):
                        self._processes.remove(p)
                        p.process.join(self._options.join_s)
                        if index < 0:
                            continue
                        tries[index] += 1
                        if tries[index] >= self._options.tries:
                            raise PlanError(
                                f"candidate {index} ended its process {tries[index]} times (exit code "
                                f"{p.process.exitcode}; -9 is most often a lack of memory): fewer processes need less",
                                code=ErrorCode.EXECUTOR_FAILED,
                            ) from None
                        waiting.appendleft(index)
                        continue
                    p.at_work = -1
                    if isinstance(got, PWError):
                        raise got
                    left -= 1
                    yield got
        finally:
            # Who is still at work on this job would answer to the next one.
            for p in [p for p in self._processes if p.at_work >= 0]:
                p.process.kill()
                p.process.join(self._options.join_s)
                self._processes.remove(p)

    def close(self) -> None:
        """See Executor."""
        for p in self._processes:
            try:
                p.conn.send(None)
            except OSError:
                continue
        for p in self._processes:
            p.process.join(self._options.join_s)
            if p.process.is_alive():
                p.process.kill()
                p.process.join(self._options.join_s)
        self._processes = []

    def _hand_out(
        self, job: Job, candidates: Sequence[Candidate], waiting: deque[int],
        limits: Sequence[Callable[[], float] | None],
    ) -> None:
        busy = sum(p.at_work >= 0 for p in self._processes)
        while len(self._processes) < min(self._count, busy + len(waiting)):
            self._processes.append(self._start())
        for p in self._processes:
            if p.at_work >= 0 or not waiting:
                continue
            index = waiting.popleft()
            try:
                if p.job is not job:
                    p.conn.send(job)
                    p.job = job
                p.conn.send((index, candidates[index], [None if f is None else f() for f in limits]))
            except OSError:  # it died idle: the next look finds it gone
                waiting.appendleft(index)
                p.at_work = -1
                continue
            p.at_work = index

    def _start(self) -> _Process:
        ours, theirs = self._context.Pipe()
        threads = max(1, (os.cpu_count() or 1) // self._count)
        process = self._context.Process(
            target=_serve, args=(theirs, self._build, threads), name="pw_candidates", daemon=True
        )
        process.start()
        theirs.close()
        return _Process(process, ours)


def _serve(conn: Connection, build: Build, threads: int) -> None:
    """The process: jobs and candidates in, outcomes out, until its pipe closes. Its engine takes so many threads."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    simulation: Simulation | None = None
    job: Job | None = None
    try:
        while (message := conn.recv()) is not None:
            if isinstance(message, Job):
                # Arrays that came through a pipe are never the same object: the same id may be another scene by now.
                if job is None or not same_scene(message.scene, job.scene):
                    simulation = None
                job = message
                continue
            assert job is not None
            index, candidate, values = message
            try:
                simulation = simulation or build(job.scene)
                bound, worth = (None if v is None else (lambda v=v: v) for v in values)
                serial = Serial(partial(with_constants, simulation))
                outcome = next(iter(serial.run(job, [candidate], bound=bound, worth=worth)))
                conn.send(outcome.numbered(index))
            except PWError as error:
                conn.send(error)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
