"""Batches of candidates and searches as the worker runs them: scores out as events, the best kept. No ROS here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, get_args

from pw_core.errors import ErrorCode, PlanError
from pw_core.scene import Scene
from pw_ros.worker.context import Context
from pw_ros.worker.inputs import Allowed, opened
from pw_ros.worker.looking import poses_of
from pw_ros.worker.protocol import Progressed, Scored, Track
from pw_ros.worker.requests import Evaluated, EvaluateRequest, KeptCandidate, Planned, PlanRequest

if TYPE_CHECKING:
    from pw_core.plan.candidates import Candidate, Outcome
    from pw_core.plan.executors.types import Executor
    from pw_core.plan.objective import Objective
    from pw_core.plan.running import EvaluateStep, Kept
    from pw_core.plan.search import PlanStep

S = TypeVar("S", covariant=True)


class Steps(Protocol[S]):
    """What the core runs a batch or a search as."""

    def __iter__(self) -> Iterator[S]: ...

    def __next__(self) -> S: ...

    def close(self) -> None:
        """Call it off: what is best so far is kept."""


def evaluate(context: Context, request: EvaluateRequest) -> Evaluated:
    """See EvaluateRequest. PlanError: INVALID_CANDIDATES where more are to be kept than may be, or for constants."""
    world, total = context.world, len(request.candidates)
    if request.keep > world.max_uncommitted_states:
        raise PlanError(
            f"keep {request.keep} is more than the parameter max_uncommitted_states ({world.max_uncommitted_states}), "
            "which can be set while the node runs", code=ErrorCode.INVALID_CANDIDATES,
        )  # fmt: skip
    with _searching(context, request.start) as search, _held(request.objective, context) as objective:
        scene = search.scene
        _check_constants(request.candidates, scene)
        running = world.evaluate(
            request.candidates, request.duration, objective=objective, start=search.start, keep=request.keep,
            frame_interval=request.frame_interval, prune=request.prune, robust=request.robust, executor=_farm(context),
            stopped=search.stopped, progress=search.progress,
        )  # fmt: skip
        least, shown = math.inf, -1

        def told(step: EvaluateStep) -> Scored:
            nonlocal least, shown
            if not step.score.pruned and step.score.cost < least:
                least, shown = step.score.cost, step.score.index
            return Scored(step.evaluated, total, step.best_cost, shown, {}, step.eta_s, search.news(running.best))

        canceled = search.run(running, told)
    return Evaluated(tuple(running.scores), tuple(_kept(scene, k) for k in running.kept), canceled)


def plan(context: Context, request: PlanRequest) -> Planned:
    """See PlanRequest. PlanError where every candidate failed: says why the last one did."""
    template = request.template
    with _searching(context, request.start) as search, _held(request.objective, context) as objective:
        scene = search.scene
        running = context.world.plan(
            template, objective, request.duration, budget=request.budget, start=search.start, options=request.options,
            warm=template.point(request.warm).tolist() if request.warm else None,
            frame_interval=request.frame_interval, robust=request.robust, executor=_farm(context),
            stopped=search.stopped, progress=search.progress,
        )  # fmt: skip
        found = running.plan

        def told(step: PlanStep) -> Scored:
            index = found.score.index if found.score is not None else -1
            track = search.news(found.outcome)
            return Scored(step.evaluated, 0, step.best_cost, index, step.best_values, step.eta_s, track)

        canceled = search.run(running, told)
    if found.outcome is None and canceled:
        return Planned(evaluated=found.evaluated, canceled=True)
    best = _kept(scene, running.kept)
    if found.score is not None:
        best = best._replace(score=found.score)  # whose index is that of all candidates, not of a generation's
    return Planned(found.actions, found.values, best, found.evaluated, tuple(found.history), found.why, canceled)


def _farm(context: Context) -> Executor | None:
    """What runs candidates on the cluster at `ray_address`, which its first run joins; None: they run in this process.
    A cluster that is not reached is tried again with the next goal."""
    if context.ray_address and context.farm is None:
        from pw_core.plan.executors.ray import Ray, RayOptions

        context.farm = Ray(
            address=context.ray_address, options=RayOptions(num_gpus=1.0 if context.world.device == "cuda" else 0.0)
        )
    return context.farm


class _Search:
    """One goal's: what the core asks while it runs, and what is told of it."""

    def __init__(self, context: Context, scene: Scene, start: str) -> None:
        self.scene, self.start = scene, start
        self._desk = context.desk
        self._compiling = ExitStack()
        self._shown: Outcome | None = None

    def progress(self, stage: str, fraction: float) -> None:
        """No cancelling here: the kernels will be wanted by the next goal."""
        self._desk.event(Progressed(stage, fraction))

    def stopped(self) -> None:
        """Between frames: answer what only reads. PlanError (CANCELED) where the goal was called off."""
        self._compiling.close()
        self._desk.serve()
        if self._desk.canceled:
            raise PlanError("canceled", code=ErrorCode.CANCELED)

    def run(self, steps: Steps[S], told: Callable[[S], Scored]) -> bool:
        """To the end; whether it was called off. Kernels may compile before the first frame, and what only reads is
        then answered by a thread; after it, between frames."""
        try:
            self._compiling.enter_context(self._desk.serving())
            for step in steps:
                self._desk.event(told(step))
                self.stopped()
        except PlanError as error:
            if error.code != ErrorCode.CANCELED:
                raise
            steps.close()  # called off between two steps, it is still open
            return True
        finally:
            self._compiling.close()
        return False

    def news(self, best: Outcome | None) -> Track | None:
        """The best one's track, if it was not told yet."""
        if best is None or best is self._shown:
            return None
        self._shown = best
        times = tuple(f.time_s for f in best.frames)
        return Track(times, tuple(poses_of(self.scene, f.physics) for f in best.frames))


