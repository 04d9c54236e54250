"""Candidates all at once on one NVIDIA GPU: a world each, from frame to frame in one launch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pw_core.errors import PWError
from pw_core.gaussians import F32
from pw_core.plan.candidates import Candidate, Job, Outcome, Score, failed
from pw_core.plan.executors.processes import same_scene
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
    """One candidate on its way."""

    index: int
    candidate: Candidate
    scorer: Scorer
    setting: WorldSetting
    frames: list[Frame] = field(default_factory=list)
    done: Outcome | None = None


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
        worlds = self._worlds
        worlds.set_worlds([r.setting for r in runs])
        worlds.reset(job.start.physics)
        steps, told = 0, 0
        names = () if any(t.sees_deformation for t in job.objective.terms) else ("positions", "velocities")
        for k, time_s in enumerate(job.times):
            if stopped is not None:
                stopped()
            wanted = math.ceil(time_s / settings.step_s - 0.5)
            worlds.advance(wanted - steps)
            steps = wanted
            snapshot = worlds.snapshot(names)
            positions, velocities = worlds.placed(snapshot)
            for world, run in enumerate(runs):
                if run.done is None:
                    physics = _physics(job, worlds, snapshot, world, positions[world], velocities[world])
                    _look(job, worlds, run, world, Frame(k, time_s, time_s / job.times[-1], physics), settings,
                          int(snapshot.faults[world]), bound)  # fmt: skip
            while told < len(runs) and (outcome := runs[told].done) is not None:
                yield outcome
                told += 1
            if told == len(runs):
                return
        for world, run in enumerate(runs[told:], told):
            if stopped is not None:
                stopped()
            yield run.done or _ended(worlds, run, world, reached=False, worth=worth)


def _physics(
    job: Job, worlds: CudaWorlds, snapshot: Snapshot, world: int, positions: F32, velocities: F32
) -> PhysicsState:
    """A world's state at a frame; what was not fetched is that of the start."""
    if len(snapshot.deformed) > 2:
        return worlds.physics(snapshot, world)
    arrays = job.start.physics.particles.arrays() | {"positions": positions, "velocities": velocities}
    return PhysicsState(Particles(**arrays), worlds.bodies(snapshot, world))


def _look(
    job: Job, worlds: CudaWorlds, run: _Run, world: int, frame: Frame, settings: SimulationSettings, fault: int,
    bound: Callable[[], float] | None,
) -> None:  # fmt: skip
    """Take one more frame of a candidate in; `done` where it ends."""
    from pw_core.simulate.fast_cuda.worlds import judge

    p = frame.physics.particles
    try:
        try:
            judge(fault, run.candidate.actions)
        except Diverged as error:
            raise unstable(frame.time_s, settings) from error
        finally:
            judge_positions(p.positions, job.scene, settings, when=f"{frame.time_s:.4g} s into the rollout")
        run.frames.append(frame)
        reached = run.scorer.see(Moment(frame.time_s, p.positions, p.velocities, frame.physics))
    except PWError as error:
        run.done = failed(run.index, error, time_s=run.frames[-1].time_s if run.frames else 0.0)
        return
    if reached:
        run.done = _ended(worlds, run, world, reached=True, worth=None)
    elif bound is not None and (least := run.scorer.least(len(job.times))) > bound():
        run.done = Outcome(Score(run.index, least, time_s=frame.time_s, pruned=True))
    if run.done is not None:
        run.frames = []


def _ended(worlds: CudaWorlds, run: _Run, world: int, *, reached: bool, worth: Callable[[], float] | None) -> Outcome:
    """The outcome of a candidate whose last frame this is; its end is fetched whole where it is worth it."""
    terms = run.scorer.costs()
    cost = float(np.sum(list(terms.values())))
    last = run.frames[-1]
    score = Score(run.index, cost, terms, last.time_s, reached)
    if (worth is not None and cost > worth()) or not math.isfinite(cost):
        return Outcome(score)
    return Outcome(score, (*run.frames[:-1], replace(last, physics=worlds.whole(world))))
