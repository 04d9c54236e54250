"""Candidates: action sequences from one state, each run and scored by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pw_core.actions import Action
from pw_core.errors import ErrorCode, PlanError, PWError
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.objective import Objective
from pw_core.rollout import Frame, frame_times
from pw_core.scene import Scene, State

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


MAX_CANDIDATES = 10_000
"""In one call: a tenth of a gigabyte of actions at most, and hours on two cores."""


@dataclass(frozen=True)
class Candidate:
    """What may be done, and the physical constants to try it under (names as in `pw_core.calibrate.constants`; empty:
    those of the state)."""

    actions: tuple[Action, ...]
    constants: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What all candidates of a batch share: plain data, so that it may go to another process or machine once.

    times [s] (T,): of the frames that are looked at.
    """

    scene: Scene
    start: State
    objective: Objective
    times: tuple[float, ...]

    @classmethod
    def of(cls, scene: Scene, start: State, objective: Objective, *, duration: float, frame_interval: float) -> Job:
        """With frames as a rollout of that duration [s] has them.

        Raises:
            RolloutError (INVALID_DURATION). PlanError: a term that this scene cannot have.
        """
        times = frame_times(duration, frame_interval)
        job = cls(scene, start, objective, tuple(float(t) for t in times))
        objective.scorer(Setting(scene, Moment.of(scene, start.physics)))  # complains before anything runs
        return job


@dataclass(frozen=True)
class Score:
    """How a candidate did.

    cost: the sum of `terms`; inf where it failed. time_s [s]: when it ended. reached: `stop_when` held. pruned: given
    up because it could no longer be among the best; cost is then what it would have cost at least, or after screening
    an estimate. error_code, error:
    why it failed, e.g. that matter left the domain.
    """

    index: int
    cost: float
    terms: dict[str, float] = field(default_factory=dict)
    time_s: float = 0.0
    reached: bool = False
    pruned: bool = False
    error_code: int = 0
    error: str = ""

    @property
    def order(self) -> tuple[bool, float, int]:
        """To sort by: pruned ones last, then by cost; of two alike the one that came first."""
        return (self.pruned, self.cost, self.index)


@dataclass(frozen=True)
class Outcome:
    """A candidate's score and its frames; none where it failed, was pruned, or they are worth nothing to who asked."""

    score: Score
    frames: tuple[Frame, ...] = ()

    def numbered(self, index: int) -> Outcome:
        """The same under another index."""
        return replace(self, score=replace(self.score, index=index))


def check_candidates(
    candidates: Sequence[Candidate], scene: Scene, *, keep: int = 1, most: int = MAX_CANDIDATES
) -> None:
    """That there are some, not too many, that each acts on entities of the scene, and that `keep` is a count.

    Raises:
        PlanError: INVALID_CANDIDATES, UNKNOWN_ENTITY; the message names the candidate.
    """
    if not candidates:
        raise PlanError("there are no candidates: give at least one action sequence (it may be empty: do nothing)",
                        code=ErrorCode.INVALID_CANDIDATES)  # fmt: skip
    if len(candidates) > most:
        raise PlanError(
            f"{len(candidates)} candidates are too many for one call, at most {most}: send them in parts",
            code=ErrorCode.INVALID_CANDIDATES,
        )
    if keep < 0:
        raise PlanError(f"keep must be 0 or more, got {keep}", code=ErrorCode.INVALID_CANDIDATES)
    names = {e.name for e in scene.entities}
    for i, candidate in enumerate(candidates):
        for action in candidate.actions:
            if action.entity and action.entity not in names:
                raise PlanError(
                    f"candidate {i}, action '{action.name or action.type}': entity '{action.entity}' is none of "
                    f"{', '.join(sorted(names))}", code=ErrorCode.UNKNOWN_ENTITY,
                )  # fmt: skip


def failed(index: int, error: PWError, *, time_s: float = 0.0) -> Outcome:
    """A candidate that could not be run, or not beyond `time_s` [s]."""
    return Outcome(Score(index, math.inf, time_s=time_s, error_code=int(error.code), error=str(error)[:1000]))


def run_candidate(
    simulation: Simulation, job: Job, candidate: Candidate, *, index: int, bound: Callable[[], float] | None = None,
    worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
) -> Outcome:  # fmt: skip
    """Run one candidate to its end, its goal, or where it is hopeless. It gives the same bits whatever ran before.

    Args:
        simulation: of the job's scene, with the candidate's constants already set.
        bound: the cost above which it is of no use any more; None: it always runs on.
        worth: the cost above which its frames are of no use; None: they are always given.
        stopped: asked between frames; raises to call everything off.
    """
    scorer = job.objective.scorer(Setting(job.scene, Moment.of(job.scene, job.start.physics), candidate.actions))
    frames: list[Frame] = []
    end = job.times[-1]
    try:
        simulation.reset(job.start.physics, time_s=0.0)
        simulation.set_actions(candidate.actions)
        for k, time_s in enumerate(job.times):
            if stopped is not None:
                stopped()
            simulation.advance_to(time_s)
            simulation.check()
            frame = Frame(k, time_s, time_s / end, simulation.read())
            frames.append(frame)
            reached = scorer.see(Moment.of(job.scene, frame.physics, time_s=time_s))
            if reached:
                break
            if bound is not None and (least := scorer.least(len(job.times))) > bound():
                return Outcome(Score(index, least, time_s=time_s, pruned=True))
    except PWError as error:
        if error.code in (ErrorCode.CANCELED, ErrorCode.SHUTTING_DOWN, ErrorCode.BUSY):
            raise
        return failed(index, error, time_s=frames[-1].time_s if frames else 0.0)
    terms = scorer.costs()
    cost = float(np.sum(list(terms.values())))
    useless = worth is not None and cost > worth()
    return Outcome(Score(index, cost, terms, frames[-1].time_s, reached), () if useless else tuple(frames))
