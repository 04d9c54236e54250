"""What the worker does with its World, one method for each request. No ROS here, nor how requests come in."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PWError, ReconstructError
from pw_core.gaussians import Camera
from pw_core.scene import PhysicsState, Scene, Trajectory
from pw_ros.worker.inputs import Allowed, opened
from pw_ros.worker.protocol import FrameData, Picture, Snapshot, WorkerOptions
from pw_ros.worker.refine import Correcting

if TYPE_CHECKING:
    from pw_core.appearance import EntityPose
    from pw_core.config import SceneConfig
    from pw_core.reconstruct import Inputs

JOBS = {"reconstruct", "rollout", "refine"}
"""Operations that run one after the other, in the order they came."""
READS = {"render", "trajectory", "config"}
"""Operations that change nothing: answered between frames, while kernels compile, and in progress reports of a job."""
AT_ONCE = {"scenes", "replaced", "commit", "restore", "delete", "save", "reset", "select", "restore_replaced"}
"""Operations on states and scenes, which wait for no job: answered as they come in, from a thread of their own."""


class Desk(Protocol):
    """What a running operation needs of whoever takes the requests."""

    stepping: bool

    def event(self, name: str, value: Any) -> None:
        """Tell the job's owner."""

    def serve(self) -> None:
        """Answer what came in meanwhile and only reads."""

    def serving(self) -> AbstractContextManager[None]:
        """As `serve`, all the while."""

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off."""


class Operations:
    """The World and what can be asked of it: `do_<operation>(**arguments)`."""

    def __init__(self, desk: Desk, options: WorkerOptions) -> None:
        self.pending: frozenset[str] = frozenset()
        """Ids that the running rollout has told and that the world does not know before it ends."""
        self._used: frozenset[str] = frozenset()
        self._drop_pending = False
        module, _, name = options.world_factory.partition(":")
        self.desk, self.input_roots = desk, options.input_roots
        self.world = getattr(importlib.import_module(module), name)(
            Path(options.store),
            config_dirs=[Path(d) for d in options.config_dirs],
            device=options.device,
            max_uncommitted_states=options.max_uncommitted_states,
            keep_replaced=options.keep_replaced,
        )
        self.live: tuple[float, PhysicsState, str] | None = None  # with the state whose appearance it has
        self.correcting: Correcting | None = None
        self._colors: tuple[Scene, NDArray[np.uint8] | None] | None = None

    def open_store(self, note: Callable[[int, str], None]) -> None:
        """Say at the start what the first write would: that the store is not there yet, or cannot be written to."""
        store = self.world.store
        if problem := store.problem():
            note(int(ErrorCode.STORE_FAILED), problem)
        elif not store.root.is_dir():
            note(0, f"the store {store.root} is not there yet: the first scene makes it")
        try:
            store.tidy()
        except OSError as error:
            note(int(ErrorCode.STORE_FAILED), f"the store {store.root} cannot be tidied: {error}")

    def open_scene(self, name: str, note: Callable[[int, str], None]) -> None:
        """Select a scene of the store at the start, or make it from the configuration of that name. A world without a
        scene is better than none, so a failure is only noted."""
        try:
            if name in {s.id for s in self.world.scenes() if s.reconstructed}:
                self.world.select(name)
                return
            config = self.world.config(name)
            if config.name in {s.id for s in self.world.scenes() if s.reconstructed}:
                self.world.select(config.name)  # the file has another name than its scene
                return
            note(0, f"scene '{name}' is not in the store: making it from its configuration")
            self.world.reconstruct(config)
        except PWError as error:
            note(int(error.code), f"scene '{name}' could not be opened: {error}")
        except Exception as error:
            traceback.print_exc()
            text = f"scene '{name}' could not be opened: {type(error).__name__}: {error}"
            note(int(ErrorCode.SCENE_UNKNOWN), text)

    # --- what only reads ----------------------------------------------------------------------------------------------

    def do_snapshot(self) -> Snapshot:
        """See Snapshot."""
        world = self.world
        with world.lock:
            scene = world.scene
            if scene is None:
                return Snapshot()
            head, states, committed = world.state(""), world.states(), frozenset(world.committed)
        return Snapshot(
            scene_id=scene.id,
            title=scene.config.title,
            created=min((s.created for s in states), default=0.0),
            cameras=tuple(scene.cameras),
            entities=tuple(replace(e, mesh=None) for e in scene.entities),
            states=tuple(replace(s, physics=None) for s in states),
            head=head.id,
            committed=committed,
            positions=placed(scene, head.physics),
            velocities=head.physics.particles.velocities,
            colors=self.colors(scene),
            entity_ids=scene.entity_ids,
            poses=poses_of(scene, head.physics),
        )

    def colors(self, scene: Scene) -> NDArray[np.uint8] | None:
        """Of the scene's particles; made once a scene."""
        if self._colors is None or self._colors[0] is not scene:
            try:
                colors = self.world.particle_colors()
            except Exception:
                traceback.print_exc()  # white particles are better than no world
                colors = None
            self._colors = (scene, colors)
        return self._colors[1]

    def do_scenes(self) -> list[Any]:
        """Scenes and configurations."""
        return list(self.world.scenes())

    def do_replaced(self) -> list[Any]:
        """Scenes that were replaced."""
        return list(self.world.replaced())

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
        """What a camera sees; live: of the running rollout's last frame or of the running refinement, or of the head
        between them."""
        physics, at = None, 0.0
        if trajectory:
            found = self.world.trajectory(trajectory)
            at = float(found.times[np.argmin(np.abs(found.times - time_s))])
            physics, state = self.world.physics_at(found, at), self.appearance_of(found)
        elif live and self.live is not None:
            at, physics, state = self.live
        if live and self.correcting is not None:
            return self.correcting.picture(camera)
        view = self.world.render(camera, physics=physics, state=state)
        seen = np.where(view.alpha > 0.5, view.depth, np.nan).astype(np.float32) if depth else None
        return Picture(view.rgb, seen, at)

    def appearance_of(self, trajectory: Trajectory) -> str:
        """Id of the state whose appearance a trajectory's frames have: where it started, or what a correction found."""
        parents = {s.id: s.parent for s in self.world.states()}
        if parents.get(trajectory.end, trajectory.start) != trajectory.start:
            return trajectory.end
        return trajectory.start if trajectory.start in parents else ""  # a deleted state's trajectory stays

    def do_trajectory(self, trajectory: str = "") -> tuple[Trajectory, list[FrameData]]:
        """A trajectory, and its frames as they are published."""
        with self.world.lock:
            scene, found = self.world.scene, self.world.trajectory(trajectory)
        end = float(found.times[-1]) or 1.0
        return found, [frame_of(scene, t, t / end, self.world.physics_at(found, t)) for t in map(float, found.times)]

    # --- what changes -------------------------------------------------------------------------------------------------

    def do_reconstruct(
        self, config: SceneConfig, photo: NDArray[np.uint8] | None = None, inputs: Inputs | None = None,
        uri: str = "", replace: bool = False,
    ) -> dict[str, Any]:
        """A scene of a photo (none: the configuration's), of pictures, or of what the file or folder `uri` holds."""
        from pw_core.reconstruct import Inputs, describe_route

        began = time.monotonic()
        self.world.store.check_free(config.name, replace=replace)
        if uri:
            with opened(uri, Allowed(self.input_roots, "input_uri", ErrorCode.INVALID_IMAGE)) as path:
                inputs = Inputs.load(path, max_frames=config.reconstruct.views.max_frames)
        elif photo is not None and inputs is None:
            inputs = Inputs.of_photo(config, photo)
        route = describe_route(config, inputs)

        def progress(stage: str, fraction: float) -> None:
            self.desk.event("progress", (f"{route}: {stage}", fraction))
            self.desk.serve()
            if self.desk.canceled:
                raise ReconstructError("called off through ~/cancel_reconstruct", code=ErrorCode.RECONSTRUCT_CANCELED)

        scene = self.world.reconstruct(config, inputs, replace=replace, progress=progress)
        made = scene.provenance
        bound = made.get("figures", {}).get("bound", {}).get("psnr_db", float("nan"))
        return {
            "scene_id": scene.id, "wall_time": time.monotonic() - began, "route": route,
            "psnr": made.get("psnr_db", made.get("psnr", bound)),
            "scale_from": made.get("plane", {}).get("scale_from", "camera height and pitch of the configuration"),
            "left_out": made.get("poses", {}).get("not_registered", []),
        }  # fmt: skip

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
        try:
            return self._rollout(actions, duration, start, frame_interval, commit, cameras, max_views)
        finally:
            self._used = frozenset()

    def _rollout(
        self, actions: Sequence[Action], duration: float, start: str, frame_interval: float | None, commit: bool,
        cameras: Sequence[Camera | str], max_views: int,
    ) -> dict[str, Any]:  # fmt: skip
        def progress(stage: str, fraction: float) -> None:
            # No cancelling here: the kernels will be wanted by the next goal.
            self.desk.event("progress", (stage, fraction))

        with self.world.lock:
            scene, origin = self.world.scene, self.world.state(start).id
            self._used = frozenset([origin])
            rollout = self.world.rollout(
                actions, duration, start=origin, frame_interval=frame_interval, progress=progress
            )
        seen: list[tuple[float, PhysicsState]] = []
        ids, canceled = ("", ""), False
        try:
            with self.desk.serving():
                first = next(rollout)
            self.desk.stepping = True
            for frame in chain([first], rollout):
                if self.desk.canceled:
                    canceled = True
                    self._call_off(rollout, known=bool(seen))
                    break
                if not seen:
                    ids = (rollout.trajectory.id, rollout.end.id)
                    self.pending = frozenset(ids)
                    self.desk.event("ids", ids)
                seen.append((frame.time_s, frame.physics))
                self.live = (*seen[-1], origin)
                self.desk.event("frame", frame_of(scene, frame.time_s, frame.fraction, frame.physics))
                self.desk.serve()
        finally:
            self.desk.stepping, self.live = False, None
            self.pending, self._drop_pending = frozenset(), False
        if cameras and not canceled:
            count = min(max_views or len(seen), len(seen))
            for k in np.unique(np.linspace(len(seen) - 1, 0, count).round().astype(int)):
                for camera in cameras:
                    view = self.world.render(camera, physics=seen[k][1], state=origin)
                    self.desk.event("view", (camera, Picture(view.rgb, None, seen[k][0])))
                    self.desk.serve()
        committed = commit and not canceled and self.commit_unless_canceled(ids[1])
        canceled = not committed and (canceled or self.desk.canceled)
        return {"trajectory_id": ids[0], "state_id": ids[1], "canceled": canceled, "committed": committed}

    def _call_off(self, rollout: Any, *, known: bool) -> None:
        """Keep what a cancelled rollout has as a what-if, unless nobody knows of it, or wants it any more."""
        with self.world.lock:
            gone = self._drop_pending or not self._used <= {s.id for s in self.world.states()}
            if known and not gone:
                rollout.close()
            else:
                rollout.discard()

    def commit_unless_canceled(self, state_id: str) -> bool:
        """Make it the head at the end of a job; whether that was done. The owner is told first, so that who calls it
        off now waits to hear whether that came in time."""
        self.desk.event("committing", state_id)
        if self.desk.canceled:
            return False
        self.world.commit(state_id)
        return True

    def do_refine(self, keep_best: bool = False, commit: bool = False, **goal: Any) -> dict[str, Any]:
        """A correction; see `Correcting`."""
        with self.world.lock:
            found = self.world.trajectory(goal["trajectory"])
            self._used = frozenset([found.start, found.end])
        try:
            goal |= {"trajectory": found.id, "input_roots": self.input_roots}
            self.correcting = Correcting(self.desk, self.world, keep_best=keep_best, **goal)
            return self.correcting.run(self.commit_unless_canceled if commit else None)
        finally:
            self.correcting, self._used = None, frozenset()

    # --- states and scenes: from a thread of their own, whatever runs -------------------------------------------------

    def do_commit(self, state_id: str) -> dict[str, str]:
        """The new head and the one before."""
        self._not_pending(state_id)
        with self.world.lock:
            before = self.world.head
            self.world.commit(self.world.state(state_id).id)
            return {"state_id": self.world.head, "previous_head": before}

    def do_restore(self, state_id: str) -> dict[str, str]:
        """By id, or by the label it was saved under (the newest)."""
        self._not_pending(state_id)
        with self.world.lock:
            before = self.world.head
            labelled = [s.id for s in self.world.states() if s.label and s.label == state_id]
            self.world.restore(labelled[-1] if labelled else state_id)
            return {"state_id": self.world.head, "previous_head": before}

    def do_delete(self, state_id: str, recursive: bool = False) -> list[str]:
        """Ids that are gone, leaves first."""
        self._not_pending(state_id)
        with self.world.lock:
            states, doomed = self.world.states(), [self.world.state(state_id).id]
            for each in doomed if recursive else ():
                doomed += [s.id for s in states if s.parent == each]
            code = ErrorCode.STATE_IN_USE
            if self.world.head in doomed:
                text = f"the head '{self.world.head}' is state '{state_id}' or came from it: not deleted"
                raise PWError(text, code=code)
            if used := self._in_use().intersection(doomed):
                raise PWError(f"the running goal uses state '{min(used)}': not deleted", code=code)
            for each in reversed(doomed):
                self.world.delete(each)
            return doomed[::-1]

    def do_save(self, state_id: str = "", label: str = "") -> str:
        """Its id."""
        self._not_pending(state_id)
        return str(self.world.save(state_id, label).id)

    def do_reset(self, drop_uncommitted: bool = False) -> str:
        """The root's id. What the running goal uses, and what kept states came from, is not dropped."""
        with self.world.lock:
            root = self.world.reset().id
            if drop_uncommitted:
                self._drop_pending = self.desk.canceled and bool(self.pending)
                kept = {*self.world.committed, *self._in_use()}
                for state in reversed(self.world.states()):
                    if state.id in kept or state.label:
                        kept.add(state.parent)
                    else:
                        self.world.delete(state.id)
            return str(root)

    def do_restore_replaced(self, replaced_id: str, replace: bool = False) -> None:
        """Put a replaced scene back and work on it."""
        self.world.restore_replaced(replaced_id, replace=replace)

    def do_select(self, scene_id: str) -> None:
        """Work on another scene."""
        self.world.select(scene_id)

    def _in_use(self) -> frozenset[str]:
        """Ids of states that the running job needs, unless it was called off."""
        return frozenset() if self.desk.canceled else self._used

    def _not_pending(self, state_id: str) -> None:
        if state_id in self.pending:
            text = f"state '{state_id}' is the end of the rollout that runs: wait for its result, or cancel it"
            raise PWError(text, code=ErrorCode.BUSY)


def placed(scene: Scene, physics: PhysicsState) -> NDArray[np.float32]:
    """Positions [m] (J, 3), those of rigid entities where their bodies are."""
    from pw_core.appearance import placed_positions

    return placed_positions(scene, physics)


def poses_of(scene: Scene, physics: PhysicsState) -> tuple[EntityPose, ...]:
    """Where every entity is."""
    from pw_core.appearance import entity_poses

    return tuple(entity_poses(scene, physics))


def frame_of(scene: Scene, time_s: float, fraction: float, physics: PhysicsState) -> FrameData:
    """An instant, ready to be sent."""
    return FrameData(
        time_s, fraction, placed(scene, physics), physics.particles.velocities, poses_of(scene, physics)
    )