@contextmanager
def _searching(context: Context, start: str) -> Iterator[_Search]:
    """The state that all candidates start from stays meanwhile."""
    world = context.world
    with world.lock:
        origin, scene = world.state(start).id, world.scene
        assert scene is not None
        context.used = frozenset([origin])
    try:
        yield _Search(context, scene, origin)
    finally:
        context.used = frozenset()


@contextmanager
def _held(objective: Objective, context: Context) -> Iterator[Objective]:
    """The objective with every file that a term names open, and where it was found to be, all the while: each candidate
    reads it anew. PlanError (INVALID_OBJECTIVE): it lies outside the roots, is not there, or candidates run on a
    cluster, whose machines do not have it."""
    with ExitStack() as files:
        terms = []
        for term in objective.terms:
            if named := str(getattr(term, "file", "")):
                if context.ray_address:
                    raise PlanError(
                        f"objective, term '{term.label}': the machines of the Ray cluster at '{context.ray_address}' "
                        "cannot read its file: leave the parameter ray_address empty for such objectives",
                        code=ErrorCode.INVALID_OBJECTIVE,
                    )
                what = f"objective, term '{term.label}': file"
                allowed = Allowed(context.input_roots, what, ErrorCode.INVALID_OBJECTIVE)
                term = term.model_copy(update={"file": str(files.enter_context(opened(named, allowed)))})
            terms.append(term)
        yield objective.model_copy(update={"terms": tuple(terms)})


def _check_constants(candidates: Sequence[Candidate], scene: Scene) -> None:
    from pw_core.calibrate.constants import Estimated, names_of

    known = {*names_of(scene, get_args(Estimated)), "wind_z"}
    for i, candidate in enumerate(candidates):
        if unknown := candidate.constants.keys() - known:
            raise PlanError(
                f"candidate {i}: constant '{min(unknown)}' is none of {', '.join(sorted(known))}",
                code=ErrorCode.INVALID_CANDIDATES,
            )


def _kept(scene: Scene, kept: Kept) -> KeptCandidate:
    from pw_core.rollout import physics_at

    way = kept.trajectory
    times = tuple(map(float, way.times))
    track = Track(times, tuple(poses_of(scene, physics_at(scene, way, t)) for t in times))
    return KeptCandidate(kept.score, kept.state.id, way.id, track)
