"""World: rollouts that branch from any state, plans, refinements, pictures. The file that knows all parts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, RenderError
from pw_core.gaussians import Camera
from pw_core.progress import Progress, no_progress
from pw_core.rollout import Rollout, begin, physics_at
from pw_core.scene import AppearanceParameters, PhysicsState, State, Trajectory
from pw_core.world.scenes import Scenes

if TYPE_CHECKING:
    from pw_core.appearance import Appearance, EntityPose, View
    from pw_core.plan.candidates import Candidate, Job
    from pw_core.plan.executors.types import Executor
    from pw_core.plan.objective import Objective
    from pw_core.plan.robust import RobustOptions
    from pw_core.plan.running import Evaluating, Planning
    from pw_core.plan.screened import ScreenOptions
    from pw_core.plan.search import Budget, SearchOptions
    from pw_core.plan.template import Template
    from pw_core.refine.refinement import RefinementOptions
    from pw_core.refine.run import Refining
    from pw_core.refine.targets.types import TargetProvider
    from pw_core.simulate import Simulation


P = ParamSpec("P")


class World(Scenes):
    """Scenes and their states, and what can be asked of the selected one. Made as `Scenes` is."""

    # --- rollouts -----------------------------------------------------------------------------------------------------

    def rollout(
        self,
        actions: Sequence[Action],
        duration: float,
        *,
        start: str = "",
        frame_interval: float | None = None,
        commit: bool = False,
        progress: Progress | None = None,
    ) -> Rollout:
        """What happens if: `duration` [s] of physics under `actions`, from state `start` (empty: the head).

        Nothing runs before the first frame is asked for; the first frame is the start itself. With `commit`, the end
        becomes the head.

        Raises:
            RolloutError: INVALID_DURATION, UNKNOWN_ENTITY here; INVALID_ACTION, UNSTABLE, OUT_OF_BOUNDS as it runs.
            SceneError: UNKNOWN_STATE, NO_SCENE.
        """
        with self.lock:
            scene, tree = self._need_scene(), self.tree
            origin = tree.state(start)

        def keep(trajectory: Trajectory, state: State, finished: bool) -> None:
            with self.lock:
                tree.add(state, trajectory)
                if commit and finished:
                    tree.commit(state.id)

        return begin(
            scene, origin, actions, duration, simulation=lambda: self._build(progress, origin.parameters), keep=keep,
            frame_interval=frame_interval,
        )  # fmt: skip

    def _build(self, progress: Progress | None, parameters: dict[str, float]) -> Simulation:
        """The scene's simulation, built once, with these constants and the config's others."""
        from pw_core.plan.executors.building import build_simulation

        scene = self._need_scene()
        built = self._simulation
        if built is None:
            built = build_simulation(scene, device=self.device, progress=progress)
            with self.lock:
                if self.scene is scene:  # another may have been selected meanwhile
                    self._simulation = built
        if built.constants != parameters:  # a refinement leaves it with those that it tried last
            built.set_constants(parameters)
        return built

    def evaluate(
        self, candidates: Sequence[Candidate | Sequence[Action]], duration: float, *, objective: Objective,
        start: str = "", keep: int = 1, frame_interval: float | None = None, prune: bool = False,
        executor: Executor | None = None, robust: RobustOptions | None = None,
        stopped: Callable[[], None] | None = None, progress: Progress | None = None,
    ) -> Evaluating:  # fmt: skip
        """What each action sequence would cost: `duration` [s] of physics from state `start` (empty: the head).

        Nothing runs before the first step is asked for. The best `keep` become what-if states, which stay until the
        next result; all others leave their score alone.

        Args:
            prune: give up what can no longer be among the best `keep`; its cost is then a lower bound.
            executor: where they run; None: in this process, one after the other, or on a GPU with the fast engine all
                at once.
            robust: score each under constants drawn from the posterior of the refinements before `start`.
            stopped: asked between frames; what it raises ends the batch.

        Raises:
            PlanError: INVALID_CANDIDATES, UNKNOWN_ENTITY, INVALID_OBJECTIVE here; EXECUTOR_FAILED as it runs. A
                candidate that fails raises nothing: its score says why.
            RolloutError (INVALID_DURATION). SceneError: UNKNOWN_STATE, NO_SCENE.
        """
        from pw_core.plan.candidates import Candidate, check_candidates
        from pw_core.plan.running import Evaluating

        scene = self._need_scene()
        given = [c if isinstance(c, Candidate) else Candidate(tuple(c)) for c in candidates]
        check_candidates(given, scene, keep=keep)
        job = self._job(objective, duration, start, frame_interval)
        return Evaluating(
            job, given, self._executor(job, executor, robust, progress), self._locked(self.tree.hold), best=keep,
            prune=prune, stopped=stopped,
        )  # fmt: skip

    def plan(
        self, template: Template, objective: Objective, duration: float, *, budget: Budget, start: str = "",
        options: SearchOptions | None = None, warm: Sequence[float] | None = None, frame_interval: float | None = None,
        executor: Executor | None = None, robust: RobustOptions | None = None,
        screen: ScreenOptions | Literal["auto"] | None = "auto",
        stopped: Callable[[], None] | None = None, progress: Progress | None = None,
    ) -> Planning:  # fmt: skip
        """Search the template's free numbers for the least cost; the best becomes a what-if state.

        Nothing runs before the first step is asked for; whoever stops iterating has the best so far.

        Args:
            warm: a point of the template's unit cube to start from, e.g. `template.point(last.values)`.
            executor: as in `evaluate`.
            robust: as in `evaluate`.
            stopped: as in `evaluate`.
            screen: try each generation at a coarse resolution first, in this process, and its best at full. "auto": on
                the CPU's fast engine where no `executor` is given and particles are many enough that it pays.

        Raises:
            PlanError: INVALID_TEMPLATE, INVALID_OBJECTIVE, INVALID_BUDGET, UNKNOWN_ENTITY; EXECUTOR_FAILED as it runs.
            RolloutError (INVALID_DURATION). SceneError: UNKNOWN_STATE, NO_SCENE.
        """
        from pw_core.plan.executors.building import in_process
        from pw_core.plan.running import Planning
        from pw_core.plan.screened import Screened, screening_for
        from pw_core.plan.search import SearchOptions

        job = self._job(objective, duration, start, frame_interval)
        chosen = self._executor(job, executor, robust, progress)
        if screen == "auto":
            screen = screening_for(job.scene) if executor is None and self.device == "cpu" else None
        if screen is not None:
            chosen = Screened(chosen, partial(in_process, device=self.device), options=screen)
        return Planning(
            job, template, chosen, self._locked(self.tree.hold),
            budget=budget, options=options or SearchOptions(), warm=warm, stopped=stopped,
        )  # fmt: skip

    def _job(self, objective: Objective, duration: float, start: str, frame_interval: float | None) -> Job:
        from pw_core.plan.candidates import Job

        scene = self._need_scene()
        interval = min(scene.config.frame_interval_s, duration) if frame_interval is None else frame_interval
        return Job.of(scene, self.state(start), objective, duration=duration, frame_interval=interval)

    def _locked(self, change: Callable[P, None]) -> Callable[P, None]:
        """The change of a tree, for a job that calls it when it has ended."""

        def changed(*args: P.args, **options: P.kwargs) -> None:
            with self.lock:
                change(*args, **options)

        return changed

    def _executor(
        self, job: Job, executor: Executor | None, robust: RobustOptions | None, progress: Progress | None
    ) -> Executor:
        from pw_core.plan.executors.building import all_at_once
        from pw_core.plan.executors.serial import Serial

        if executor is None and self._together is None:
            self._together = all_at_once(job.scene, device=self.device)
        inner = executor or self._together or Serial(lambda constants: self._build(progress, constants))
        if robust is None:
            return inner
        from pw_core.plan.robust import Robust, draw_constants

        return Robust(
            inner, draw_constants(job.scene, job.start.parameters, self._posterior(job.start), robust), options=robust
        )

    def _posterior(self, state: State) -> dict[str, float]:
        """The figures that hold the posterior of a state's constants: those of the last refinement before it."""
        from pw_core.calibrate.posterior import handed_on

        with self.lock:
            known = {s.id: s for s in self.tree.states()}
        at: State | None = state
        while at is not None:
            if found := handed_on(at.figures):
                return found
            at = known.get(at.parent)
        return {}

    def refine(
        self,
        provider: TargetProvider,
        *,
        trajectory: str = "",
        cameras: Sequence[Camera | str] = (),
        config: RefineConfig | None = None,
        commit: bool = False,
        keep_best: bool = False,
        progress: Progress | None = None,
        options: RefinementOptions | None = None,
    ) -> Refining:
        """Correct a trajectory (empty: the last committed) by target frames; the corrected end is a new state.

        Nothing runs before the first step is asked for. The new state's parent is the trajectory's end, which stays.

        Args:
            provider: where the target frames come from, see `pw_core.refine.targets`.
            cameras: the views, by name or as they are; empty: those of the provider's films, or the photo's.
            config: settings; None: those of the scene.
            commit: make the corrected state the head.
            keep_best: a refinement that is closed before its end leaves what it has as an uncommitted state.
            progress: told what a provider is doing.
            options: thresholds and rates of the stages, for experiments; None: the usual.

        Raises:
            RefineError: targets that do not fit, here or as it runs; nothing is changed.
            SceneError: UNKNOWN_TRAJECTORY, UNKNOWN_STATE, NO_SCENE. RenderError: UNKNOWN_CAMERA.
        """
        from pw_core.refine.refinement import Refinement, RefinementOptions
        from pw_core.refine.run import Refining

        with self.lock:
            scene, tree = self._need_scene(), self.tree
            found = tree.trajectory(trajectory)
            start, end = tree.state(found.start), tree.state(found.end)
        views = [self._camera(c) if isinstance(c, str) else c for c in cameras]
        if not views:
            of_films = getattr(provider, "cameras", None)
            views = list(of_films(scene.cameras)) if of_films is not None else [scene.cameras[0]]
        work = Refinement(
            scene, found, start, end, provider=provider, cameras=views, config=config or scene.config.refine,
            simulation=lambda: self._build(None, start.parameters), device=self.device, progress=progress,
            options=options or RefinementOptions(),
        )  # fmt: skip

        def keep(state: State, corrected: Trajectory) -> None:
            with self.lock:
                tree.add(state, corrected)
                if commit:
                    tree.commit(state.id)

        return Refining(work, keep, keep_best=keep_best)

    def physics_at(self, trajectory: Trajectory, time_s: float) -> PhysicsState:
        """What a trajectory holds of the frame nearest to `time_s` [s]: enough to draw it."""
        return physics_at(self._need_scene(), trajectory, time_s)

    # --- edits --------------------------------------------------------------------------------------------------------

    def edit(
        self, physics: PhysicsState, *, start: str = "", time_s: float | None = None, commit: bool = False
    ) -> State:
        """A new state that comes from `start` (empty: the head) by no rollout: its looks and constants, other physics.

        Args:
            physics: such as `pw_core.world.edits.with_entity` makes.
            time_s: [s] simulated since the reconstruction; None: that of `start`.
            commit: make it the head.
        """
        with self.lock:
            origin = self.tree.state(start)
            state = replace(
                origin, id=f"s-{uuid.uuid4().hex[:10]}", parent=origin.id, physics=physics, trajectory_id="",
                time_s=origin.time_s if time_s is None else time_s, created=time.time(), label="", figures={},
                views={},
            )  # fmt: skip
            self.tree.add(state)
            if commit:
                self.tree.commit(state.id)
            return state

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def appearance(self) -> Appearance:
        """What draws the selected scene."""
        if self._appearance is None:
            from pw_core.appearance import Appearance

            self._appearance = Appearance(self._need_scene(), device=self.device)
        return self._appearance

    def render(
        self,
        camera: Camera | str = "",
        *,
        physics: PhysicsState | None = None,
        state: str = "",
        appearance: AppearanceParameters | None = None,
    ) -> View:
        """The picture a camera (its name in the scene; empty: the photo's) takes of a state (empty: the head).

        Args:
            physics: drawn in place of the state's, as in a frame of a rollout.
            appearance: drawn in place of the state's.

        Raises:
            RenderError: UNKNOWN_CAMERA, or a camera that cannot be drawn.
        """
        if isinstance(camera, str):
            camera = self._camera(camera)
        if physics is None or appearance is None:
            shown = self.state(state)
            physics, appearance = physics or shown.physics, appearance or shown.appearance
        return self.appearance.render(camera, physics, appearance=appearance)

    def _camera(self, name: str) -> Camera:
        cameras = {c.name: c for c in self._need_scene().cameras}
        name = name or next(iter(cameras))
        if name not in cameras:
            raise RenderError(
                f"camera '{name}' is not in the scene; there are: {', '.join(cameras)}", code=ErrorCode.UNKNOWN_CAMERA
            )
        return cameras[name]

    def export(
        self, path: Path | str, *, trajectory: str | None = None, state: str = "", time_s: float | None = None,
        progress: Progress = no_progress,
    ) -> Path:  # fmt: skip
        """Write a state (empty: the head), or a trajectory (empty: the last committed) where one is named, for other
        programs; the ending of `path` says how, see `pw_core.export.formats`.

        Args:
            time_s: of the trajectory [s]: that instant alone.
            progress: told of each frame; what it raises ends the export, of which nothing is left.

        Raises:
            SceneError: UNKNOWN_STATE, UNKNOWN_TRAJECTORY, NO_SCENE; STORE_FAILED: a format that is not known, does not
                hold this, or needs a package that is not installed; a file that cannot be written.
            RolloutError (INVALID_TIME): a time that is not the trajectory's.
        """
        from pw_core.export.content import Content
        from pw_core.export.formats import export

        scene = self._need_scene()
        if trajectory is None:
            return export(Content.of_state(scene, self.state(state)), path, progress=progress)
        shown = self.trajectory(trajectory)
        known = {s.id: s for s in self.states()}
        end = known.get(shown.end) or known.get(shown.start)
        looks, created = (self.state(end.id).appearance, end.created) if end else (None, 0.0)
        if time_s is None:
            content = Content.of_trajectory(scene, shown, appearance=looks, origin_s=created)
            return export(content, path, progress=progress)
        physics = self.physics_at(shown, time_s)
        content = Content(scene, [0.0], lambda _: physics, appearance=looks, origin_s=created + time_s)
        return export(content, path, progress=progress)

    def entity_poses(self, physics: PhysicsState) -> list[EntityPose]:
        """Where every entity is."""
        from pw_core.appearance import entity_poses

        return entity_poses(self._need_scene(), physics)

    def particle_colors(self) -> NDArray[np.uint8]:
        """RGB of each particle, shape (J, 3)."""
        from pw_core.appearance import particle_colors

        return particle_colors(self._need_scene())
