"""The worker's side: a World, and the requests it answers, also between the frames of a running rollout. No ROS here.

Messages up: ("ok", id, value), ("error", id, code, text), ("event", id, name, value), ("snapshot", Snapshot),
("ready",). Messages down: (id, operation, arguments).
"""

from __future__ import annotations

import importlib
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PWError, ReconstructError
from pw_core.gaussians import Camera
from pw_core.scene import Entity, PhysicsState, Scene, State, Trajectory

READS = {"render", "trajectory", "scenes", "config", "snapshot"}
"""Operations that change nothing: answered between frames and in progress reports of a running job."""


@dataclass(frozen=True)
class WorkerOptions:
    """What the World is made of. world_factory: `module:callable` that makes it, called as `pw_core.world.World` is."""

    store: str
    config_dirs: tuple[str, ...] = ()
    device: str = "cpu"
    max_uncommitted_states: int = 16
    scene: str = ""
    world_factory: str = "pw_core.world:World"


@dataclass(frozen=True)
class Snapshot:
    """The selected scene and its head, small enough to send at every change, so that the node answers from it.

    positions [m] and velocities [m/s] (J, 3) of the head, colors uint8 (J, 3), entity_ids (J,); poses: EntityPose of
    each entity; states come without their physics.
    """

    scene_id: str = ""
    title: str = ""
    created: float = 0.0
    cameras: tuple[Camera, ...] = ()
    entities: tuple[Entity, ...] = ()
    states: tuple[State, ...] = ()
    head: str = ""
    committed: frozenset[str] = frozenset()
    positions: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    velocities: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    colors: NDArray[np.uint8] | None = None
    entity_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    poses: tuple[Any, ...] = ()

    @property
    def head_time(self) -> float:
        """[s] simulated since the reconstruction."""
        return next((s.time_s for s in self.states if s.id == self.head), 0.0)


class FrameData(NamedTuple):
    """An instant of a rollout or trajectory: time [s] from its start, positions [m] and velocities [m/s] (J, 3)."""

    time_s: float
    fraction: float
    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    poses: tuple[Any, ...]


