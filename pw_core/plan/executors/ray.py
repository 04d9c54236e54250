"""Candidates over a Ray cluster: actors that each keep a simulation, batches that keep them busy.

Whoever uses it calls `ray.init` before, or gives an address. The scene and the state that candidates start from go to
the cluster's object store once. An actor or node that dies loses nothing: its batch is run again elsewhere, and a
candidate gives the same bits wherever it runs (on processors of one kind).
"""

from __future__ import annotations

import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pw_core.errors import ErrorCode, PlanError, PWError
from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.plan.executors.building import in_process
from pw_core.plan.executors.types import Executor
from pw_core.scene import Scene

_JOIN = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)"

Make = Callable[..., Executor]
"""Makes the executor of one actor of `make(scene, device=...)`: a function that can be imported on all nodes."""


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """What is asked of the cluster, and how long."""

    num_cpus: float = 1.0
    """Cores of an actor; the engine's threads are as many."""
    num_gpus: float = 0.0
    """GPUs of an actor; above 0, its engine runs on CUDA."""
    actors: int = 0
    """At most; 0: as many as the cluster has room for. More than that are a demand that an autoscaler sees."""
    batch: int = 0
    """Candidates that an actor gets at once; 0: one on the CPU, on a GPU an even share of all."""
    most_on_gpu: int = 256
    """Of them on a GPU: enough to fill it, few enough for its memory."""
    tries: int = 3
    """How often a batch may take its actor down before it counts as failed: it would do so again."""
    start_s: float = 120.0
    """[s] that the first actor may take to come up; an autoscaler starts machines meanwhile."""
    poll_s: float = 0.05
    """[s] between looks at `stopped`: a cancel is to be taken within 100 ms."""
    late: float = 4.0
    """A batch that takes so many times the median of the others runs a second time on an actor that has nothing to do,
    and the first answer counts: its node may be gone and its actor wait for room (backup tasks: Dean and Ghemawat
    2004)."""
    late_least_s: float = 2.0
    """[s] below which nothing is late."""
    reach_s: float = 3.0
    """[s] that the head node may take to accept a connection."""
    answer_s: float = 60.0
    """[s] that it may then take to answer as Ray's: another server at that port would never do."""


@dataclass(eq=False)
class _Batch:
    """Candidates by index; `running` are the calls that may bring their outcomes."""

    indices: list[int]
    tries: int = 0
    begun: float = 0.0
    running: list[Any] = field(default_factory=list)
    done: bool = False


@dataclass(eq=False)
class _Actor:
    handle: Any
    ready: bool = False
    batch: _Batch | None = None


