"""Candidates all at once on one NVIDIA GPU: a world each, from frame to frame in one launch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pw_core.errors import PWError
from pw_core.gaussians import F32
from pw_core.plan.candidates import Candidate, Job, Outcome, Score, failed
from pw_core.plan.executors.types import same_scene
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.objective import Scorer
from pw_core.rollout import Frame
from pw_core.scene import Particles, PhysicsState, Scene
from pw_core.simulate.actions import check_actions
from pw_core.simulate.constants import check_materials, resolve
from pw_core.simulate.engine import Diverged
from pw_core.simulate.settings import SimulationSettings
from pw_core.simulate.simulation import judge_positions, unstable

if TYPE_CHECKING:
    from pw_core.simulate.fast_cuda.bodies import Shapes
    from pw_core.simulate.fast_cuda.worlds import CudaWorlds, Snapshot, WorldSetting

Choose = Callable[[Scene], SimulationSettings]
"""The settings that a scene's simulation is built with."""


@dataclass(frozen=True, kw_only=True)
class TogetherOptions:
    """How many worlds one launch takes."""

    most_worlds: int = 1024
    """The GPU is full from some 130 on; more save no more than launches."""
    host_bytes: float = 2e9
    """Positions and velocities of all frames are kept until it is known which candidates are worth it."""


@dataclass(eq=False)
class _Run:
    """One candidate on its way: in which world it is, and how many frames of it were good."""

    index: int
    candidate: Candidate
    scorer: Scorer
    setting: WorldSetting
    good: int = 0
    done: Outcome | None = None


@dataclass(frozen=True)
class _Shot:
    """All worlds at a frame: positions [m] and velocities [m/s] of all particles (W, J, 3)."""

    time_s: float
    snapshot: Snapshot
    positions: F32
    velocities: F32


class Together:
    """See `Executor`: on one GPU, in batches. A candidate gives the same bits alone and in any batch.

    Args:
        choose: the settings that the scene's simulation has, so that bits are those of a rollout.
    """

    def __init__(self, choose: Choose, *, options: TogetherOptions = TogetherOptions()) -> None:
        self._choose, self._options = choose, options
        self._scene: Scene | None = None
        self._settings: SimulationSettings | None = None
        self._shapes: Shapes | None = None
        self._worlds: CudaWorlds | None = None

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor."""
        settings = self._prepare(job.scene)
        frame_bytes = 24 * max(1, len(job.scene.rest)) * len(job.times)
        most = max(1, min(self._options.most_worlds, int(self._options.host_bytes / frame_bytes)))
        for first in range(0, len(candidates), most):
            runs, bad = [], []
            for index, candidate in enumerate(candidates[first : first + most], first):
                try:
                    runs.append(self._begin(job, candidate, index, settings))
                except PWError as error:
                    bad.append(failed(index, error))
            yield from bad
            if runs:
                yield from self._batch(job, runs, bound, worth, stopped)

    def close(self) -> None:
        """Give the GPU's memory back."""
        self._worlds = None

    def _prepare(self, scene: Scene) -> SimulationSettings:
        if self._scene is None or self._settings is None or not same_scene(scene, self._scene):
            from pw_core.simulate.fast_cuda.bodies import shapes

            self._settings = self._choose(scene)
            self._scene, self._shapes, self._worlds = scene, shapes(scene, self._settings), None
        return self._settings

    def _begin(self, job: Job, candidate: Candidate, index: int, settings: SimulationSettings) -> _Run:
        from pw_core.simulate.fast_cuda.tables import constants
        from pw_core.simulate.fast_cuda.worlds import WorldSetting

        wanted = resolve(job.start.parameters | candidate.constants, job.scene)
        check_materials(wanted.materials, job.scene, settings)
        check_actions(candidate.actions, job.scene, settings)
        entities = tuple(replace(e, material=wanted.materials.get(e.name, e.material)) for e in job.scene.entities)
        rows = constants(replace(job.scene, entities=entities), settings)
        scorer = job.objective.scorer(Setting(job.scene, Moment.of(job.scene, job.start.physics), candidate.actions))
        return _Run(index, candidate, scorer, WorldSetting(rows, wanted.friction, wanted.wind, candidate.actions))

    def _batch(
        self, job: Job, runs: list[_Run], bound: Callable[[], float] | None, worth: Callable[[], float] | None,
        stopped: Callable[[], None] | None,
    ) -> Iterator[Outcome]:  # fmt: skip
        from pw_core.simulate.fast_cuda.worlds import CudaWorlds

        settings = self._prepare(job.scene)
        if self._worlds is None or self._worlds.count != len(runs):
            self._worlds = None  # its memory first
            self._worlds = CudaWorlds(job.scene, settings, count=len(runs), bodies=self._shapes)
        self._worlds.set_worlds([r.setting for r in runs])
        self._worlds.reset(job.start.physics)
        batch = _Batch(job, runs, self._worlds, settings)
        yield from batch.run(bound, worth, stopped)


