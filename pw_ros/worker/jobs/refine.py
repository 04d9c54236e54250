"""A refinement as the worker runs it: the goal's settings and films in, steps out as events. No ROS here."""

from __future__ import annotations

from contextlib import nullcontext

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import Camera
from pw_ros.worker.context import Context
from pw_ros.worker.inputs import Allowed, opened
from pw_ros.worker.protocol import Picture, Progressed
from pw_ros.worker.requests import Refined, RefineRequest


def refine(context: Context, request: RefineRequest) -> Refined:
    """See RefineRequest."""
    world = context.world
    with world.lock:
        found = world.trajectory(request.trajectory)
        context.used = frozenset([found.start, found.end])
    try:
        correcting = Correcting(context, request, trajectory=found.id)
        context.correcting = correcting.picture
        return correcting.run()
    finally:
        context.correcting, context.used = None, frozenset()


class Correcting:
    """One goal.

    Raises:
        PWError: settings, targets or a trajectory that cannot be; nothing is changed.
    """

    def __init__(self, context: Context, request: RefineRequest, *, trajectory: str) -> None:
        from pw_core.loop.films import read_films
        from pw_core.loop.providers import changed, make_provider
        from pw_core.refine.targets.observed import CameraFilm

        world = context.world
        self.context, self.request, self._told = context, request, ""
        assert world.scene is not None  # `trajectory` is of it
        own_provider = {"provider": request.provider} if request.provider else {}
        config = changed(world.scene.config.refine, {**request.changes, **own_provider})
        unasked = not request.provider and config.provider != "observed"  # the last recording, which nobody named
        seen = [] if unasked else [CameraFilm(*film) for film in request.films]
        origin = request.time_origin or 0.0
        if request.frames_uri:
            allowed = Allowed(context.input_roots, "frames_uri", ErrorCode.INVALID_TARGET)
            with opened(request.frames_uri, allowed) as folder:
                seen, own = read_films(folder, known=world.scene.cameras)
            origin = own if request.time_origin is None else request.time_origin
        made = make_provider(config, films=seen, time_origin=origin)
        self._running = world.refine(
            made, trajectory=trajectory, cameras=() if seen else request.cameras, config=config,
            keep_best=request.keep_best, progress=self._progress,
        )  # fmt: skip

    def _progress(self, stage: str, fraction: float) -> None:
        desk = self.context.desk
        if stage != self._told:  # it is also asked whether to go on, many times a second
            self._told = stage
            desk.event(Progressed(stage, fraction))
        desk.serve()
        if desk.canceled and not self.request.keep_best:
            raise RefineError("canceled", code=ErrorCode.CANCELED)

    def picture(self, camera: Camera | str) -> Picture:
        """What a camera sees of the end of the trajectory as corrected so far."""
        now = self._running.instant()
        view = self.context.world.render(camera, physics=now.physics, appearance=now.appearance)
        return Picture(view.rgb, None, now.time_s)

    def run(self) -> Refined:
        """Steps go up as events; figures and estimates come back."""
        running, context, request = self._running, self.context, self.request
        canceled = self._iterate()
        try:
            state = running.state
        except RefineError:  # called off before there was anything to keep
            return Refined(canceled=canceled)
        committed = False
        if context.desk.canceled and not canceled and not request.keep_best:
            context.world.delete(state.id)  # too late to stop it, but nobody will know of it
            return Refined(canceled=True)
        if request.commit and not canceled:  # last, so that a cancel until then leaves the head alone
            committed = context.commit_unless_canceled(state.id)
        return Refined(
            state.id, canceled, committed, state.parent, state.figures, dict(state.parameters),
            tuple(running.estimates),
        )  # fmt: skip

    def _iterate(self) -> bool:
        """To the end; whether it was called off."""
        running, desk = self._running, self.context.desk
        canceled, stage, desk.stepping = False, "", True
        try:
            while True:
                # Kernels may compile when the state is written back, and the world is to answer meanwhile.
                with desk.serving() if stage == "write-back" else nullcontext():
                    step = next(running, None)
                if step is None:
                    break
                stage = self._told = step.stage
                desk.event(step)
                desk.serve()
                if desk.canceled:
                    canceled = True
                    break
            running.close()
        finally:
            desk.stepping = False
        return canceled
