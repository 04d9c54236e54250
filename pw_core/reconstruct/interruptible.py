"""Long work that is called off at once, whatever it is doing: it goes on behind, and what it makes is dropped.

Stages of a reconstruction spend up to a minute in one call of a library that nobody can interrupt. So the work has a
thread of its own, and whoever waits for it asks its callback all the while.
"""

from __future__ import annotations

import atexit
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pw_core.progress import Progress

T = TypeVar("T")

_one_at_a_time = threading.Lock()
_NAME = "interruptible"
"""Of the thread that works."""


@dataclass(eq=False)
class _Work(Generic[T]):
    """What goes on in the thread, and its talk with who waits."""

    said: queue.SimpleQueue[tuple[str, float] | None] = field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[BaseException | None] = field(default_factory=queue.SimpleQueue)
    off: BaseException | None = None
    made: Future[T] = field(default_factory=Future)

    def progress(self, stage: str, fraction: float) -> None:
        """What the work tells: it waits for the answer, so that what the callback raises comes up just there."""
        if self.off is None:
            self.said.put((stage, fraction))
            answer = self.answers.get()
            if answer is None:
                return
            self.off = answer
        raise self.off

    def run(self, work: Callable[[Progress], T]) -> None:
        try:
            self.made.set_result(work(self.progress))
        except BaseException as error:
            self.made.set_exception(error)
        finally:
            _one_at_a_time.release()
            self.said.put(None)


def interruptible(work: Callable[[Progress], T], progress: Progress, *, every_s: float = 0.05) -> T:
    """`work(progress)`, from a thread of its own; `progress` is called from this one, with all that the work tells and,
    where it tells nothing, every 50 ms again with what it told last.

    What `progress` raises ends it. Where the work was asking itself, it comes up there and this returns when the work
    has put away what it had; in between it is raised here at once, and the work ends when it next asks.

    Args:
        every_s: [s] between two questions: half of what a cancel may take.

    One such work runs at a time in a process: the next begins when the one before, called off or not, has ended. Work
    that is part of other such work runs within it.
    """
    if threading.current_thread().name == _NAME:  # part of such work already
        return work(progress)
    last = ("waiting for another reconstruction to end", 0.0)
    while not _one_at_a_time.acquire(timeout=every_s):
        progress(*last)
    going: _Work[T] = _Work()
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(going.run, work), name=_NAME, daemon=True)
    try:
        thread.start()
    except BaseException:
        _one_at_a_time.release()
        raise
    last, asking = ("", 0.0), True
    try:
        while True:
            try:
                told = going.said.get(timeout=every_s)
            except queue.Empty:
                if last[0] and asking:
                    progress(*last)
                continue
            if told is None:
                break
            last = told
            try:
                progress(*told)
            except BaseException as error:
                asking = False  # it comes up in the work: wait until that has put away what it had
                going.answers.put(error)
            else:
                going.answers.put(None)
        thread.join()
    except BaseException as error:  # in between, or Ctrl-C at any time
        going.off = error
        going.answers.put(error)  # it may have begun to ask just now
        atexit.register(thread.join, 10.0)  # or a program that it has started would outlive this one
        raise
    return going.made.result()
