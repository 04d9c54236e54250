"""A finished trajectory played on the prediction topics, in a thread of its own, on time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from pw_core.errors import PWError
from pw_ros.convert.geometry import time_after
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.topics.views import PredictedView, send
from pw_ros.worker.protocol import FrameData

CACHE_BYTES = 512 * 1024 * 1024
"""Of drawn pictures; a trajectory that needs more is drawn as it plays, and loses the frames that come too late."""

Drawn = dict[int, list[tuple[Any, Any]]]
"""By the number of the frame: messages of all watched views."""


class Playback:
    """Plays `rate` simulated seconds a second, once or over and over.

    Where a view is watched, its pictures are drawn first, since drawing one takes longer than showing one.
    """

    def __init__(
        self, node: NodeContext, frames: Sequence[FrameData], trajectory: str, *, rate: float, loop: bool,
        views: Callable[[], Sequence[PredictedView]],
    ) -> None:  # fmt: skip
        self.node, self.frames, self.trajectory, self.views = node, frames, trajectory, views
        self.rate, self.loop = rate, loop
        self._stop = threading.Event()
        self._drawn: Drawn = {}
        self._drawn_for: tuple[Any, ...] = ()
        threading.Thread(target=self._run, name="playback", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._draw()
                except PWError as error:  # the particles can be shown without pictures
                    self.node.get_logger().warning(f"playback of {self.trajectory}: {error}")
                    self._tell(len(self.frames))
                if not self._play() or not self.loop:
                    return
                self._stop.wait(self._pause())
        except Exception as error:  # its topics were destroyed under it: another scene, or the end of the node
            if not self._stop.is_set() and not self.node.closing:
                self.node.get_logger().error(f"playback of {self.trajectory}: {type(error).__name__}: {error}")

    def _pause(self) -> float:
        """[s] from the last frame to the first of the next pass: as between two frames; one alone must not spin."""
        times = [f.time_s for f in self.frames[-2:]]
        return (times[1] - times[0]) / self.rate if len(times) == 2 else 0.05

    def _draw(self) -> None:
        watched = [v for v in self.views() if v.watched]
        key = tuple((v, v.wanted) for v in watched)
        if key == self._drawn_for:
            return
        self._drawn, self._drawn_for = {}, key
        size = sum(v.camera.width * v.camera.height * (7 if v.depth.get_subscription_count() else 3) for v in watched)
        if not watched or size * len(self.frames) > CACHE_BYTES:
            return
        drawn: Drawn = {}
        asked: deque[tuple[int, PredictedView, Any]] = deque()
        for k, frame in enumerate(self.frames):
            for view in watched:
                asked.append((k, view, view.ask(trajectory=self.trajectory, time_s=frame.time_s)))
            self._collect(asked, drawn, keep=2 * len(watched))  # the worker draws while this thread converts
            self._tell(k)
        self._collect(asked, drawn, keep=0)
        self._tell(len(self.frames))
        self._drawn = drawn

    def _tell(self, done: int) -> None:
        if self.node.gate.running == "" and self.node.worker.state == "ready":
            drawing = done < len(self.frames)
            stage = f"drawing trajectory {self.trajectory}" if drawing else ""
            self.node.report(status="idle", stage=stage, fraction=done / len(self.frames) if drawing else None)

    def _collect(self, asked: deque[tuple[int, PredictedView, Any]], drawn: Drawn, *, keep: int) -> None:
        while len(asked) > keep and not self._stop.is_set():
            k, view, job = asked.popleft()
            drawn.setdefault(k, []).extend(view.messages(job.future.result()))

    def _play(self) -> bool:
        began, stamp = time.monotonic(), self.node.now()
        for k, frame in enumerate(self.frames):
            due = began + frame.time_s / self.rate
            after = self.frames[k + 1].time_s / self.rate + began if k + 1 < len(self.frames) else float("inf")
            if time.monotonic() > after:
                continue  # late: the next one is due
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return False
            request = {"trajectory": self.trajectory, "time_s": frame.time_s}
            self.node.topics.predict(frame, stamp, request, drawn=k in self._drawn)
            send(self._drawn.get(k, ()), time_after(stamp, frame.time_s))
        return not self._stop.is_set()