class Ray:
    """See the module.

    Args:
        address: of the cluster's head, "host:port", "ray://host:port" or "auto"; empty: `ray.init` was called.
        make: makes an actor's executor.

    The actors stay for the next batch, until `close`.
    """

    def __init__(self, *, address: str = "", make: Make = in_process, options: RayOptions | None = None) -> None:
        self._address, self._make, self._options = address, make, options or RayOptions()
        self._actors: list[_Actor] = []
        self._put: dict[str, tuple[Any, Any]] = {}

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor.

        Raises:
            PlanError (EXECUTOR_FAILED): Ray is not there, no cluster answers, none of its nodes has what an actor
                needs, or a batch ended its actor `tries` times, most often for a lack of memory.
        """
        ray = self._connected(stopped)
        shared = [self._shared(ray, "scene", job.scene), self._shared(ray, "start", job.start)]
        wanted = self._wanted(ray, len(candidates))
        size = self._batch_size(len(candidates), wanted)
        count = len(candidates)
        work = [_Batch(list(range(i, min(i + size, count)))) for i in range(0, count, size)]
        run = _Run(ray, self._actors, self._options, work)
        try:
            while len(self._actors) < min(wanted, len(work)):
                self._actors.append(self._start(ray))
            while run.left:
                if stopped is not None:
                    stopped()
                for actor, batch in run.assignments():
                    limits = [None if f is None else f() for f in (bound, worth)]
                    given = [(i, candidates[i]) for i in batch.indices]
                    # Tried again by whoever is there, not by this actor alone, which may never come back.
                    call = actor.handle.run.options(max_task_retries=0)
                    run.begin(actor, batch, call.remote(shared, job.objective, job.times, given, *limits))
                yield from run.collect()
        finally:
            # Who is still at work on this job would make the next one wait.
            for actor in [a for a in self._actors if a.batch is not None]:
                ray.kill(actor.handle)
                self._actors.remove(actor)

    def close(self) -> None:
        """See Executor. The connection to the cluster stays: whoever made it may use it for more."""
        if self._actors:
            import ray

            if ray.is_initialized():
                for actor in self._actors:
                    ray.kill(actor.handle)
        self._actors, self._put = [], {}

    def _connected(self, stopped: Callable[[], None] | None) -> Any:
        try:
            import ray
        except ImportError:
            raise PlanError("Ray is not installed: pip install 'perpetual-wonder[ray]'",
                            code=ErrorCode.EXECUTOR_FAILED) from None  # fmt: skip
        if ray.is_initialized():
            return ray
        self._actors, self._put = [], {}  # of a cluster that is gone
        if not self._address:
            raise PlanError("no Ray cluster is connected: call ray.init(), or give its address (node: ray_address)",
                            code=ErrorCode.EXECUTOR_FAILED)  # fmt: skip
        # Ray itself tries for minutes to reach a head that is not there, and nothing calls it off.
        host, _, port = self._address.removeprefix("ray://").rpartition(":")
        try:
            if host:
                socket.create_connection((host, int(port)), timeout=self._options.reach_s).close()
        except (OSError, ValueError) as error:
            raise self._unreached(error) from None
        if host and (why := self._refusal(stopped)):
            raise self._unreached(why)
        try:
            ray.init(address=self._address, log_to_driver=False, configure_logging=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unreached(error) from None
        return ray

    def _unreached(self, why: object) -> PlanError:
        what = f"the Ray cluster at '{self._address}' cannot be reached: {why}"
        return PlanError(what, code=ErrorCode.EXECUTOR_FAILED)

    def _refusal(self, stopped: Callable[[], None] | None) -> str:
        """Join the cluster in another process, which can be ended: why that fails; empty where it works."""
        with subprocess.Popen(
            [sys.executable, "-c", _JOIN, self._address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + self._options.answer_s
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    if stopped is not None:
                        stopped()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(self._options.poll_s)
                code = process.poll()
            finally:
                process.kill()
        if code is None:
            return f"what listens there did not answer as a Ray head within {self._options.answer_s:g} s"
        return "what listens there is no head of this Ray version, or does not let this process in" if code else ""

    def _shared(self, ray: Any, what: str, value: Any) -> Any:
        """The reference to a value in the object store, put there once as long as it stays the same one."""
        before = self._put.get(what)
        if before is None or before[0] is not value:
            self._put[what] = (value, ray.put(value))
        return self._put[what][1]

    def _wanted(self, ray: Any, count: int) -> int:
        o = self._options
        if o.actors:
            return min(o.actors, count)
        room = ray.cluster_resources()
        fits = [room.get(key, 0.0) / each for key, each in (("CPU", o.num_cpus), ("GPU", o.num_gpus)) if each > 0]
        return max(1, min(count, math.floor(min(fits, default=1.0))))

    def _batch_size(self, count: int, actors: int) -> int:
        o = self._options
        if o.batch:
            return o.batch
        return min(o.most_on_gpu, math.ceil(count / actors)) if o.num_gpus else 1

    def _start(self, ray: Any) -> _Actor:
        o = self._options
        made = ray.remote(_Worker).options(
            num_cpus=o.num_cpus, num_gpus=o.num_gpus, max_restarts=-1, max_task_retries=-1
        )
        return _Actor(made.remote(self._make, "cuda" if o.num_gpus else "cpu"))


class _Run:
    """Which actor has which batch of one run."""

    def __init__(self, ray: Any, actors: list[_Actor], options: RayOptions, work: list[_Batch]) -> None:
        self._ray, self._actors, self._options = ray, actors, options
        self._work, self._waiting = work, deque(work)
        self._calls: dict[Any, tuple[_Actor, _Batch]] = {}
        self._hellos: dict[Any, _Actor] = {}
        self._seconds: list[float] = []
        self._begun = time.monotonic()

    @property
    def left(self) -> bool:
        """Whether a batch is still to be answered."""
        return any(not b.done for b in self._work)

    def assignments(self) -> Iterator[tuple[_Actor, _Batch]]:
        """Actors without work, and what each shall do."""
        for actor in self._actors:
            # An actor that was never placed would keep a batch for good.
            if not actor.ready and actor not in self._hellos.values():
                self._hellos[actor.handle.hello.remote()] = actor
            if not actor.ready or actor.batch is not None:
                continue
            if self._waiting:
                yield actor, self._waiting.popleft()
            elif late := self._late():
                yield actor, late
        if not any(a.ready for a in self._actors) and time.monotonic() - self._begun > self._options.start_s:
            o = self._options
            raise PlanError(
                f"no actor came up within {o.start_s:g} s: each needs {o.num_cpus:g} CPUs and {o.num_gpus:g} GPUs, the "
                f"cluster has {self._ray.cluster_resources()}, free {self._ray.available_resources()}",
                code=ErrorCode.EXECUTOR_FAILED,
            )

    def begin(self, actor: _Actor, batch: _Batch, call: Any) -> None:
        """The call with which an actor works on a batch."""
        actor.batch = batch
        batch.begun = time.monotonic()
        batch.running.append(call)
        self._calls[call] = (actor, batch)

    def collect(self) -> Iterator[Outcome]:
        """What has come in, after at most `poll_s`."""
        calls = [*self._hellos, *self._calls]
        done, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        if not done:
            done, _ = self._ray.wait(calls, timeout=self._options.poll_s)
        for call in done:
            if call in self._hellos:
                self._hello(call)
            elif call in self._calls:
                yield from self._answer(call)

    def _hello(self, call: Any) -> None:
        actor = self._hellos.pop(call)
        try:
            self._ray.get(call)
            actor.ready = True
        except self._ray.exceptions.RayError as error:
            self._actors.remove(actor)
            if not self._actors:
                raise _failed("an actor does not come up", error) from None

    def _answer(self, call: Any) -> list[Outcome]:
        actor, batch = self._calls.pop(call)
        actor.batch = None
        batch.running.remove(call)
        try:
            got = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            actor.ready = False
            if not batch.done:
                self._again(batch, error)
            return []
        if batch.done:
            return []
        if isinstance(got, PWError):
            raise got
        batch.done = True
        self._seconds.append(time.monotonic() - batch.begun)
        self._free(batch)
        return list(got)

    def _again(self, batch: _Batch, error: Exception) -> None:
        """A batch whose call failed: back to those that wait, unless it would fail again."""
        batch.tries += 1
        broke = isinstance(error, self._ray.exceptions.RayTaskError)  # by an exception, not with its process
        if broke or batch.tries >= self._options.tries:
            first, last = batch.indices[0], batch.indices[-1]
            which = f"candidate {first}" if first == last else f"candidates {first} to {last}"
            how = "raised on its actor" if broke else f"ended its actor {batch.tries} times"
            raise _failed(f"{which} {how}", error) from None
        if not batch.running and batch not in self._waiting:
            self._waiting.appendleft(batch)

    def _free(self, batch: _Batch) -> None:
        """Others that work on a batch that is answered: theirs is of no use any more."""
        for call in batch.running:
            actor, _ = self._calls.pop(call)
            self._ray.kill(actor.handle)
            self._actors.remove(actor)
        batch.running = []

    def _late(self) -> _Batch | None:
        """The batch that has taken longest, where that is long."""
        o = self._options
        if not self._seconds:
            return None
        limit = max(o.late * statistics.median(self._seconds), o.late_least_s)
        now = time.monotonic()
        late = [b for b in self._work if len(b.running) == 1 and now - b.begun > limit]
        return min(late, key=lambda b: b.begun, default=None)


def _failed(what: str, error: Exception) -> PlanError:
    why = f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"
    return PlanError(
        f"{what}: {why[:500]}. A lack of memory is the most likely reason: ask for more `num_cpus` an actor, so that "
        "fewer share a node, or for smaller batches", code=ErrorCode.EXECUTOR_FAILED,
    )  # fmt: skip


class _Worker:
    """The actor. It knows pw_core only, and keeps a scene's executor until it is given another scene."""

    def __init__(self, make: Make, device: str) -> None:
        self._make, self._device = make, device
        self._values: dict[Any, Any] = {}
        self._executor: tuple[Scene, Executor] | None = None

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()

    def hello(self) -> bool:
        """That it is there."""
        return True

    def run(
        self, shared: list[Any], objective: Any, times: tuple[float, ...], given: list[tuple[int, Candidate]],
        bound: float | None, worth: float | None,
    ) -> list[Outcome] | PWError:  # fmt: skip
        """Outcomes of candidates under their own indices; shared: references to the scene and the start."""
        import ray

        try:
            self._values = {r: self._values[r] if r in self._values else ray.get(r) for r in shared}
            scene, start = (self._values[r] for r in shared)
            if self._executor is None or self._executor[0] is not scene:
                self._executor = (scene, self._make(scene, device=self._device))
            job = Job(scene, start, objective, times)
            limits = [None if v is None else (lambda v=v: v) for v in (bound, worth)]
            found = self._executor[1].run(job, [c for _, c in given], bound=limits[0], worth=limits[1])
            return [o.numbered(given[o.score.index][0]) for o in found]
        except PWError as error:
            return error
