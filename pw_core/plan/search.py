"""A plan: generations of candidates from a template, until the budget is spent, the goal reached or nothing changes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PlanError
from pw_core.gaussians import F64
from pw_core.plan.batch import Best
from pw_core.plan.candidates import Candidate, Job, Outcome, Score
from pw_core.plan.executors.types import Executor
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.samplers.cem import CEM
from pw_core.plan.samplers.cma import CMAES
from pw_core.plan.samplers.mppi import MPPI
from pw_core.plan.samplers.types import Sampler
from pw_core.plan.samplers.uniform import Uniform
from pw_core.plan.template import Template

SAMPLERS: dict[str, type[Sampler]] = {s.name: s for s in (CEM, MPPI, CMAES, Uniform)}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a plan may cost; what is 0 does not bound it. At least one must.

    Raises:
        PlanError (INVALID_BUDGET): neither bounds it, or one is below 0.
    """

    candidates: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.candidates < 0 or not self.seconds >= 0 or (self.candidates == 0 and self.seconds == 0):
            raise PlanError(
                f"a budget needs a number of candidates or seconds above 0, got {self.candidates} candidates and "
                f"{self.seconds:g} s", code=ErrorCode.INVALID_BUDGET,
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a plan is searched for."""

    sampler: str = "cem"
    """cem, mppi, cma_es or random."""
    population: int = 20
    """Candidates a generation: enough that its best fifth, four, tell a direction."""
    seed: int = 0
    """The same seed, template and budget in candidates give the same plan again."""
    spread: float = 0.3
    """Standard deviation of the first generation in units of each range: two of them span the range."""
    warm_spread: float = 0.12
    """The same where the search starts from an earlier plan, which is likely to be nearly right still."""


@dataclass(frozen=True)
class PlanStep:
    """How far a plan is: candidates evaluated, the best cost and values so far, elapsed and expected further time [s]
    (eta_s: -1 where not known), and the candidate that was just scored."""

    evaluated: int
    best_cost: float
    best_values: dict[str, float]
    elapsed_s: float
    eta_s: float
    score: Score


@dataclass
class Plan:
    """What a search came to: the best actions, their free numbers, cost and outcome; history of (candidates evaluated,
    seconds, best cost) whenever that fell. why: what ended it."""

    actions: tuple[Action, ...] = ()
    values: dict[str, float] = field(default_factory=dict)
    cost: float = math.inf
    score: Score | None = None
    outcome: Outcome | None = None
    evaluated: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float, float]] = field(default_factory=list)
    why: str = ""


def make_sampler(options: SearchOptions, dimensions: int, *, warm: F64 | None = None) -> Sampler:
    """The sampler that the options name.

    Raises:
        PlanError (INVALID_BUDGET): an unknown one, a population below 2, or one that cannot search so few numbers.
    """
    if options.sampler not in SAMPLERS:
        raise PlanError(f"sampler '{options.sampler}' is none of {', '.join(SAMPLERS)}", code=ErrorCode.INVALID_BUDGET)
    if options.population < 2:
        raise PlanError(f"a population needs two candidates or more, got {options.population}",
                        code=ErrorCode.INVALID_BUDGET)  # fmt: skip
    spread = options.spread if warm is None else options.warm_spread
    try:
        return SAMPLERS[options.sampler](
            dimensions, population=options.population, seed=options.seed, mean=warm, spread=spread
        )
    except ValueError as error:
        raise PlanError(str(error), code=ErrorCode.INVALID_BUDGET) from None


def search(
    job: Job, template: Template, executor: Executor, plan: Plan, *, budget: Budget, options: SearchOptions,
    warm: Sequence[float] | None = None, stopped: Callable[[], None] | None = None,
) -> Iterator[PlanStep]:  # fmt: skip
    """Search, and put the best so far into `plan` with each step: whoever stops iterating has it.

    Args:
        warm: a point of the unit cube (d,) to start from, as of the last plan.
        stopped: asked often; what it raises ends the search.

    Raises:
        PlanError: INVALID_TEMPLATE, INVALID_BUDGET before anything runs; EXECUTOR_FAILED.
    """
    setting = Setting(job.scene, Moment.of(job.scene, job.start.physics))
    near = None if warm is None else np.asarray(warm, np.float64)
    if near is not None and (near.shape != (len(template.free),) or not np.isfinite(near).all()):
        raise PlanError(f"warm: needs {len(template.free)} finite numbers, one for each free one, got {warm!r:.80}",
                        code=ErrorCode.INVALID_BUDGET)  # fmt: skip
    sampler = make_sampler(options, len(template.free), warm=near)
    began = time.perf_counter()
    while not plan.why:
        points = sampler.ask()
        if budget.candidates:
            points = points[: budget.candidates - plan.evaluated]
        candidates = [Candidate(template.at(p, setting)) for p in points]
        costs = np.full(len(points), math.inf)
        best = Best(keep=1)
        first = plan.evaluated
        # Not pruned against the best: a sampler learns from the costs of what is not.
        for outcome in executor.run(job, candidates, worth=lambda: plan.cost, stopped=stopped):
            best.add(outcome)
            i = outcome.score.index
            costs[i] = outcome.score.cost
            plan.evaluated, plan.seconds = plan.evaluated + 1, time.perf_counter() - began
            if costs[i] < plan.cost and not outcome.score.pruned:
                plan.cost, plan.outcome = float(costs[i]), outcome
                plan.actions, plan.values = candidates[i].actions, template.values(points[i])
                plan.score = replace(outcome.score, index=first + i)
                plan.history.append((plan.evaluated, plan.seconds, plan.cost))
            yield PlanStep(plan.evaluated, plan.cost, plan.values, plan.seconds, _eta(plan, budget), outcome.score)
            if budget.seconds and plan.seconds >= budget.seconds:
                plan.why = f"{budget.seconds:g} s were spent"
                return
        if plan.score is not None and plan.score.reached:
            plan.why = "the goal was reached"
        elif budget.candidates and plan.evaluated >= budget.candidates:
            plan.why = f"{budget.candidates} candidates were tried"
        else:  # a last generation may be cut short by the budget: CMA-ES takes whole ones alone
            sampler.tell(points, costs)
            if sampler.converged:
                plan.why = "the search has settled on one place"


def _eta(plan: Plan, budget: Budget) -> float:
    left = math.inf
    if budget.candidates and plan.evaluated:
        left = plan.seconds / plan.evaluated * (budget.candidates - plan.evaluated)
    if budget.seconds:
        left = min(left, budget.seconds - plan.seconds)
    return max(left, 0.0) if math.isfinite(left) else -1.0