class _Batch:
    """Candidates that run at the same time, each in its world, until all have ended."""

    def __init__(self, job: Job, runs: list[_Run], worlds: CudaWorlds, settings: SimulationSettings) -> None:
        self._job, self._runs, self._worlds, self._settings = job, runs, worlds, settings
        terms = job.objective.terms
        self._names = () if any(t.sees_deformation for t in terms) else ("positions", "velocities")
        # Who looks at the end alone need not be asked before; where a goal ends a candidate, its whole state at that
        # frame is fetched, so the GPU may not have gone on.
        self._watch = bool(job.objective.stop_when) or any(t.when != "end" for t in terms)
        self._ahead = not job.objective.stop_when
        self._film: list[_Shot] = []
        self._steps = 0

    def run(
        self, bound: Callable[[], float] | None, worth: Callable[[], float] | None, stopped: Callable[[], None] | None
    ) -> Iterator[Outcome]:
        """Their outcomes in order, see `Executor.run`."""
        told, times = 0, self._job.times
        self._advance(times[0])
        for k, time_s in enumerate(times):
            if stopped is not None:
                stopped()
            snapshot = self._worlds.snapshot(self._names)
            if self._ahead and k + 1 < len(times):
                self._advance(times[k + 1])
            self._film.append(_Shot(time_s, snapshot, *self._worlds.placed(snapshot)))
            self._look(k, bound)
            while told < len(self._runs) and (outcome := self._runs[told].done) is not None:
                yield outcome
                told += 1
            if told == len(self._runs):
                return
            if not self._ahead and k + 1 < len(times):
                self._advance(times[k + 1])
        for world, run in enumerate(self._runs[told:], told):
            if stopped is not None:
                stopped()
            yield run.done or self._ended(run, world, reached=False, worth=worth)

    def _advance(self, time_s: float) -> None:
        wanted = math.ceil(time_s / self._settings.step_s - 0.5)
        self._worlds.advance(wanted - self._steps)
        self._steps = wanted

    def _look(self, k: int, bound: Callable[[], float] | None) -> None:
        """Take one more frame in."""
        shot = self._film[k]
        suspects = shot.snapshot.suspects(self._settings.inside)
        last = k + 1 == len(self._job.times)
        for world, run in enumerate(self._runs):
            if run.done is not None:
                continue
            try:
                if suspects[world]:
                    self._judge(run, world, shot)
                run.good = k + 1
                if not (self._watch or last):
                    continue
                frame = self._frame(k, world)
                moment = Moment(shot.time_s, shot.positions[world], shot.velocities[world], frame.physics)
                if run.scorer.see(moment):
                    run.done = self._ended(run, world, reached=True, worth=None)
                elif bound is not None and (least := run.scorer.least(len(self._job.times))) > bound():
                    run.done = Outcome(Score(run.index, least, time_s=shot.time_s, pruned=True))
            except PWError as error:
                run.done = failed(run.index, error, time_s=self._film[run.good - 1].time_s if run.good else 0.0)

    def _judge(self, run: _Run, world: int, shot: _Shot) -> None:
        from pw_core.simulate.fast_cuda.worlds import judge

        when = f"{shot.time_s:.4g} s into the rollout"
        judge_positions(shot.positions[world], self._job.scene, self._settings, when=when)
        try:
            judge(int(shot.snapshot.faults[world]), run.candidate.actions)
        except Diverged as error:
            raise unstable(shot.time_s, self._settings) from error

    def _frame(self, k: int, world: int) -> Frame:
        """What is not fetched of it is that of the start."""
        shot = self._film[k]
        if len(shot.snapshot.deformed) > 2:
            physics = self._worlds.physics(shot.snapshot, world)
        else:
            seen = {"positions": shot.positions[world], "velocities": shot.velocities[world]}
            arrays = self._job.start.physics.particles.arrays() | seen
            physics = PhysicsState(Particles(**arrays), self._worlds.bodies(shot.snapshot, world))
        return Frame(k, shot.time_s, shot.time_s / self._job.times[-1], physics)

    def _ended(self, run: _Run, world: int, *, reached: bool, worth: Callable[[], float] | None) -> Outcome:
        """The outcome of a candidate whose last frame this is; its end is fetched whole where it is worth it."""
        terms = run.scorer.costs()
        cost = float(np.sum(list(terms.values())))
        score = Score(run.index, cost, terms, self._film[run.good - 1].time_s, reached)
        if (worth is not None and cost > worth()) or not math.isfinite(cost):
            return Outcome(score)
        frames = [self._frame(k, world) for k in range(run.good)]
        return Outcome(score, (*frames[:-1], replace(frames[-1], physics=self._worlds.whole(world))))
