"""A scene in the browser: its Gaussians, its tree of states, what-ifs that play as they are computed.

A first version: bound to this machine alone, since viser asks nobody who they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pw_core.actions import parse_action
from pw_core.appearance import placed_positions
from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.export.content import Content, opacities_of
from pw_core.gaussians import Gaussians
from pw_core.scene import PhysicsState, State, Trajectory
from pw_core.world import World

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class StudioOptions:
    """What is shown, and how fast."""

    pictures_per_second: float = 25.0
    """While a trajectory plays; the browser draws at its own rate."""
    act_seconds: float = 0.4
    """Of a what-if at first."""
    act_magnitude: float = 5.0
    """Of a push or poke [N], of a wind [m/s²], at first."""
    lens_scale: float = 0.1
    """Length of the cameras' frustums [m]."""


class Studio:
    """Serves until `close`. What a browser's buttons do can be called too: `show_state`, `show_frame`, `what_if`,
    `commit`.

    Args:
        world: with a scene selected; nothing else may change it meanwhile.
        port: on this machine.

    Raises:
        SceneError: NO_SCENE; STORE_FAILED where viser is not installed.
    """

    def __init__(self, world: World, *, port: int = 8080, options: StudioOptions = StudioOptions()) -> None:
        try:
            import viser
        except ModuleNotFoundError:
            raise SceneError(
                "the studio needs the package viser: pip install 'viser', or perpetual-wonder[views]",
                code=ErrorCode.STORE_FAILED,
            ) from None
        if world.scene is None:
            raise SceneError("no scene is selected", code=ErrorCode.NO_SCENE)
        self.world, self.scene, self.options = world, world.scene, options
        self._busy = threading.Lock()
        self._playing: Trajectory | None = None
        self.server = viser.ViserServer(HOST, port, label=f"PerpetualWonder: {self.scene.id}", verbose=False)
        self._draw()
        self._controls()
        self.show_state(world.head)

    @property
    def address(self) -> str:
        """For the browser."""
        return f"http://{HOST}:{self.server.get_port()}"

    def close(self) -> None:
        """End it."""
        self.server.stop()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show_state(self, state_id: str) -> None:
        """A state, and the trajectory that led to it on the timeline."""
        state = self.world.state(state_id)
        self._content = Content.of_state(self.scene, state)
        self._playing = self.world.trajectory(state.trajectory_id) if state.trajectory_id else None
        self._shown = state
        count = len(self._playing) if self._playing else 1
        self.timeline.max, self.timeline.disabled = max(count - 1, 1), count < 2
        self.timeline.value = count - 1
        self._place(state.physics)
        self.told.content = self._tree()

    def show_frame(self, index: int) -> None:
        """A frame of the trajectory on the timeline."""
        if self._playing is None:
            return
        at = float(self._playing.times[min(index, len(self._playing) - 1)])
        self._place(self.world.physics_at(self._playing, at))

    def what_if(self) -> State:
        """Roll out the action that the controls describe from the state that is shown; it plays as it is computed."""
        kind = self.kind.value
        fields: dict[str, Any] = {"type": kind, "duration": float(self.seconds.value) / 2}
        fields |= {"direction": list(self.direction.value), "magnitude": float(self.magnitude.value)}
        if kind != "wind":
            entity = self.scene.entity(self.entity.value)
            mine = self._positions[entity.particles]
            reach = float(np.linalg.norm(mine - mine.mean(0), axis=1).max())
            fields |= {"entity": entity.name, "center": [float(v) for v in mine.mean(0)], "radius": reach}
        running = self.world.rollout([parse_action(fields)], float(self.seconds.value), start=self._shown.id)
        for frame in running:
            self._place(frame.physics)
        self._list_states(running.end.id)
        return running.end

    def commit(self) -> None:
        """Make what is shown the world's head."""
        self.world.commit(self._shown.id)
        self.told.content = self._tree()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        scene = self.server.scene
        scene.set_up_direction("+z")
        first = self.scene.cameras[0]
        pose = np.linalg.inv(first.viewmat)
        self.server.initial_camera.position = tuple(pose[:3, 3])
        self.server.initial_camera.look_at = tuple(self.scene.entities[0].origin)
        content = Content(self.scene, [0.0], lambda _: self.scene.initial_physics())
        self._content = content
        frame = next(content.frames())
        self._positions = frame.positions
        scene.add_gaussian_splats("/background", **_splats(frame.background))
        self.things = scene.add_gaussian_splats("/things", **_splats(frame.things))
        self.particles = scene.add_point_cloud(
            "/particles", frame.positions, content.particle_colors, point_size=0.003, visible=False
        )
        self.server.initial_camera.fov = 2 * float(np.arctan(first.height / 2 / first.K[1, 1]))
        self.cameras = []
        for camera in self.scene.cameras:
            at = np.linalg.inv(camera.viewmat)
            turn = _wxyz(at[:3, :3])
            fov = 2 * float(np.arctan(camera.height / 2 / camera.K[1, 1]))
            # Not shown at first: whoever begins at the photo's camera would look through it.
            self.cameras.append(scene.add_camera_frustum(
                f"/cameras/{camera.name}", fov, camera.width / camera.height, scale=self.options.lens_scale,
                wxyz=turn, position=at[:3, 3], visible=False,
            ))  # fmt: skip

    def _controls(self) -> None:
        gui, o = self.server.gui, self.options
        with gui.add_folder("States"):
            self.told = gui.add_markdown("")
            ids = [s.id for s in self.world.states()]
            self.state: Any = gui.add_dropdown("shown", ids, initial_value=self.world.head)  # Any: read-only to mypy
            commit = gui.add_button("Commit")
        with gui.add_folder("Timeline"):
            self.timeline: Any = gui.add_slider("frame", 0, 1, 1, 0)
            play = gui.add_button("Play")
            seen = gui.add_checkbox("particles", False)
            lenses = gui.add_checkbox("cameras", False)
        with gui.add_folder("What if"):
            self.kind = gui.add_dropdown("action", ["push", "poke", "wind"])
            self.entity = gui.add_dropdown("on", [e.name for e in self.scene.entities])
            self.direction = gui.add_vector3("direction", (1.0, 0.0, 0.0))
            self.magnitude = gui.add_number("N, or m/s²", o.act_magnitude, min=0.0)
            self.seconds = gui.add_number("seconds", o.act_seconds, min=0.02, max=5.0)
            act = gui.add_button("Ask")
        self.state.on_update(lambda _: self._guarded(lambda: self.show_state(self.state.value)))
        self.timeline.on_update(lambda _: self._guarded(lambda: self.show_frame(int(self.timeline.value))))
        seen.on_update(lambda _: self._show_particles(seen.value))
        lenses.on_update(lambda _: self._show_cameras(lenses.value))
        play.on_click(lambda _: self._guarded(self._play))
        act.on_click(lambda _: self._guarded(lambda: self.what_if()))
        commit.on_click(lambda _: self._guarded(self.commit))

    def _show_particles(self, visible: bool) -> None:
        self.particles.visible = visible

    def _show_cameras(self, visible: bool) -> None:
        for each in self.cameras:
            each.visible = visible

    def _guarded(self, do: Any) -> None:
        """One thing at a time; an error is told in the browser."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            do()
        except PWError as error:
            for client in self.server.get_clients().values():
                client.add_notification(f"Error {int(error.code)}", str(error))
        finally:
            self._busy.release()

    def _play(self) -> None:
        for index in range(len(self._playing) if self._playing else 0):
            began = time.monotonic()
            self.show_frame(index)
            time.sleep(max(0.0, 1 / self.options.pictures_per_second - (time.monotonic() - began)))

    def _place(self, physics: PhysicsState) -> None:
        means, covariances = self._content.follow(physics)
        self._positions = placed_positions(self.scene, physics)
        looks = self._content.looks
        colors = replace(self.scene.foreground, opacities=looks.opacities, sh=looks.sh)
        with self._together():
            self.things.set_gaussians(means, covariances, _rgb(colors), opacities_of(colors)[:, None])
            self.particles.points = self._positions

    @contextmanager
    def _together(self) -> Iterator[None]:
        with self.server.atomic():
            yield

    def _list_states(self, shown: str) -> None:
        self.state.options = [s.id for s in self.world.states()]
        self.state.value = shown
        self.show_state(shown)

    def _tree(self) -> str:
        """The states as a list in lists."""
        states = self.world.states()
        below: dict[str, list[State]] = {}
        for s in states:
            below.setdefault(s.parent, []).append(s)
        lines: list[str] = []

        def tell(state: State, depth: int) -> None:
            marks = " **head**" * (state.id == self.world.head) + " *shown*" * (state.id == self._shown.id)
            lines.append(f"{'  ' * depth}- `{state.id}` {state.time_s:.2f} s {state.label}{marks}")
            for each in below.get(state.id, []):
                tell(each, depth + 1)

        known = {s.id for s in states}
        for s in states:
            if s.parent not in known:
                tell(s, 0)
        return "\n".join(lines)


def _splats(g: Gaussians) -> dict[str, Any]:
    return {"centers": g.means, "covariances": g.covariances(), "rgbs": _rgb(g), "opacities": opacities_of(g)[:, None]}


def _rgb(g: Gaussians) -> Any:
    return (g.colors() * 255).round().astype(np.uint8)


def _wxyz(turn: Any) -> Any:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(turn).as_quat()[[3, 0, 1, 2]]
