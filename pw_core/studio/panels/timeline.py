"""The panel of time: the trajectory that led to the shown state, frame by frame or played."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from pw_core.studio.panels.fields import number
from pw_core.studio.room import Room


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """How a trajectory is played."""

    most_per_second: float = 20.0
    """Frames: more than are drawn are of no use."""
    told_s: float = 0.25
    """Between two movements [s] of the slider while it plays: each has the panel laid out anew."""
    paces: tuple[float, float] = (0.02, 1.0)
    """Simulated per second of the clock [s], at least and at most."""
    close_s: float = 5.0
    """In which what plays ends [s]: at its next frame."""
    seconds_per_second: float = 0.2
    """Simulated per second of the clock, at first: rollouts last tenths of a second, too short to be watched."""


class Timeline:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room, *, options: TimelineOptions = TimelineOptions()) -> None:
        self.room, self.options = room, options
        gui = room.server.gui
        self.frame: Any = gui.add_slider("frame", 0, 1, 1, 0)
        self.pace: Any = gui.add_slider("pace", *options.paces, 0.02, options.seconds_per_second,
                                        hint="Simulated seconds per second.")  # fmt: skip
        self.again: Any = gui.add_checkbox("again and again", False)
        self.play = gui.add_button("Play")
        self.time = gui.add_markdown("")
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._moving = False
        self._said_at = 0.0
        self.frame.on_update(lambda _: self._moved())
        self.play.on_click(lambda _: room.guarded(self.toggle))
        room.on_state.append(self.fill)
        room.on_frame.append(self._say)
        room.on_roll.append(self.stop)
        self.fill()

    def toggle(self) -> None:
        """Play from the start, or stop."""
        if self._stop is not None:
            self._stop.set()
            return
        if self.room.trajectory is None:
            self.room.tell("Nothing to play", "no trajectory led to this state: push something, or show another state")
            return
        self._stop = threading.Event()
        self.play.label = "Stop"
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="studio play", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what plays."""
        if self._stop is not None:
            self._stop.set()

    def fill(self) -> None:
        """Tell which trajectory there is."""
        way = self.room.trajectory
        count = len(way) if way is not None else 1
        self._moving = True
        try:
            self.frame.max, self.frame.disabled = max(count - 1, 1), count < 2
            self.frame.value = self.room.frame
        finally:
            self._moving = False
        self._say()

    def _moved(self) -> None:
        if not self._moving:
            self.room.guarded(self._scrub)

    def _scrub(self) -> None:
        index = int(number(self.frame, "frame", 0, self.frame.max))
        if index != self.room.frame:
            self.room.show_frame(index)
            self.room.still()

    def _say(self) -> None:
        way, now = self.room.trajectory, time.monotonic()
        soon = self._stop is not None and now - self._said_at < self.options.told_s
        if soon and way is not None and self.room.frame < len(way) - 1:
            return
        self._said_at = now
        index = min(self.room.frame, len(way) - 1) if way is not None else 0
        text = "no trajectory" if way is None else f"{way.times[index]:.3f} of {way.times[-1]:.3f} s{self._next()}"
        if self.time.content != text:
            self.time.content = text
        if self.frame.value != index:
            self._moving = True
            self.frame.value = index
            self._moving = False

    def _next(self) -> str:
        """Where what is done next begins, if that is not the shown state."""
        here = self.room.here
        if here.at_end:
            return ""
        if here.corrected and here.frame > 0:
            return "; a correction has no moments: what is done next needs its end or its beginning"
        return "; what is done next begins here"

    def _pace(self) -> float:
        (low, high), pace = self.options.paces, float(self.pace.value)
        return pace if low <= pace <= high else self.options.seconds_per_second

    def close(self) -> None:
        """End what plays, and wait for that."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.options.close_s)

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                way = self.room.trajectory
                if way is None:
                    return
                at, last, before = 0.0, float(way.times[-1]), time.monotonic()
                while not stop.is_set() and self.room.trajectory is way:
                    index = int((way.times <= min(at, last)).sum()) - 1
                    if index != self.room.frame:
                        self.room.show_frame(index)
                    if at >= last:
                        break
                    stop.wait(1 / self.options.most_per_second)
                    now = time.monotonic()
                    at, before = at + (now - before) * self._pace(), now
                if not self.again.value:
                    return
        finally:
            self._stop = None
            self.play.label = "Play"
            self._say()
            self.room.still()
