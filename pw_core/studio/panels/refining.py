"""The panel of refinement: towards films, or towards what another state looks like, watched while it runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pw_core.appearance import Appearance
from pw_core.errors import ErrorCode, RefineError
from pw_core.limits import shortened
from pw_core.scene import Trajectory
from pw_core.studio.jobs import CalledOff
from pw_core.studio.panels.fields import SHOWN_CHARS, number
from pw_core.studio.room import Room

if TYPE_CHECKING:
    from pw_core.refine.run import Refining
    from pw_core.refine.targets.observed import CameraFilm
    from pw_core.refine.types import RefineStep


@dataclass(frozen=True, kw_only=True)
class RefiningOptions:
    """What is shown while it runs, and how often."""

    width_px: int = 320
    """Of the pictures of target, render and difference."""
    most_iterations: int = 2000
    """That can be asked for: ten times the usual."""
    every_s: float = 1.0
    """Between two of them [s]: each takes the refinement's core for 30 ms."""
    difference_gain: float = 3.0
    """By which differences are made brighter."""
    most_frames: int = 9
    """Of a film that another state's trajectory is made into: a refinement looks at about as many."""


class RefiningPanel:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room, *, device: str = "cpu", options: RefiningOptions = RefiningOptions()) -> None:
        self.room, self.options, self.device = room, options, device
        gui = room.server.gui
        gui.add_markdown("Corrects the trajectory that led to the shown state.")
        self.films: Any = gui.add_text("films in", "", hint="A folder with a film of each camera.")
        self.towards: Any = gui.add_dropdown("or towards", ["-"], initial_value="-",
                                             hint="What this state's trajectory looks like.")  # fmt: skip
        self.iterations: Any = gui.add_number("iterations", 0, min=0, max=options.most_iterations, step=1,
                                               hint="0: as the scene says.")  # fmt: skip
        go = gui.add_button("Refine")
        black = np.zeros((options.width_px * 9 // 16, options.width_px, 3), np.uint8)
        self.pictures = {name: gui.add_image(black, label=name, format="jpeg", visible=False)
                         for name in ("target", "render", "difference")}  # fmt: skip
        self.told = gui.add_markdown("")
        go.on_click(lambda _: room.guarded(self.refine))
        room.on_tree.append(self.fill)
        self.fill()

    def fill(self) -> None:
        """Tell which states there are."""
        before, ids = self.towards.value, [s.id for s in self.room.world.states() if s.trajectory_id]
        self.towards.options = ["-", *ids]
        self.towards.value = before if before in ids else "-"

    def refine(self) -> None:
        """Begin; the corrected state is shown at its end.

        Raises:
            RefineError: there is nothing to correct, or nothing to correct it by.
        """
        from pw_core.refine.targets.registry import load_provider

        way = self.room.trajectory
        if way is None:
            raise RefineError("no trajectory led to the shown state: push something first, or show another state",
                              code=ErrorCode.INVALID_TARGET)  # fmt: skip
        iterations = int(number(self.iterations, "iterations", 0, self.options.most_iterations))
        config = self.room.scene.config.refine.model_copy(update={"provider": "observed", "settings": {}})
        if iterations:
            config = config.model_copy(update={"iterations": iterations})

        def work(stop: threading.Event) -> None:
            try:
                correct(stop)
            except CalledOff:
                self.told.content = "called off: nothing is changed"

        def correct(stop: threading.Event) -> None:
            films, origin = self._films(way)
            provider = load_provider("observed", films=films, time_origin=origin)
            progress = self.room.jobs.progress
            running = self.room.world.refine(provider, trajectory=way.id, config=config, progress=progress)
            try:
                self._follow(running, films[0], origin)
            finally:
                running.close()
            figures = running.figures
            self.told.content = (
                f"PSNR {figures['psnr_before']:.1f} → {figures['psnr_after']:.1f} dB, moved by "
                f"{figures['moved_mean_m'] * 1e3:.2f} mm in the mean"
            )
            self.room.changed()
            self.room.show_state(running.state.id)

        self.room.jobs.start("refine", work)

    def _films(self, way: Trajectory) -> tuple[list[CameraFilm], float]:
        """The films, and the stamp [s] of their t = 0."""
        if self.films.value.strip():
            from pw_core.loop.films import read_films

            return read_films(_folder(self.films.value.strip()))
        if self.towards.value == "-":
            raise RefineError("name a folder of films, or a state whose looks to go towards",
                              code=ErrorCode.INVALID_TARGET)  # fmt: skip
        return [self._film_of(self.towards.value, way)], 0.0

    def _film_of(self, state_id: str, way: Trajectory) -> CameraFilm:
        """What the first camera sees of the way to a state, at times of the trajectory that is corrected."""
        from pw_core.refine.targets.observed import CameraFilm

        world, camera = self.room.world, self.room.scene.cameras[0]
        state = world.state(state_id)
        other = world.trajectory(state.trajectory_id)
        picked = np.unique(np.linspace(0, len(way) - 1, min(len(way), self.options.most_frames)).round().astype(int))
        times = way.times[picked]
        times = times[times <= other.times[-1] + 1e-9]
        painter = Appearance(self.room.scene, device=self.device)
        frames = []
        for k, t in enumerate(times):
            self.room.jobs.progress("drawing what it goes towards", k / len(times))
            frames.append(painter.render(camera, world.physics_at(other, float(t)), appearance=state.appearance).rgb)
        return CameraFilm(camera.name, times, np.stack(frames))

    def _follow(self, running: Refining, film: CameraFilm, origin: float) -> None:
        import time

        painter, told = Appearance(self.room.scene, device=self.device), 0.0
        for step in running:
            self.room.jobs.progress(step.stage, step.fraction)
            if time.monotonic() - told > self.options.every_s:
                self._picture(running, film, origin, painter, step)
                told = time.monotonic()

    def _picture(
        self, running: Refining, film: CameraFilm, origin: float, painter: Appearance, step: RefineStep
    ) -> None:
        """Target, render and difference of the last frame."""
        import cv2

        instant = running.instant()
        camera = self.room.scene.cameras[0] if isinstance(film.camera, str) else film.camera
        known = {c.name: c for c in self.room.scene.cameras}
        camera = known.get(film.name, camera)
        small = camera.resized(self.options.width_px, max(2, self.options.width_px * camera.height // camera.width))
        render = painter.render(small, instant.physics, appearance=instant.appearance).rgb
        nearest = int(np.abs(film.stamps - origin - instant.time_s).argmin())
        frame = film.frames[nearest]
        frame = frame if frame.dtype == np.uint8 else (frame * 255).round().astype(np.uint8)
        target = cv2.resize(frame, (small.width, small.height), interpolation=cv2.INTER_AREA)
        apart = np.abs(target.astype(np.float32) - render).max(-1, keepdims=True) * self.options.difference_gain
        difference: NDArray[np.uint8] = np.repeat(apart.clip(0, 255).astype(np.uint8), 3, 2)
        for name, picture in (("target", target), ("render", render), ("difference", difference)):
            self.pictures[name].image = picture
            self.pictures[name].visible = True
        figures = "" if np.isnan(step.loss) else f", loss {step.loss:.4f}"
        figures += "" if np.isnan(step.psnr) else f", {step.psnr:.1f} dB"
        left = f", {step.eta_s:.0f} s left" if step.eta_s >= 0 else ""
        self.told.content = f"{step.stage}{figures}{left}"


def _folder(typed: str) -> Path:
    """The folder that was typed.

    Raises:
        RefineError (INVALID_TARGET): no path, or none that this machine can follow.
    """
    try:
        folder = Path(typed).expanduser()
        folder.stat()
        next(iter(folder.iterdir()), None)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        text = f"films in: {shortened(typed, SHOWN_CHARS)}: {why}; name a folder of films"
        raise RefineError(text, code=ErrorCode.INVALID_TARGET) from None
    return folder
