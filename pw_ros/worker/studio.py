"""The studio within the worker: it shows what the node holds, and what it does runs where the node's goals run, between
them, so that there is one writer. No ROS here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.protocol import Noted

if TYPE_CHECKING:
    from pw_core.scene import Scene
    from pw_core.studio import Studio
    from pw_core.world import World


class NodeStudio:
    """Follows the selection of scenes: one page for whichever there is.

    Args:
        submit: runs something on the worker's main thread once no goal waits.
        busy: whether a goal runs or waits.
        serve: answers what came in meanwhile and only reads; asked between frames, on the main thread.
        changed: called when the studio has changed a state.
    """

    def __init__(
        self, world: World, port: int, *, submit: Callable[[Callable[[], None]], None], busy: Callable[[], bool],
        serve: Callable[[], None], changed: Callable[[], None], note: Callable[[Noted], None],
    ) -> None:  # fmt: skip
        self._world, self._port = world, port
        self._submit, self._busy, self._serve, self._changed, self._note = submit, busy, serve, changed, note
        self._made: Studio | None = None
        self._of: Scene | None = None

    def follow(self) -> None:
        """Show the scene that is selected now; on the main thread."""
        scene = self._world.scene
        if scene is self._of:
            return
        self.close()
        self._of = scene
        if scene is None:
            return
        from pw_core.studio import Studio

        try:
            self._made = Studio(self._world, port=self._port, submit=self._submit, check=self._check)
        except PWError as error:
            self._note(Noted(int(error.code), f"studio: {error}"))
            return
        self._made.room.on_tree.append(self._changed)
        self._made.room.on_frame.append(self._between)
        self._note(Noted(0, f"studio: {self._made.address}"))

    def give_way(self) -> None:
        """A goal has come: what the studio does ends at its next frame."""
        if self._made is not None:
            self._made.room.jobs.call_off()

    def close(self) -> None:
        """End it."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def _between(self) -> None:
        from pw_core.studio.jobs import CalledOff

        if threading.current_thread() is threading.main_thread():
            try:
                self._serve()
            except EOFError:  # the node is gone, which the main thread sees once the job has ended
                raise CalledOff from None

    def _check(self) -> None:
        if self._busy():
            raise PWError("a goal of the node runs: wait for its end, or cancel it", code=ErrorCode.BUSY)
