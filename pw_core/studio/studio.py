"""The studio: its server, its panels, and what they are told of changes from elsewhere."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.progress import no_question
from pw_core.studio.gate import Gate
from pw_core.studio.jobs import Submit, on_a_thread
from pw_core.studio.painting import Painter
from pw_core.studio.panels.acting import ActingPanel
from pw_core.studio.panels.looks import LooksPanel, field_of_view
from pw_core.studio.panels.plans import PlansPanel
from pw_core.studio.panels.refining import RefiningPanel
from pw_core.studio.panels.stages import StagesPanel
from pw_core.studio.panels.states import StatesPanel
from pw_core.studio.panels.timeline import Timeline
from pw_core.studio.pictures import Pictures
from pw_core.studio.room import Room
from pw_core.world import World

if TYPE_CHECKING:
    import viser

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class StudioOptions:
    """What the page looks like, and how often it hears of what runs."""

    light: float = 1.8
    """Of what is drawn over the pictures: three.js maps tones, more is pale and less is brown."""
    told_s: float = 0.2
    """Between two tellings [s] of how far a job is: each has the panel laid out anew."""
    close_s: float = 20.0
    """In which a job that is called off should have ended [s]: it is asked between two frames, and kernels that are
    being compiled are not asked at all."""


class Studio:
    """Serves until `close`. What a browser's buttons do can be called too: see the panels.

    Args:
        world: with a scene selected. Others may read it, and change states, meanwhile; what takes long is the studio's,
            or goes through `submit`.
        host: to bind to. One that others can reach asks for a token, which is in `address`.
        port: 0: a free one.
        token: what is asked for; empty: none on this machine, a new one elsewhere.
        submit: where what takes long runs; by default on a thread.
        check: asked before the head moves or a state goes; what it raises is told.

    Raises:
        SceneError: NO_SCENE; STORE_FAILED where viser is not installed or the port cannot be listened on.
    """

    def __init__(
        self, world: World, *, host: str = HOST, port: int = 8080, token: str = "",
        submit: Submit = on_a_thread, check: Callable[[], None] = no_question, options: StudioOptions = StudioOptions(),
    ) -> None:  # fmt: skip
        if world.scene is None:
            raise SceneError("no scene is selected", code=ErrorCode.NO_SCENE)
        self.world, self.options = world, options
        self.server = _start_viser(f"PerpetualWonder: {world.scene.id}")
        try:
            self.gate = Gate(host, port, self.server.get_port(), token=token)
        except SceneError:
            self.server.stop()
            raise
        self.room = Room(world, self.server, submit=submit, check=check)
        self._ids: tuple[str, ...] = ()
        self._gone = self._closed = False
        self._told = ("", 0.0)
        self._light()
        self._build()
        self.pictures = Pictures(
            self.server, self.room.shown, Painter(self.room.scene, device=world.device), between=self._look,
            idle=self._idle, tell=self.room.tell,
        )  # fmt: skip
        self.server.on_client_connect(self._came)
        self.room.show_state(world.head)
        self.room.jobs.start("getting ready", lambda _: self._warm())

    @property
    def address(self) -> str:
        """For the browser; holds the token where there is one."""
        return self.gate.address

    def close(self) -> str:
        """End it: nobody comes in, and what runs is called off and waited for, so that nothing computes or writes
        afterwards. What still runs after `StudioOptions.close_s`, in words; empty: nothing."""
        if self._closed:
            return ""
        self._closed = True
        self.gate.close()
        left = self.room.close(self.options.close_s)
        self.timeline.close()
        self.pictures.close()
        with redirect_stdout(io.StringIO()):
            self.server.stop()
        return left

    def _build(self) -> None:
        gui, room = self.server.gui, self.room
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="medium")
        self.job = gui.add_markdown("", visible=False)
        self.done: Any = gui.add_progress_bar(0.0, visible=False)  # Any: read-only to mypy
        self.off = gui.add_button("Call off", visible=False, color="orange")
        self.off.on_click(lambda _: room.jobs.call_off())
        room.on_job.append(self._tell_job)
        with gui.add_folder("Time"):
            self.timeline = Timeline(room)
        tabs = gui.add_tab_group()
        with tabs.add_tab("States"):
            self.states = StatesPanel(room)
        with tabs.add_tab("Act"):
            self.acting = ActingPanel(room)
        with tabs.add_tab("Plan"):
            self.plans = PlansPanel(room)
        with tabs.add_tab("Refine"):
            self.refining = RefiningPanel(room, device=self.world.device)
        with tabs.add_tab("Looks"):
            self.looks = LooksPanel(room)
            with gui.add_folder("How it was made", expand_by_default=False):
                self.stages = StagesPanel(room)
        first = room.scene.cameras[0]
        camera = self.server.initial_camera
        camera.position, camera.look_at = tuple(first.centre), tuple(self.looks.pivot(first))
        camera.fov = field_of_view(first)

    def _light(self) -> None:
        """For what is drawn over the pictures. viser's own lights throw shadows and mirror a hall: without a GPU such a
        frame takes a second, and an even light a fifteenth of that."""
        scene = self.server.scene
        scene.configure_default_lights(False, False)
        scene.configure_environment_map(None)
        scene.add_light_ambient("/light", intensity=self.options.light)

    def _idle(self) -> bool:
        """Whether nobody waits for this machine."""
        try:
            self.room.check()
        except PWError:
            return False
        return self.room.jobs.wait(0.0)

    def _came(self, client: viser.ClientHandle) -> None:
        client.camera.on_update(lambda _: self.pictures.camera_moved())
        self.pictures.camera_moved()

    def _warm(self) -> None:
        """Build the simulation, so that the first push need not wait for it."""
        running = self.world.rollout(
            [], self.room.scene.config.frame_interval_s, start=self.room.state.id, progress=self.room.jobs.progress
        )
        try:
            next(running)
        finally:
            running.discard()

    def _tell_job(self, what: str, fraction: float) -> None:
        before, at = self._told
        now = time.monotonic()
        if what and what == before and now - at < self.options.told_s:
            return
        self._told = (what, now)
        self.job.visible = self.done.visible = self.off.visible = bool(what)
        if what:
            self.job.content, self.done.value = f"**{what}**", 100 * min(max(fraction, 0.0), 1.0)

    def _look(self) -> None:
        """What others have changed: states, the scene, the store."""
        room = self.room
        if not self._gone and not (self.world.store.folder(room.scene.id) / "scene.yaml").is_file():
            self._gone = True
            room.tell("Deleted", f"scene '{room.scene.id}' is no longer in the store: what is shown is all there is")
        if not self._gone and self.world.scene is not room.scene:
            self._gone = True
            room.tell("Another scene", f"the world has gone on to scene '{getattr(self.world.scene, 'id', 'none')}': "
                      "start the studio again to see it")  # fmt: skip
        if self._gone:
            return
        ids = (self.world.head, *(s.id for s in self.world.states()))
        if ids != self._ids:
            self._ids = ids
            try:
                self.world.state(room.state.id)
            except PWError as error:
                room.tell("Gone", str(error))
                room.show_state(self.world.head)
            room.changed()


def _start_viser(label: str) -> viser.ViserServer:
    """On a free port of this machine.

    Raises:
        SceneError (STORE_FAILED): it is not installed.
    """
    try:
        import viser
    except ModuleNotFoundError:
        raise SceneError(
            "the studio needs the package viser: pip install 'viser', or perpetual-wonder[views]",
            code=ErrorCode.STORE_FAILED,
        ) from None

    class Untunnelled(viser.ViserServer):
        """Anyone who is let in could otherwise have the scene shown to the world through viser's tunnel."""

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    with redirect_stdout(io.StringIO()):  # it prints its own address, which is not the studio's
        return Untunnelled(HOST, port, label=label, verbose=False)