class Session:
    """Answers requests until its pipe closes."""

    def __init__(self, conn: Connection, cancel: Any, options: WorkerOptions) -> None:
        module, _, name = options.world_factory.partition(":")
        self.world = getattr(importlib.import_module(module), name)(
            Path(options.store),
            config_dirs=[Path(d) for d in options.config_dirs],
            device=options.device,
            max_uncommitted_states=options.max_uncommitted_states,
        )
        self.conn, self.cancel = conn, cancel
        self.waiting: deque[tuple[int, str, dict[str, Any]]] = deque()
        self.job = 0
        self.live: PhysicsState | None = None
        self._colors: tuple[Scene, NDArray[np.uint8] | None] | None = None

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One request after the other."""
        while True:
            request = self.waiting.popleft() if self.waiting else self.conn.recv()
            if request is None:
                return
            self.answer(*request)

    def answer(self, request_id: int, operation: str, arguments: dict[str, Any]) -> None:
        """Do it and reply, with an error where it failed."""
        if operation not in READS:
            self.job = request_id
        try:
            value = getattr(self, "do_" + operation)(**arguments)
        except PWError as error:
            self.conn.send(("error", request_id, int(error.code), str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            text = f"{operation}: {type(error).__name__}: {error}"
            self.conn.send(("error", request_id, int(_unknown(operation)), text))
        else:
            if operation not in READS:
                self.send_snapshot()  # first, so that whoever gets the reply sees the world it speaks of
            self.conn.send(("ok", request_id, value))
            return
        if operation not in READS:
            self.send_snapshot()

    def serve(self) -> None:
        """Within a job: answer what only reads, keep the rest for later."""
        while self.conn.poll():
            request = self.conn.recv()
            if request is None:
                raise EOFError
            if request[1] in READS:
                self.answer(*request)
            else:
                self.waiting.append(request)

    def event(self, name: str, value: Any) -> None:
        """Tell the job's owner."""
        self.conn.send(("event", self.job, name, value))

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off. Jobs run in the order of their ids, so an older one is off too."""
        return self.job <= self.cancel.value

    def send_snapshot(self) -> None:
        """The world as it is now."""
        self.conn.send(("snapshot", self.do_snapshot()))

    # --- what only reads ----------------------------------------------------------------------------------------------

    def do_snapshot(self) -> Snapshot:
        """See Snapshot."""
        world, scene = self.world, self.world.scene
        if scene is None:
            return Snapshot()
        head = world.state("")
        return Snapshot(
            scene_id=scene.id,
            title=scene.config.title,
            created=min((s.created for s in world.states()), default=0.0),
            cameras=tuple(scene.cameras),
            entities=tuple(replace(e, mesh=None) for e in scene.entities),
            states=tuple(replace(s, physics=None) for s in world.states()),
            head=world.head,
            committed=frozenset(world.committed),
            positions=self.placed(head.physics),
            velocities=head.physics.particles.velocities,
            colors=self.colors(),
            entity_ids=scene.entity_ids,
            poses=tuple(world.entity_poses(head.physics)),
        )

    def colors(self) -> NDArray[np.uint8] | None:
        """Of the scene's particles; made once a scene."""
        if self._colors is None or self._colors[0] is not self.world.scene:
            try:
                colors = self.world.particle_colors()
            except Exception:
                traceback.print_exc()  # white particles are better than no world
                colors = None
            self._colors = (self.world.scene, colors)
        return self._colors[1]

    def placed(self, physics: PhysicsState) -> NDArray[np.float32]:
        """Positions [m] (J, 3), those of rigid entities where their bodies are."""
        from pw_core.appearance import placed_positions

        return placed_positions(self.world.scene, physics)

    def frame(self, time_s: float, fraction: float, physics: PhysicsState) -> FrameData:
        """An instant, ready to be sent."""
        poses = tuple(self.world.entity_poses(physics))
        return FrameData(time_s, fraction, self.placed(physics), physics.particles.velocities, poses)

    def do_scenes(self) -> list[Any]:
        """Scenes and configurations."""
        return list(self.world.scenes())

    def do_config(self, name: str) -> Any:
        """A scene configuration by name."""
        return self.world.config(name)

    def do_render(
        self, camera: Camera | str, state: str = "", trajectory: str = "", time_s: float = 0.0, live: bool = False
    ) -> Any:
        """A View; live: of the running rollout's last frame, or the head between rollouts."""
        physics = self.live if live else None
        if trajectory:
            physics = self.world.physics_at(self.world.trajectory(trajectory), time_s)
        return self.world.render(camera, physics=physics, state=state)

    def do_trajectory(self, trajectory: str = "") -> tuple[Trajectory, list[FrameData]]:
        """A trajectory, and its frames as they are published."""
        found = self.world.trajectory(trajectory)
        end = float(found.times[-1]) or 1.0
        return found, [self.frame(t, t / end, self.world.physics_at(found, t)) for t in map(float, found.times)]

    # --- what changes -------------------------------------------------------------------------------------------------

    def do_reconstruct(self, config: Any, photo: NDArray[np.uint8] | None = None) -> dict[str, Any]:
        """A scene of a photo."""
        began = time.monotonic()

        def progress(stage: str, fraction: float) -> None:
            self.event("progress", (stage, fraction))
            self.serve()
            if self.canceled:
                raise ReconstructError("called off through ~/cancel_reconstruct", code=ErrorCode.RECONSTRUCT_CANCELED)

        scene = self.world.reconstruct(config, photo=photo, progress=progress)
        return {"scene_id": scene.id, "provenance": scene.provenance, "wall_time": time.monotonic() - began}

    def do_rollout(
        self,
        actions: Sequence[Action],
        duration: float,
        start: str = "",
        frame_interval: float | None = None,
        commit: bool = False,
        cameras: Sequence[Camera | str] = (),
        max_views: int = 0,
    ) -> dict[str, Any]:
        """Frames go up as events; the result holds ids, and Views if there are cameras."""

        def progress(stage: str, fraction: float) -> None:
            # No cancelling here: the kernels will be wanted by the next goal.
            self.event("progress", (stage, fraction))
            self.serve()

        rollout = self.world.rollout(actions, duration, start=start, frame_interval=frame_interval, progress=progress)
        seen: list[tuple[float, PhysicsState]] = []
        ids, canceled = ("", ""), False
        try:
            for frame in rollout:
                if not seen:
                    ids = (rollout.trajectory.id, rollout.end.id)
                    self.event("ids", ids)
                seen.append((frame.time_s, frame.physics))
                self.live = frame.physics
                self.event("frame", self.frame(frame.time_s, frame.fraction, frame.physics))
                self.serve()
                if self.canceled:
                    rollout.close()
                    canceled = True
                    break
        finally:
            self.live = None
        views = []
        if cameras and not canceled:
            count = min(max_views or len(seen), len(seen))
            for k in np.unique(np.linspace(len(seen) - 1, 0, count).round().astype(int)):
                for camera in cameras:
                    views.append((camera, seen[k][0], self.world.render(camera, physics=seen[k][1])))
                    self.serve()
                canceled = canceled or self.canceled
        if commit and not canceled:  # last, so that a cancel until then leaves the head alone
            self.world.commit(ids[1])
        return {"trajectory_id": ids[0], "state_id": ids[1], "canceled": canceled, "views": views,
                "committed": commit and not canceled}  # fmt: skip

    def do_commit(self, state_id: str) -> dict[str, str]:
        """The new head and the one before."""
        before = self.world.head
        self.world.commit(self.world.state(state_id).id)
        return {"state_id": self.world.head, "previous_head": before}

    def do_restore(self, state_id: str) -> dict[str, str]:
        """By id, or by the label it was saved under (the newest)."""
        before = self.world.head
        labelled = [s.id for s in self.world.states() if s.label and s.label == state_id]
        self.world.restore(labelled[-1] if labelled else state_id)
        return {"state_id": self.world.head, "previous_head": before}

    def do_delete(self, state_id: str, recursive: bool = False) -> list[str]:
        """Ids that are gone, leaves first."""
        states, doomed = self.world.states(), [self.world.state(state_id).id]
        for each in doomed if recursive else ():
            doomed += [s.id for s in states if s.parent == each]
        if self.world.head in doomed:
            code = ErrorCode.STATE_IN_USE
            raise PWError(f"the head '{self.world.head}' is state '{state_id}' or came from it: not deleted", code=code)
        for each in reversed(doomed):
            self.world.delete(each)
        return doomed[::-1]

    def do_save(self, state_id: str = "", label: str = "") -> str:
        """Its id."""
        return str(self.world.save(state_id, label).id)

    def do_reset(self, drop_uncommitted: bool = False) -> str:
        """The root's id."""
        root = self.world.reset().id
        if drop_uncommitted:
            for state in reversed(self.world.states()):
                if state.id not in self.world.committed and not state.label:
                    self.world.delete(state.id)
        return str(root)

    def do_select(self, scene_id: str) -> None:
        """Work on another scene."""
        self.world.select(scene_id)


def _unknown(operation: str) -> ErrorCode:
    blocks = {"reconstruct": ErrorCode.RECONSTRUCT_UNKNOWN, "rollout": ErrorCode.ROLLOUT_UNKNOWN,
              "render": ErrorCode.RENDER_UNKNOWN}  # fmt: skip
    return blocks.get(operation, ErrorCode.SCENE_UNKNOWN)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def main(conn: Connection, cancel: Any, options: WorkerOptions) -> None:
    """The spawned process. It ends when its pipe does, or its parent."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        session = Session(conn, cancel, options)
        if options.scene and options.scene in {s.id for s in session.world.scenes() if s.reconstructed}:
            try:
                session.world.select(options.scene)
            except PWError as error:
                conn.send(("warning", f"scene '{options.scene}' could not be opened: {error}"))
        session.send_snapshot()
        conn.send(("ready",))
        session.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
