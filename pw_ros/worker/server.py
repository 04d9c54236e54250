"""The worker's side: the requests it answers, also while a job runs. Who does each is in `operations`. No ROS here.

A thread takes requests as they come. It answers those on states and scenes itself, whatever runs; the others it leaves
for the main thread, which runs one job after the other and draws between a job's frames.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from pw_core.errors import PWError
from pw_ros.worker.context import Context
from pw_ros.worker.jobs.export import sweep_exports
from pw_ros.worker.looking import snapshot
from pw_ros.worker.operations import HANDLERS, make_world, open_scene, open_store
from pw_ros.worker.protocol import Answered, Event, Ready, Refused, Told, WorkerOptions
from pw_ros.worker.requests import Asked, Served
from pw_ros.worker.shared_memory import Ring, Sender
from pw_ros.worker.studio import NodeStudio

SWITCH_INTERVAL = 5e-4
"""[s] after which a thread that computes lets another one run. Each file that a commit writes lets go of the
interpreter a few times, and with Python's own 5 ms it would wait as long for each to get it back."""


class Session:
    """Answers requests until its pipe closes."""

    def __init__(self, conn: Connection, replies: Sender, cancel: Any, options: WorkerOptions) -> None:
        self.conn, self.cancel = conn, cancel
        self.replies = replies
        self.reads: deque[Asked] = deque()
        self.jobs: deque[Asked] = deque()
        self.chores: deque[Callable[[], None]] = deque()
        self.working = False
        self.ended = False
        self.job = 0
        self.stepping = False
        self._compiling = False
        self._changed = threading.Condition()  # of reads, jobs, chores, ended
        self._telling = threading.Lock()
        self.context = Context(self, make_world(options), options.input_roots, options.ray_address, options.export_root)
        open_store(self.context.world, replies.send)
        sweep_exports(self.context)
        if options.scene:
            open_scene(self.context.world, options.scene, replies.send)
        self.studio = None if options.studio_port == 0 else NodeStudio(
            self.context.world, options.studio_port, submit=self.chore, serve=self.serve, changed=self.send_snapshot,
            busy=lambda: self.working or bool(self.jobs), note=replies.send,
        )  # fmt: skip
        if self.studio is not None:
            self.chore(self.studio.follow)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One request after the other."""
        threading.Thread(target=self._receive, name="requests", daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.reads or self.jobs or self.chores or self.ended)
                if self.ended:
                    return
                asked = (self.reads or self.jobs).popleft() if self.reads or self.jobs else None
                chore = self.chores.popleft() if asked is None else None
            if asked is not None:
                self.answer(asked)
            elif chore is not None:
                chore()
                self.send_snapshot()

    def chore(self, run: Callable[[], None]) -> None:
        """Run something on the main thread once no request waits."""
        with self._changed:
            self.chores.append(run)
            self._changed.notify_all()

    def _receive(self) -> None:
        try:
            while (asked := self.conn.recv()) is not None:
                served = asked.request.served
                if served is Served.AT_ONCE and not self._waits_for_job(asked):
                    self.answer(asked)
                    continue
                with self._changed:
                    (self.jobs if served is Served.JOB else self.reads).append(asked)
                    self._changed.notify_all()
                if served is Served.JOB and self.studio is not None:
                    self.studio.give_way()
        except (EOFError, OSError):
            pass
        finally:  # also where a bug ends this thread: the node then starts another worker
            with self._changed:
                self.ended = True
                self._changed.notify_all()
                if self._compiling:
                    os._exit(0)  # the node is gone or wants us gone, and nothing ends a compile

    def _waits_for_job(self, asked: Asked) -> bool:
        """Whether it names what a cancelled rollout leaves. That rollout may be over for its client before its frames
        are kept here (interfaces/actions/goals.py). A cancel is told before the goal ends, so this meets it here."""
        return self.canceled and getattr(asked.request, "state_id", "") in self.context.pending

    def answer(self, asked: Asked) -> None:
        """Do it and reply, with an error where it failed."""
        request = asked.request
        if request.served is Served.JOB:
            self.job, self.working = asked.id, True
        try:
            if request.served is Served.JOB and self.canceled:
                raise PWError(f"{request.what()}: called off before it began", code=request.canceled)
            reply: Answered | Refused = Answered(asked.id, HANDLERS[type(request)](self.context, request))
        except PWError as error:
            reply = Refused(asked.id, int(error.code), str(error))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            reply = Refused(asked.id, int(request.unknown), f"{request.what()}: {type(error).__name__}: {error}")
        if request.served is Served.JOB:
            self.working = False
        if request.served is not Served.READ and self.studio is not None:
            self.chore(self.studio.follow)
        if request.served is not Served.READ:
            self.send_snapshot()  # first, so that whoever gets the reply sees the world it speaks of
        try:
            self.replies.send(reply)
        except (TypeError, AttributeError, pickle.PicklingError) as error:  # nothing of it was sent
            traceback.print_exc()
            self.replies.send(Refused(asked.id, int(request.unknown), f"{request.what()}: its answer: {error}"))

    def serve(self) -> None:
        """Within a job: answer what only reads. Of a cancelled rollout someone may ask what it is about to leave."""
        if self.ended:
            raise EOFError
        while self.reads and not (self.stepping and self.canceled):
            self.answer(self.reads.popleft())

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
                    asked = self.reads.popleft()
                self.answer(asked)

        thread = threading.Thread(target=loop, name="serving", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._compiling = False
                self._changed.notify_all()
            thread.join()

    def event(self, event: Event) -> None:
        """Tell the job's owner."""
        self.replies.send(Told(self.job, event))

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off. Jobs run in the order of their ids, so an older one is off too."""
        return bool(self.job <= self.cancel.value)

    def send_snapshot(self) -> None:
        """The world as it is now."""
        with self._telling:  # so that no older one comes after a newer
            self.replies.send(snapshot(self.context))


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
        replies.send(Ready())
        session.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        replies.close()
