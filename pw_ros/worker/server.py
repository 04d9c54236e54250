"""The worker's side: the requests it answers, also between the frames of a running rollout and while kernels compile.
What it does for each is in `worker_operations`. No ROS here.

Messages up: ("ok", id, value), ("error", id, code, text), ("event", id, name, value), ("snapshot", Snapshot),
("note", code, text), ("ready",). Messages down: (id, operation, arguments).
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.operations import READS, Operations
from pw_ros.worker.protocol import WorkerOptions
from pw_ros.worker.shared_memory import Ring, Sender

Request = tuple[int, str, dict[str, Any]]
"""Id, operation, arguments."""


class Session:
    """Answers requests until its pipe closes."""

    def __init__(self, conn: Connection, replies: Sender, cancel: Any, options: WorkerOptions) -> None:
        self.conn, self.cancel = conn, cancel
        self.replies = replies
        self.reading: deque[Request] = deque()
        self.waiting: deque[Request] = deque()
        self.job = 0
        self.stepping = False
        self.operations = Operations(self, options)

        def note(code: int, text: str) -> None:
            replies.send(("note", code, text))

        self.operations.open_store(note)
        if options.scene:
            self.operations.open_scene(options.scene, note)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One request after the other."""
        while True:
            later = self.reading or self.waiting
            request = later.popleft() if later else self.conn.recv()
            if request is None:
                return
            self.answer(*request)

    def answer(self, request_id: int, operation: str, arguments: dict[str, Any]) -> None:
        """Do it and reply, with an error where it failed."""
        if operation not in READS:
            self.job = request_id
        try:
            value = getattr(self.operations, "do_" + operation)(**arguments)
        except PWError as error:
            self.replies.send(("error", request_id, int(error.code), str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            text = f"{operation}: {type(error).__name__}: {error}"
            self.replies.send(("error", request_id, int(_unknown(operation)), text))
        else:
            if operation not in READS:
                self.send_snapshot()  # first, so that whoever gets the reply sees the world it speaks of
            self.replies.send(("ok", request_id, value))
            return
        if operation not in READS:
            self.send_snapshot()

    def serve(self) -> None:
        """Within a job: answer what only reads, keep the rest for later."""
        while self.conn.poll():
            self._take(self.conn.recv())

    def _take(self, request: Request | None) -> None:
        if request is None:
            raise EOFError
        if request[1] not in READS:
            self.waiting.append(request)
        elif self.stepping and self.canceled:
            # A cancelled goal may be over for its client before its frames are kept here (interfaces/goals.py),
            # and the client may ask for them. A cancel is told before the goal ends, so such a request meets it here.
            self.reading.append(request)
        else:
            self.answer(*request)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """As `serve`, all the while, from a thread: for the minutes in which kernels compile. Drawing is safe there."""
        done = threading.Event()

        def loop() -> None:
            try:
                while not done.is_set():
                    if self.conn.poll(0.02):
                        self._take(self.conn.recv())
            except (EOFError, OSError):
                os._exit(0)  # the node is gone or wants us gone, and nothing ends a compile

        thread = threading.Thread(target=loop, name="serving", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
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
