"""What takes long: one job at a time, off the server's threads, with a way to call it off."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from pw_core.errors import PWError

Work = Callable[[threading.Event], None]
"""Given an event that is set when it is called off: it then ends soon, and in order."""
Submit = Callable[[Callable[[], None]], None]
"""Runs something soon, elsewhere, after what was submitted before."""


class CalledOff(Exception):
    """Raised within a job where its progress is told, once it is called off."""


def on_a_thread(run: Callable[[], None]) -> None:
    """Runs it on a thread of its own."""
    threading.Thread(target=run, name="studio job", daemon=True).start()


class Jobs:
    """Runs one job; another is refused meanwhile.

    Args:
        told: called with a title and a text where something went wrong.
        heard: called with what runs, empty when it has ended, and the fraction that is done.
        submit: where they run.
    """

    def __init__(
        self, told: Callable[[str, str], None], heard: Callable[[str, float], None], *, submit: Submit = on_a_thread
    ) -> None:
        self._told, self._heard, self._submit = told, heard, submit
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._on: threading.Thread | None = None  # that it runs on; None: it waits for its turn
        self._closed = False
        self._what = ""
        self._idle = threading.Event()
        self._idle.set()

    def start(self, what: str, work: Work) -> bool:
        """Begin it; False, and that is told, where another runs; False after `close`."""
        with self._lock:
            if self._closed:
                return False
            if self._stop is not None:
                self._told("Busy", f"{self._what} is still running: wait, or call it off")
                return False
            stop = self._stop = threading.Event()
            self._what = what
            self._idle.clear()
        self._heard(what, 0.0)
        self._submit(lambda: self._run(what, work, stop))
        return True

    def progress(self, stage: str, fraction: float) -> None:
        """Tell how far the job is.

        Raises:
            CalledOff: where it was called off.
        """
        stop = self._stop
        if stop is not None and stop.is_set():
            raise CalledOff
        self._heard(f"{self._what}: {stage}" if stage else self._what, fraction)

    def call_off(self) -> None:
        """End what runs at its next step."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until nothing runs; False after `timeout_s` [s]."""
        return self._idle.wait(timeout_s)

    def close(self, timeout_s: float) -> str:
        """Begin no more, call off what runs, and wait for its end: at most so long [s]. What one that waits for its
        turn would have done is not done. What still runs then; empty: nothing."""
        with self._lock:
            self._closed = True
            on = self._on
            if self._stop is not None:
                self._stop.set()
                if on is None:
                    self._stop = None
                    self._idle.set()
        if on is not threading.current_thread():  # which would wait for itself
            self._idle.wait(timeout_s)
        with self._lock:
            return self._what if self._stop is not None else ""

    def _run(self, what: str, work: Work, stop: threading.Event) -> None:
        with self._lock:
            if self._stop is not stop:  # closed before its turn came
                return
            self._on = threading.current_thread()
        try:
            if not stop.is_set():
                work(stop)
        except CalledOff:
            pass
        except PWError as error:
            self._told(f"Error {int(error.code)}", str(error))
        except Exception as error:  # a bug in one job must not end the studio
            traceback.print_exc()
            self._told("Error", f"{what}: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._stop = self._on = None
            self._heard("", 0.0)
            self._idle.set()
