"""World in a process of its own, so that compiling and stepping never block an executor. No ROS here.

Requests and replies go over a pipe, the arrays in replies through shared memory beside it (`shared_memory`). A cancel
is one shared number that the worker reads between frames, so it needs no reply.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from typing import Any, Generic, TypeVar

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.protocol import Answered, Event, Message, Noted, Ready, Snapshot, Told, WorkerOptions
from pw_ros.worker.requests import Asked, LimitRequest, Request
from pw_ros.worker.server import main
from pw_ros.worker.shared_memory import Receiver, Ring

T = TypeVar("T")
MAX_FAILED_STARTS = 3
MAX_LOST = 1000
"""Ids of what-ifs that went with a worker, told apart from ones that never were."""


@dataclass
class Job(Generic[T]):
    """A request under way; `future` gets its value or a PWError. `on_event` is called from the worker's reader."""

    id: int
    request: Request[T]
    on_event: Callable[[Event], None] | None = None
    future: Future[T] = field(default_factory=Future)

    @property
    def done(self) -> bool:
        """Whether the reply is there."""
        return self.future.done()


class Worker:
    """Starts the process, and again whenever it dies; the last committed state is then there again.

    Args:
        options: what the World is made of.
        on_snapshot: called with the world as it is, after every change and every start.
        on_state: called with "starting", "ready" or "failed", and a text that says why.
        on_note: called with an error code (0: none) and what is to be said about the start.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        on_snapshot: Callable[[Snapshot], None] | None = None,
        on_state: Callable[[str, str], None] | None = None,
        on_note: Callable[[int, str], None] | None = None,
    ) -> None:
        self.options = options
        self.snapshot = Snapshot()
        self.state = "starting"
        self.starts = 0
        self._on_snapshot, self._on_state, self._on_note = on_snapshot, on_state, on_note
        self._context = multiprocessing.get_context("spawn")
        self._ids = itertools.count(1)
        self._jobs: dict[int, Job[Any]] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ready = threading.Event()
        self._closing = False
        self._failed_starts = 0
        self._lost: deque[str] = deque(maxlen=MAX_LOST)
        self._spawn()
        self._reader = threading.Thread(target=self._read, name="worker-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid or 0

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Whether the World is open, waiting for it up to `timeout` [s]."""
        return self._ready.wait(timeout)

    def submit(self, request: Request[T], *, on_event: Callable[[Event], None] | None = None) -> Job[T]:
        """Ask, without waiting. While the process starts, requests wait for it."""
        with self._sending:  # ids must reach the worker in their order: cancelling relies on it
            job = Job(next(self._ids), request, on_event)
            if self.state == "failed" or self._closing:
                text = "the node shuts down" if self._closing else "the worker could not be started; see the node's log"
                job.future.set_exception(
                    PWError(text, code=ErrorCode.SHUTTING_DOWN if self._closing else ErrorCode.WORKER_DIED)
                )
                return job
            with self._lock:
                self._jobs[job.id] = job
            try:
                self._conn.send(Asked(job.id, request))
            except (OSError, ValueError):
                with self._lock:
                    mine = self._jobs.pop(job.id, None)
                if mine is not None:  # else the restart tells it: who takes the job from the list answers it
                    job.future.set_exception(_died(request.what()))
        return job

    def call(self, request: Request[T], *, timeout: float | None = None) -> T:
        """Ask and wait.

        Raises:
            PWError: what the World raised; WORKER_DIED; BUSY after `timeout` [s] without a reply.
        """
        job = self.submit(request)
        try:
            return job.future.result(timeout)
        except FutureTimeout:
            raise PWError(
                f"{request.what()}: no answer within {timeout} s, the worker is busy", code=ErrorCode.BUSY
            ) from None

    def cancel(self, job: Job[Any]) -> None:
        """Call it off: a rollout ends after its current frame, a reconstruction at its next progress report."""
        self._cancel.value = max(self._cancel.value, job.id)

    def limit_states(self, most: int) -> None:
        """Keep so many what-ifs from now on, also in a process that is started again."""
        with self._lock:
            self.options = replace(self.options, max_uncommitted_states=most)
        self.submit(LimitRequest(most))

    def close(self, timeout: float = 2.0) -> None:
        """End the process; it has `timeout` [s] to leave by itself."""
        if self._closing:
            return
        self._closing = True
        if self._sending.acquire(timeout=0.2):  # someone may be stuck in a send that nobody reads
            try:
                self._cancel.value = 2**62
                self._conn.send(None)
            except (OSError, ValueError):
                pass
            finally:
                self._sending.release()
        self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(2.0)
        self._reader.join(2.0)
        if not self._reader.is_alive():
            self._replies.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        self._ready.clear()
        self.starts += 1
        conn, theirs = self._context.Pipe()
        ring = Ring.create()
        # Without a lock: a worker killed while holding one would block us for ever. An aligned 64 bit store is atomic.
        self._cancel = self._context.RawValue("q", 0)
        self._process = self._context.Process(
            target=main,
            args=(theirs, ring.name if ring else "", self._cancel, self.options),
            name="pw_world",
            daemon=True,
        )
        # Ctrl-C goes to a terminal's whole group, and the child must not see it, not even while it imports: the mask is
        # inherited. We tell it when to end.
        resource_tracker.ensure_running()  # now, since its own start would unblock the signal again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # or its end would never be seen
        self._conn, self._replies = conn, Receiver(conn, ring)

    def _read(self) -> None:
        while True:
            try:
                message = self._replies.recv()
            except (EOFError, OSError):
                if not self._restart():
                    return
                continue
            self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Snapshot):
            left, self.snapshot = self.snapshot.scene_id and not message.scene_id, message
            if message.scene_id or left:  # a scene that could not be opened at the start is tried again
                with self._lock:
                    self.options = replace(self.options, scene=message.scene_id)
            if self._on_snapshot is not None:
                self._on_snapshot(message)
        elif isinstance(message, Ready):
            self._failed_starts = 0
            self._change("ready", "")
            self._ready.set()
        elif isinstance(message, Noted):
            if self._on_note is not None:
                self._on_note(message.code, message.text)
        elif isinstance(message, Told):
            job = self._jobs.get(message.id)
            if job is not None and job.on_event is not None:
                job.on_event(message.event)
        else:
            with self._lock:
                job = self._jobs.pop(message.id, None)
            if job is None:
                return
            if isinstance(message, Answered):
                job.future.set_result(message.value)
            else:
                job.future.set_exception(PWError(self._said(message.text), code=message.code))

    def _restart(self) -> bool:
        self._process.join(5.0)
        how = f"exit code {self._process.exitcode}"
        with self._lock:
            jobs, self._jobs = list(self._jobs.values()), {}
        again = not self._closing
        if again:
            kept = self.snapshot.committed
            gone = [s for s in self.snapshot.states if s.id not in kept and not s.label]
            self._lost += [i for s in gone for i in (s.id, s.trajectory_id) if i]
            self._failed_starts += not self._ready.is_set()
            if self._failed_starts >= MAX_FAILED_STARTS:
                self._change("failed", f"the worker ended {self._failed_starts} times while starting ({how})")
                again = False
            else:
                self._change("starting", f"the worker process ended ({how}); starting it again")
                with self._sending:
                    self._replies.close()
                    self._spawn()
        # After the restart, so that whoever sees the error can ask again at once.
        for job in jobs:
            job.future.set_exception(
                _died(job.request.what(), how)
                if not self._closing
                else PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
            )
        return again

    def _said(self, text: str) -> str:
        """An error of the worker's; where it names a what-if that went with a worker before, that is said."""
        lost = next((i for i in self._lost if f"'{i}'" in text), "")
        return f"{text}; '{lost}' was a what-if and went when the worker process ended" if lost else text

    def _change(self, state: str, why: str) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(state, why)


def _died(operation: str, how: str = "") -> PWError:
    text = f"the worker process ended during {operation}{f' ({how})' if how else ''}; it is started again"
    return PWError(f"{text} from the last committed state", code=ErrorCode.WORKER_DIED)
