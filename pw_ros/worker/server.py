"""The worker's side: the requests it answers, also while a job runs. What it does for each is in `operations`. No ROS
here.

A thread takes requests as they come. It answers those on states and scenes itself, whatever runs; the others it leaves
for the main thread, which runs one job after the other and draws between a job's frames.

Messages up: ("ok", id, value), ("error", id, code, text), ("event", id, name, value), ("snapshot", Snapshot),
("note", code, text), ("ready",). Messages down: (id, operation, arguments).
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.operations import AT_ONCE, JOBS, Operations
from pw_ros.worker.protocol import WorkerOptions
from pw_ros.worker.shared_memory import Ring, Sender

Request = tuple[int, str, dict[str, Any]]
"""Id, operation, arguments."""

SWITCH_INTERVAL = 5e-4
"""[s] after which a thread that computes lets another one run. Each file that a commit writes lets go of the
interpreter a few times, and with Python's own 5 ms it would wait as long for each to get it back."""


class Session:
    """Answers requests until its pipe closes."""

    def __init__(self, conn: Connection, replies: Sender, cancel: Any, options: WorkerOptions) -> None:
        self.conn, self.cancel = conn, cancel
        self.replies = replies
        self.reads: deque[Request] = deque()
        self.jobs: deque[Request] = deque()
        self.ended = False
        self.job = 0
        self.stepping = False
        self._compiling = False
        self._changed = threading.Condition()  # of reads, jobs, ended
        self._telling = threading.Lock()
        self.operations = Operations(self, options)

        def note(code: int, text: str) -> None:
            replies.send(("note", code, text))

        self.operations.open_store(note)
        if options.scene:
            self.operations.open_scene(options.scene, note)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One request after the other."""
        threading.Thread(target=self._receive, name="requests", daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.reads or self.jobs or self.ended)
                if self.ended:
                    return
                request = (self.reads or self.jobs).popleft()
            self.answer(*request)

    def _receive(self) -> None:
        try:
            while (request := self.conn.recv()) is not None:
                if request[1] in AT_ONCE and not self._waits_for_job(request):
                    self.answer(*request)
                    continue
                with self._changed:
                    (self.jobs if request[1] in JOBS else self.reads).append(request)
                    self._changed.notify_all()
        except (EOFError, OSError):
            pass
        with self._changed:
            self.ended = True
            self._changed.notify_all()
            if self._compiling:
                os._exit(0)  # the node is gone or wants us gone, and nothing ends a compile

    def _waits_for_job(self, request: Request) -> bool:
        """Whether it names what a cancelled rollout leaves. That rollout may be over for its client before its frames
        are kept here (interfaces/goals.py). A cancel is told before the goal ends, so the request meets it here."""
        return self.canceled and request[2].get("state_id") in self.operations.pending

    def answer(self, request_id: int, operation: str, arguments: dict[str, Any]) -> None:
        """Do it and reply, with an error where it failed."""
        if operation in JOBS:
            self.job = request_id
        try:
            if operation in JOBS and self.canceled:
                code = ErrorCode.RECONSTRUCT_CANCELED if operation == "reconstruct" else ErrorCode.CANCELED
                raise PWError(f"{operation}: called off before it began", code=code)
            value = getattr(self.operations, "do_" + operation)(**arguments)
            reply: tuple[Any, ...] = ("ok", request_id, value)
        except PWError as error:
            reply = ("error", request_id, int(error.code), str(error))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            text = f"{operation}: {type(error).__name__}: {error}"
            reply = ("error", request_id, int(_unknown(operation)), text)
        if operation in JOBS or operation in AT_ONCE:
            self.send_snapshot()  # first, so that whoever gets the reply sees the world it speaks of
        self.replies.send(reply)

    def serve(self) -> None:
        """Within a job: answer what only reads. Of a cancelled rollout someone may ask what it is about to leave."""
        if self.ended:
            raise EOFError
        while self.reads and not (self.stepping and self.canceled):
            self.answer(*self.reads.popleft())

    @contextmanager
    def serving(self) -> Iterator[None]:
        """As `serve`, all the while, from a thread: for the minutes in which kernels compile. Drawing is safe there."""
        with self._changed:
            if self.ended:
                raise EOFError
            self._compiling = True

        def loop() -> None:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self.reads or not self._compiling)
                    if not self._compiling:
                        return
                    request = self.reads.popleft()
                self.answer(*request)

        thread = threading.Thread(target=loop, name="serving", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._compiling = False
                self._changed.notify_all()
            thread.join()

    def event(self, name: str, value: Any) -> None:
        """Tell the job's owner."""
        self.replies.send(("event", self.job, name, value))

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off. Jobs run in the order of their ids, so an older one is off too."""
        return self.job <= self.cancel.value

    def send_snapshot(self) -> None:
        """The world as it is now."""
        with self._telling:  # so that no older one comes after a newer
            self.replies.send(("snapshot", self.operations.do_snapshot()))


def _unknown(operation: str) -> ErrorCode:
    blocks = {"reconstruct": ErrorCode.RECONSTRUCT_UNKNOWN, "rollout": ErrorCode.ROLLOUT_UNKNOWN,
              "refine": ErrorCode.REFINE_UNKNOWN,
              "render": ErrorCode.RENDER_UNKNOWN}  # fmt: skip
    return blocks.get(operation, ErrorCode.SCENE_UNKNOWN)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def main(conn: Connection, ring_name: str, cancel: Any, options: WorkerOptions) -> None:
    """The spawned process. It ends when its pipe does, or its parent."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    replies = Sender(conn, Ring.attach(ring_name) if ring_name else None)
    try:
        session = Session(conn, replies, cancel, options)
        session.send_snapshot()
        replies.send(("ready",))
        session.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        replies.close()
