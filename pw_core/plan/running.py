"""Batches and plans as they run: steps to iterate over, and the states that the best of them leave."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pw_core.errors import PlanError
from pw_core.plan.batch import Best
from pw_core.plan.candidates import Candidate, Job, Outcome, Score
from pw_core.plan.executors.types import Executor
from pw_core.plan.search import Budget, Plan, PlanStep, SearchOptions, search
from pw_core.plan.template import Template
from pw_core.rollout import record
from pw_core.scene import State, Trajectory

Keep = Callable[[Sequence[tuple[State, Trajectory]]], None]
"""Given what is to stay: the ends of the best candidates and how they came about, the best first. Called once."""


@dataclass(frozen=True)
class EvaluateStep:
    """How far a batch is: candidates done of all, the least cost so far, expected further time eta_s [s], and the
    candidate that was just scored."""

    evaluated: int
    total: int
    best_cost: float
    eta_s: float
    score: Score


@dataclass(frozen=True)
class Kept:
    """One of the best: its score, the state that it ends in and the trajectory there."""

    score: Score
    state: State
    trajectory: Trajectory


class Evaluating:
    """Iterate to go on, `close()` to call off: what was found by then is kept."""

    def __init__(
        self, job: Job, candidates: Sequence[Candidate], executor: Executor, keep: Keep, *, best: int, prune: bool,
        stopped: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._job, self._candidates, self._executor = job, list(candidates), executor
        self._best, self._keep, self._stopped = Best(keep=best), keep, stopped
        self._bound = self._best.bound if prune else None
        self._kept: list[Kept] = []
        self._steps = self._run()

    def __iter__(self) -> Evaluating:
        return self

    def __next__(self) -> EvaluateStep:
        return next(self._steps)

    def close(self) -> None:
        """Call it off."""
        self._steps.close()  # type: ignore[attr-defined]

    @property
    def best(self) -> Outcome | None:
        """The best so far, with its frames; None before the first that did not fail, and where none is kept."""
        return self._best.kept[0] if self._best.kept else None

    @property
    def scores(self) -> list[Score | None]:
        """Of each candidate in its order; None for those that were not run."""
        return [self._best.scores.get(i) for i in range(len(self._candidates))]

    @property
    def kept(self) -> list[Kept]:
        """The best, the best first. Empty before the end."""
        return self._kept

    def _run(self) -> Iterator[EvaluateStep]:
        began, total = time.perf_counter(), len(self._candidates)
        try:
            for done, outcome in enumerate(
                self._executor.run(
                    self._job, self._candidates, bound=self._bound, worth=self._best.bound, stopped=self._stopped
                ), 1,
            ):  # fmt: skip
                self._best.add(outcome)
                eta = (time.perf_counter() - began) / done * (total - done)
                yield EvaluateStep(done, total, self._best.cost, eta, outcome.score)
        finally:
            self._kept = [as_kept(self._job, o, self._candidates[o.score.index]) for o in self._best.kept]
            self._keep([(k.state, k.trajectory) for k in self._kept])


class Planning:
    """Iterate to go on, `close()` to call off: the best so far is kept either way, and is in `plan`."""

    def __init__(
        self, job: Job, template: Template, executor: Executor, keep: Keep, *, budget: Budget, options: SearchOptions,
        warm: Sequence[float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._job, self._keep = job, keep
        self.template = template
        self.plan = Plan()
        self._search = search(
            job, template, executor, self.plan, budget=budget, options=options, warm=warm, stopped=stopped
        )
        self._kept: Kept | None = None
        self._steps = self._run()

    def __iter__(self) -> Planning:
        return self

    def __next__(self) -> PlanStep:
        return next(self._steps)

    def close(self) -> None:
        """Call it off."""
        self._steps.close()  # type: ignore[attr-defined]

    @property
    def kept(self) -> Kept:
        """The best candidate's end.

        Raises:
            PlanError: before the end, or where every candidate failed; says why the last one did.
        """
        if self._kept is None:
            raise PlanError("no plan was found: " + (self.plan.why or "it has not ended, or every candidate failed"))
        return self._kept

    def _run(self) -> Iterator[PlanStep]:
        last: Score | None = None
        try:
            for step in self._search:
                last = step.score
                yield step
        finally:
            outcome = self.plan.outcome
            if outcome is not None:
                self._kept = as_kept(self._job, outcome, Candidate(self.plan.actions))
                self._keep([(self._kept.state, self._kept.trajectory)])
            elif last is not None and last.error:
                self.plan.why = f"every candidate failed, the last because: {last.error}"


def as_kept(job: Job, outcome: Outcome, candidate: Candidate) -> Kept:
    """A candidate's frames as a trajectory from the job's start, and the state after the last."""
    ids = (f"t-{uuid.uuid4().hex[:10]}", f"s-{uuid.uuid4().hex[:10]}")
    trajectory, state = record(job.start, list(outcome.frames), candidate.actions, ids)
    return Kept(outcome.score, state, trajectory)
