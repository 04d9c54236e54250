"""The worker's side: a World, and the requests it answers, also between the frames of a running rollout and while
kernels compile. No ROS here.

Messages up: ("ok", id, value), ("error", id, code, text), ("event", id, name, value), ("snapshot", Snapshot),
("note", code, text), ("ready",). Messages down: (id, operation, arguments).
"""

from __future__ import annotations

import importlib
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PWError, ReconstructError, RefineError
from pw_core.gaussians import Camera
from pw_core.scene import PhysicsState, Scene, Trajectory
from pw_ros.channel import Ring, Sender
from pw_ros.worker_messages import FrameData, Picture, Snapshot, WorkerOptions

READS = {"render", "trajectory", "scenes", "config", "snapshot"}
"""Operations that change nothing: answered between frames, while kernels compile, and in progress reports of a job."""


Request = tuple[int, str, dict[str, Any]]
"""Id, operation, arguments."""


class Session:
    """Answers requests until its pipe closes."""

    def __init__(self, conn: Connection, replies: Sender, cancel: Any, options: WorkerOptions) -> None:
        module, _, name = options.world_factory.partition(":")
        self.world = getattr(importlib.import_module(module), name)(
            Path(options.store),
            config_dirs=[Path(d) for d in options.config_dirs],
            device=options.device,
            max_uncommitted_states=options.max_uncommitted_states,
        )
        self.conn, self.cancel = conn, cancel
        self.replies = replies
        self.reading: deque[Request] = deque()
        self.waiting: deque[Request] = deque()
        self.job = 0
        self.stepping = False
        self.live: tuple[float, PhysicsState, str] | None = None  # with the state whose look it has
        self._colors: tuple[Scene, NDArray[np.uint8] | None] | None = None

    def open_scene(self, name: str) -> None:
        """Select a scene of the store at the start, or make it from the configuration of that name. A world without a
        scene is better than none, so a failure is only told."""
        try:
            if name in {s.id for s in self.world.scenes() if s.reconstructed}:
                self.world.select(name)
                return
            config = self.world.config(name)
            self.replies.send(("note", 0, f"scene '{name}' is not in the store: making it from its configuration"))
            self.world.reconstruct(config)
        except PWError as error:
            self.replies.send(("note", int(error.code), f"scene '{name}' could not be opened: {error}"))
        except Exception as error:
            traceback.print_exc()
            text = f"scene '{name}' could not be opened: {type(error).__name__}: {error}"
            self.replies.send(("note", int(ErrorCode.SCENE_UNKNOWN), text))

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One request after the other."""
        while True:
            later = self.reading or self.waiting
            request = later.popleft() if later else self.conn.recv()
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
            self.replies.send(("error", request_id, int(error.code), str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            text = f"{operation}: {type(error).__name__}: {error}"
            self.replies.send(("error", request_id, int(_unknown(operation)), text))
        else:
            if operation not in READS:
                self.send_snapshot()  # first, so that whoever gets the reply sees the world it speaks of
            self.replies.send(("ok", request_id, value))
            return
        if operation not in READS:
            self.send_snapshot()

    def serve(self) -> None:
        """Within a job: answer what only reads, keep the rest for later."""
        while self.conn.poll():
            self._take(self.conn.recv())

    def _take(self, request: Request | None) -> None:
        if request is None:
            raise EOFError
        if request[1] not in READS:
            self.waiting.append(request)
        elif self.stepping and self.canceled:
            # A cancelled goal may be over for its client before its frames are kept here (pw_ros.goals detaches),
            # and the client may ask for them. A cancel is told before the goal ends, so such a request meets it here.
            self.reading.append(request)
        else:
            self.answer(*request)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """As `serve`, all the while, from a thread: for the minutes in which kernels compile. Drawing is safe there."""
        done = threading.Event()

        def loop() -> None:
            try:
                while not done.is_set():
                    if self.conn.poll(0.02):
                        self._take(self.conn.recv())
            except (EOFError, OSError):
                os._exit(0)  # the node is gone or wants us gone, and nothing ends a compile

        thread = threading.Thread(target=loop, name="serving", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def event(self, name: str, value: Any) -> None:
        """Tell the job's owner."""
        self.replies.send(("event", self.job, name, value))

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off. Jobs run in the order of their ids, so an older one is off too."""
        return self.job <= self.cancel.value

    def send_snapshot(self) -> None:
        """The world as it is now."""
        self.replies.send(("snapshot", self.do_snapshot()))

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
        self,
        camera: Camera | str,
        state: str = "",
        trajectory: str = "",
        time_s: float = 0.0,
        live: bool = False,
        depth: bool = False,
    ) -> Picture:
        """What a camera sees; live: of the running rollout's last frame, or of the head between rollouts."""
        physics, at = None, 0.0
        if trajectory:
            found = self.world.trajectory(trajectory)
            at = float(found.times[np.argmin(np.abs(found.times - time_s))])
            physics, state = self.world.physics_at(found, at), self.look_of(found)
        elif live and self.live is not None:
            at, physics, state = self.live
        view = self.world.render(camera, physics=physics, state=state)
        seen = np.where(view.alpha > 0.5, view.depth, np.nan).astype(np.float32) if depth else None
        return Picture(view.rgb, seen, at)

    def look_of(self, trajectory: Trajectory) -> str:
        """Id of the state whose look a trajectory's frames have: what it started from, or what a correction found."""
        parents = {s.id: s.parent for s in self.world.states()}
        if parents.get(trajectory.end, trajectory.start) != trajectory.start:
            return trajectory.end
        return trajectory.start if trajectory.start in parents else ""  # a deleted state's trajectory stays

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
        """Ids, frames and views (camera, Picture) go up as events; the result says how it ended."""

        def progress(stage: str, fraction: float) -> None:
            # No cancelling here: the kernels will be wanted by the next goal.
            self.event("progress", (stage, fraction))

        rollout = self.world.rollout(actions, duration, start=start, frame_interval=frame_interval, progress=progress)
        seen: list[tuple[float, PhysicsState]] = []
        ids, origin, canceled = ("", ""), "", False
        try:
            with self.serving():
                first = next(rollout)
            self.stepping = True
            for frame in chain([first], rollout):
                if not seen:
                    ids, origin = (rollout.trajectory.id, rollout.end.id), rollout.trajectory.start
                    self.event("ids", ids)
                seen.append((frame.time_s, frame.physics))
                self.live = (*seen[-1], origin)
                self.event("frame", self.frame(frame.time_s, frame.fraction, frame.physics))
                self.serve()
                if self.canceled:
                    rollout.close()
                    canceled = True
                    break
        finally:
            self.stepping, self.live = False, None
        if cameras and not canceled:
            count = min(max_views or len(seen), len(seen))
            for k in np.unique(np.linspace(len(seen) - 1, 0, count).round().astype(int)):
                for camera in cameras:
                    view = self.world.render(camera, physics=seen[k][1], state=origin)
                    self.event("view", (camera, Picture(view.rgb, None, seen[k][0])))
                    self.serve()
                canceled = canceled or self.canceled
        if commit and not canceled:  # last, so that a cancel until then leaves the head alone
            self.world.commit(ids[1])
        return {
            "trajectory_id": ids[0], "state_id": ids[1], "canceled": canceled, "committed": commit and not canceled,
        }  # fmt: skip

    def do_refine(
        self,
        provider: str,
        trajectory: str,
        cameras: Sequence[Camera],
        films: Sequence[dict[str, Any]],
        changes: dict[str, Any],
        keep_best: bool = False,
        commit: bool = False,
    ) -> dict[str, Any]:
        """Steps go up as events; the result holds the corrected state's id (empty: nothing kept), figures, estimates.

        Args:
            provider: its name; empty: as configured.
            films: arguments of the CameraFilms of the provider `observed`.
            changes: fields of RefineConfig in place of the scene's.
        """
        from pw_core.config import RefineConfig
        from pw_core.refine.targets.base import load_provider
        from pw_core.refine.targets.observed import CameraFilm

        if self.world.scene is None:
            raise PWError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        base = self.world.scene.config.refine
        try:
            config = RefineConfig.model_validate({**base.model_dump(), **changes})
        except ValueError as error:
            raise RefineError(f"the goal's settings: {error}", code=ErrorCode.INVALID_CONFIG) from None
        name = provider or base.provider
        settings = dict(base.settings) if name == base.provider else {}
        if name == "observed":
            settings["films"] = [CameraFilm(**f) for f in films]
            cameras = ()  # those of the films
        elif films:
            raise RefineError(f"provider '{name}' takes no frames", code=ErrorCode.INVALID_TARGET)
        made = load_provider(name, **settings)

        def progress(what: str, fraction: float) -> None:
            self.event("progress", (what, fraction))
            self.serve()
            if self.canceled and not keep_best:
                raise RefineError("canceled", code=ErrorCode.CANCELED)

        running = self.world.refine(
            made, trajectory=trajectory, cameras=cameras, config=config, keep_best=keep_best, progress=progress
        )
        canceled, self.stepping = False, True
        try:
            for step in running:
                self.event("step", step)
                self.serve()
                if self.canceled:
                    canceled = True
                    break
            running.close()
        finally:
            self.stepping = False
        done: dict[str, Any] = {"state_id": "", "canceled": canceled, "committed": False}
        try:
            state = running.state
        except RefineError:  # called off before there was anything to keep
            return done
        if commit and not canceled:  # last, so that a cancel until then leaves the head alone
            self.world.commit(state.id)
            done["committed"] = True
        return {
            **done, "state_id": state.id, "parent": state.parent, "figures": state.figures,
            "parameters": dict(state.parameters), "estimates": running.estimates,
        }  # fmt: skip

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
              "refine": ErrorCode.REFINE_UNKNOWN,
              "render": ErrorCode.RENDER_UNKNOWN}  # fmt: skip
    return blocks.get(operation, ErrorCode.SCENE_UNKNOWN)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def main(conn: Connection, ring_name: str, cancel: Any, options: WorkerOptions) -> None:
    """The spawned process. It ends when its pipe does, or its parent."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    replies = Sender(conn, Ring.attach(ring_name) if ring_name else None)
    try:
        session = Session(conn, replies, cancel, options)
        if options.scene:
            session.open_scene(options.scene)
        session.send_snapshot()
        replies.send(("ready",))
        session.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        replies.close()
