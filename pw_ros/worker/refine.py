"""A refinement as the worker runs it: the goal's settings and films in, steps out as events. No ROS here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pw_core.errors import ErrorCode, PWError, RefineError
from pw_core.gaussians import Camera
from pw_ros.worker.inputs import Allowed, opened
from pw_ros.worker.protocol import Picture

if TYPE_CHECKING:
    from pw_ros.worker.operations import Desk


class Correcting:
    """One goal.

    Args:
        provider: its name; empty: as configured, and `films` are then only for the provider `observed`.
        trajectory: its id; empty: the last committed.
        cameras: the views, for providers that make frames; films have their own.
        films: arguments of the CameraFilms of the provider `observed`.
        frames_uri: or where films lie on disk, below `input_roots`, as `pw_core.loop.films` reads them.
        time_origin: stamp [s] of t = 0 on the clock of `films`; of those in a folder, None: as it says itself.
        changes: fields of RefineConfig in place of the scene's.
        keep_best: a cancelled goal leaves the best so far as an uncommitted state.

    Raises:
        PWError: settings, targets or a trajectory that cannot be; nothing is changed.
    """

    def __init__(
        self, desk: Desk, world: Any, *, provider: str, trajectory: str, cameras: Sequence[Camera],
        films: Sequence[dict[str, Any]], changes: dict[str, Any], frames_uri: str = "",
        input_roots: Sequence[str] = (), time_origin: float | None = None,
        keep_best: bool = False,
    ) -> None:  # fmt: skip
        from pw_core.loop.films import read_films
        from pw_core.loop.providers import changed, make_provider
        from pw_core.refine.targets.observed import CameraFilm

        if world.scene is None:
            raise PWError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        self.desk, self.world, self.keep_best = desk, world, keep_best
        config = changed(world.scene.config.refine, {**changes, **({"provider": provider} if provider else {})})
        unasked = not provider and config.provider != "observed"  # the last recording, which nobody named
        seen, origin = [] if unasked else [CameraFilm(**f) for f in films], time_origin or 0.0
        if frames_uri:
            with opened(frames_uri, Allowed(input_roots, "frames_uri", ErrorCode.INVALID_TARGET)) as folder:
                seen, own = read_films(folder)
            origin = own if time_origin is None else time_origin
        made = make_provider(config, films=seen, time_origin=origin)
        self._running = world.refine(
            made, trajectory=trajectory, cameras=() if seen else cameras, config=config, keep_best=keep_best,
            progress=self._progress,
        )  # fmt: skip

    def _progress(self, what: str, fraction: float) -> None:
        self.desk.event("progress", (what, fraction))
        self.desk.serve()
        if self.desk.canceled and not self.keep_best:
            raise RefineError("canceled", code=ErrorCode.CANCELED)

    def picture(self, camera: Camera | str) -> Picture:
        """What a camera sees of the end of the trajectory as corrected so far."""
        now = self._running.instant()
        return Picture(self.world.render(camera, physics=now.physics, appearance=now.appearance).rgb, None, now.time_s)

    def run(self, commit: Callable[[str], bool] | None) -> dict[str, Any]:
        """Steps go up as events; the result holds the corrected state's id (empty: nothing kept), figures and
        estimates. `commit` makes it the head and says whether it did."""
        running, desk = self._running, self.desk
        canceled, stage, desk.stepping = False, "", True
        try:
            while True:
                # Kernels may compile when the state is written back, and the world is to answer meanwhile.
                with desk.serving() if stage == "write-back" else nullcontext():
                    step = next(running, None)
                if step is None:
                    break
                stage = step.stage
                desk.event("step", step)
                desk.serve()
                if desk.canceled:
                    canceled = True
                    break
            running.close()
        finally:
            desk.stepping = False
        done: dict[str, Any] = {"state_id": "", "canceled": canceled, "committed": False}
        try:
            state = running.state
        except RefineError:  # called off before there was anything to keep
            return done
        if desk.canceled and not canceled and not self.keep_best:  # too late to stop it, but nobody will know of it
            self.world.delete(state.id)
            return {**done, "canceled": True}
        if commit is not None and not canceled:  # last, so that a cancel until then leaves the head alone
            done["committed"] = commit(state.id)
        return {
            **done, "state_id": state.id, "parent": state.parent, "figures": state.figures,
            "parameters": dict(state.parameters), "estimates": running.estimates,
        }  # fmt: skip
