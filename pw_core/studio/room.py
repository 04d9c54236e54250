"""What the studio's panels share: the world, the browser's side, what is shown, and the job that runs."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pw_core.actions import Action
from pw_core.appearance import placed_positions
from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.gaussians import F32
from pw_core.progress import no_question
from pw_core.scene import PhysicsState, State, Trajectory
from pw_core.studio.jobs import Jobs, Submit, on_a_thread
from pw_core.studio.origins import Here, Origins
from pw_core.studio.shown import Film, Moment, Shown, Sight
from pw_core.world import World

if TYPE_CHECKING:
    import viser


@dataclass
class Told:
    """A sentence for all browsers."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RoomOptions:
    """What a room remembers."""

    told: int = 100
    """Sentences, the last ones: a studio may be open for weeks."""


class Room:
    """One scene of a world in browsers.

    Args:
        submit: where long work runs; see `Jobs`.
        check: asked before the head moves or a state goes.

    Raises:
        SceneError (NO_SCENE).
    """

    def __init__(self, world: World, server: viser.ViserServer, *, submit: Submit = on_a_thread,
                 check: Callable[[], None] = no_question, options: RoomOptions = RoomOptions()) -> None:  # fmt: skip
        if world.scene is None:
            raise SceneError("no scene is selected", code=ErrorCode.NO_SCENE)
        self.world, self.scene, self.server, self.check, self.options = world, world.scene, server, check, options
        self.jobs = Jobs(self.tell, self._heard, submit=submit)
        self.origins = Origins(world, self.scene)
        self.told: list[Told] = []
        self.state = world.state()
        self.trajectory: Trajectory | None = None
        self.frame = 0
        self.shown = Shown(Sight(self.end_of(self.state)))
        self.positions: F32 = placed_positions(self.scene, self.state.physics)
        self.on_state: list[Callable[[], None]] = []
        self.on_frame: list[Callable[[], None]] = []
        self.on_still: list[Callable[[], None]] = []
        self.on_roll: list[Callable[[], None]] = []
        self.on_tree: list[Callable[[], None]] = []
        self.on_job: list[Callable[[str, float], None]] = []
        self._lock = threading.RLock()
        self._changed = threading.Condition()  # of what follows
        self._doing = 0
        self._closed = False

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show_state(self, state_id: str, *, frame: int | None = None) -> None:
        """A state, and the trajectory that led to it; frame: of that trajectory, None: its end.

        Raises:
            SceneError (UNKNOWN_STATE).
        """
        with self._lock:
            state = self.world.state(state_id)
            self.state = state
            self.trajectory = self._way(state)
            way = self.trajectory
            count = len(way) if way is not None else 1
            self.frame = count - 1
            if way is not None:
                names = [_name(state, k) for k in range(count - 1)]
                self.shown.film = Film([*names, _name(state)], lambda k: self._moment(state, way, k))
            else:
                self.shown.film = None
            if frame is not None and frame < count - 1 and way is not None:
                self.show_frame(frame)
            else:
                self._place(self.end_of(state))
        for heard in self.on_state:
            heard()

    def _way(self, state: State) -> Trajectory | None:
        if not state.trajectory_id:
            return None
        try:
            return self.world.trajectory(state.trajectory_id)
        except PWError:  # a labelled state may have been kept without its way
            return None

    def show_frame(self, index: int) -> None:
        """A frame of the trajectory on the timeline."""
        with self._lock:
            way = self.trajectory
            if way is None:
                return
            self.frame = min(max(index, 0), len(way) - 1)
            self._place(self._moment(self.state, way, self.frame))

    def still(self) -> None:
        """What is shown stays: a frame was chosen, or what played has ended."""
        for heard in self.on_still:
            heard()

    @property
    def here(self) -> Here:
        """What is shown now, as a place to begin from."""
        with self._lock:
            return Here(self.state, self.trajectory, self.frame)

    def place(self, physics: PhysicsState) -> None:
        """Draw this from now on, with the looks of the state that is shown."""
        self._place(Moment(physics, self.state.appearance))

    def end_of(self, state: State) -> Moment:
        """A state as it is drawn."""
        return Moment(state.physics, state.appearance, _name(state))

    def _moment(self, state: State, way: Trajectory, index: int) -> Moment:
        """A frame of the way to a state."""
        if index == len(way) - 1:
            return self.end_of(state)
        return Moment(self.world.physics_at(way, float(way.times[index])), state.appearance, _name(state, index))

    def _place(self, moment: Moment) -> None:
        with self._lock:
            self.positions = placed_positions(self.scene, moment.physics)
            self.shown.show(moment=moment)
        for heard in self.on_frame:
            heard()

    # --- what is done -------------------------------------------------------------------------------------------------

    def roll(
        self, actions: Sequence[Action], seconds: float, *, here: Here, stop: threading.Event, what: str = ""
    ) -> State:
        """Within a job: what happens from there on; plays as it is computed. Called off, what there is by then is a
        state too."""
        for heard in self.on_roll:
            heard()
        start = self.origins.of(here, progress=self.jobs.progress)
        running = self.world.rollout(list(actions), seconds, start=start.id, progress=self.jobs.progress)
        for frame in running:
            self.place(frame.physics)
            self._heard(what, frame.fraction)
            if stop.is_set():
                running.close()
                break
        end = running.end
        self.changed()
        self.show_state(end.id)
        return end

    def changed(self) -> None:
        """The tree of states is another."""
        for heard in self.on_tree:
            heard()

    # --- what is said -------------------------------------------------------------------------------------------------

    def tell(self, title: str, text: str) -> None:
        """Say it in every browser."""
        self.told.append(Told(title, text))
        del self.told[: -self.options.told]
        for client in self.server.get_clients().values():
            client.add_notification(title, text, auto_close_seconds=12.0)

    def guarded(self, do: Callable[[], object]) -> None:
        """Do something short; what goes wrong is told. Nothing after `close`."""
        with self._changed:
            if self._closed:
                return
            self._doing += 1
        try:
            do()
        except PWError as error:
            self.tell(f"Error {int(error.code)}", str(error))
        except Exception as error:  # a bug behind one button must not end the others
            traceback.print_exc()
            self.tell("Error", f"{type(error).__name__}: {error}")
        finally:
            with self._changed:
                self._doing -= 1
                self._changed.notify_all()

    def close(self, timeout_s: float) -> str:
        """Do nothing more: wait for what is being done, and call off what runs, for so long [s] each. What does not
        end; empty: nothing."""
        with self._changed:
            self._closed = True
        left = self.jobs.close(timeout_s)
        with self._changed:
            ended = self._changed.wait_for(lambda: self._doing == 0, timeout_s)
        return left or ("" if ended else "what a button does")

    def _heard(self, what: str, fraction: float) -> None:
        for heard in self.on_job:
            heard(what, fraction)


def _name(state: State, frame: int | None = None) -> str:
    """Of an instant: a frame of the way to a state, or its end."""
    return f"{state.id}:{'end' if frame is None else frame}"
